"""Answer questions about the lake with Arrow tables: the one door for every reader, from notebooks to HTTP.

    from flood_assets import query
    query.readings("file:///var/lib/flood", now, river="River Thames", parameter="level", joined=True).rows

The questions are in `query`, `flood_warnings` and `alerts`, the one that is being answered is a `Question`, the summary
for `flood-assets status` is in `status`. Hours and gauges are chosen in `filters`, names are matched in `names`, what
is near in `nearby`, the lake is opened in `place`.
Nothing here knows pandas or Dagster, reads the environment or the clock, warns or prints.
"""

from flood_assets.query.alerts import alerts
from flood_assets.query.flood_warnings import station_areas, warning_areas, warnings
from flood_assets.query.place import Result
from flood_assets.query.query import changes, completeness, conditions, measures, readings, stations, timeliness

__all__ = [
    "Result",
    "alerts",
    "changes",
    "completeness",
    "conditions",
    "measures",
    "readings",
    "station_areas",
    "stations",
    "timeliness",
    "warning_areas",
    "warnings",
]
