"""Write the tables and views of the Glue catalog from `flood_assets.schemas`: `python -m deploy.terraform.catalog`.

The module `catalog` reads the result, `modules/catalog/tables.json`. A test fails when it is not up to date. A lake in
shards has one more partition key, `shard`, and its stations, of which one may be in several shards, are a view.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from flood_assets.places import SHARD_FOLDER
from flood_assets.schemas import MEASURES, READINGS, STATIONS, TABLES, WARNING_AREAS, WARNINGS, Column, Table

FILE = Path(__file__).parent / "modules" / "catalog" / "tables.json"

# Hive's names, which Glue, Athena and Spark take; and those of the engine of Athena, for the columns of views.
HIVE = {
    pa.string(): "string",
    pa.float64(): "double",
    pa.int32(): "int",
    pa.int8(): "tinyint",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.timestamp("ms", tz="UTC"): "timestamp",
}
_PRESTO = {"string": "varchar", "int": "integer", "timestamp": "timestamp(3)"}

# The tables have rows that are up to one tick older than a day; these views have none.
_LAST_24_HOURS = """\
SELECT r.measure_id, r.date_time, r.value, r.raw_value, r.first_seen_at, r.changed_at, r.previous_value, r.revision,
  r.station_id, s.label, s.river, s.town, s.catchment, s.lat, s.long, m.parameter, m.qualifier, m.unit
FROM readings r
LEFT JOIN current_measures m ON m.measure_id = r.measure_id
LEFT JOIN current_stations s ON s.station_id = r.station_id
WHERE r.date_time > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp) - INTERVAL '24' HOUR"""
_LATEST = """\
SELECT {columns}
FROM (
  SELECT *, row_number() OVER (PARTITION BY measure_id ORDER BY date_time DESC) AS newest
  FROM last_24_hours
)
WHERE newest = 1"""

_ONE_ROW = """\
SELECT {columns}
FROM (
  SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY observed_at DESC) AS newest
  FROM {rows}
)
WHERE newest = 1"""
_HOUR = "date=${date}/hour=${hour}/"


def main() -> None:
    """Write the file."""
    FILE.write_text(written(), encoding="utf-8")


def written() -> str:
    """Return what the file has to hold."""
    found = {"tables": _tables(), "views": _views(), "views_of_shards": _views_of_shards()}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _tables() -> dict[str, Any]:
    return {
        table.name: {
            "comment": f"Key: {', '.join(table.key)}",
            "current": table.current,
            # Below the bucket; partition projection fills in what ${} names.
            "template": f"{table.name}/{_HOUR}",
            "template_of_shards": f"{SHARD_FOLDER}${{shard}}/{table.name}/{_HOUR}",
            # Only the first shard of each API lists them.
            "leading": table in (WARNINGS, WARNING_AREAS),
            "columns": [
                {"name": c.name, "type": HIVE[c.type], "comment": f"{c.meaning} [{c.unit}]" if c.unit else c.meaning}
                for c in table.columns
            ],
        }
        for table in TABLES.values()
    }


def _views() -> dict[str, Any]:
    columns = [
        *(c for c in READINGS.columns if c.name != "station_id"),
        *_chosen(READINGS, ["station_id"]),
        *_chosen(STATIONS, ["label", "river", "town", "catchment", "lat", "long"]),
        *_chosen(MEASURES, ["parameter", "qualifier", "unit"]),
    ]
    names = ", ".join(c.name for c in columns)
    return {
        "last_24_hours": _view(
            "Readings of the last 24 hours, with the names of their gauges", _LAST_24_HOURS, columns
        ),
        "latest": _view("The newest reading of each measure", _LATEST.format(columns=names), columns),
    }


def _views_of_shards() -> dict[str, Any]:
    names = ", ".join(STATIONS.schema.names)
    sql = _ONE_ROW.format(columns=names, key=", ".join(STATIONS.key), rows=f"current_{STATIONS.name}_by_shard")
    return {f"current_{STATIONS.name}": _view("The newest row of each station in any shard", sql, STATIONS.columns)}


def _chosen(table: Table, names: Iterable[str]) -> list[Column]:
    found = {c.name: c for c in table.columns}
    return [found[name] for name in names]


def _view(comment: str, sql: str, columns: Iterable[Column]) -> dict[str, Any]:
    types = [(c.name, HIVE[c.type]) for c in columns]
    return {
        "comment": comment,
        "sql": sql,
        "columns": [{"name": name, "type": hive} for name, hive in types],
        "presto": [{"name": name, "type": _PRESTO.get(hive, hive)} for name, hive in types],
    }


if __name__ == "__main__":
    main()
