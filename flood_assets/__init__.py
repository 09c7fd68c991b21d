"""Dagster assets over open Parquet: the last 24 hours of every river, tide, rain and groundwater gauge in England.

Importing this package loads nothing else. The Dagster definitions are in `flood_assets.definitions`, the functions for
notebooks in `flood_assets.notebook`, the command line in `flood_assets.cli.main`.
"""

__version__ = "0.1.0"
