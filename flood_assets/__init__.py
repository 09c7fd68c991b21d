"""The last 24 hours of every river, tide, rain and groundwater gauge in England, as Dagster assets over open Parquet.

Importing this package costs nothing and wires nothing: the Dagster definitions are in
`flood_assets.definitions`, what notebooks use is in `flood_assets.notebook`, and the
command line is `flood_assets.cli.main`.
"""

__version__ = "0.1.0"
