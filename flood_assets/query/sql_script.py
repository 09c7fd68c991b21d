"""Write SQL that makes the views of `sql` in DuckDB's own shell, from the lake's Parquet files alone.

What `sql` computes when it is asked, conditions, completeness and timeliness, is there as the last refresh stored it.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from flood_assets.errors import SettingsError
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import ALERTS_KEY, CURRENT, current_key
from flood_assets.lake.uniting import stamp_of
from flood_assets.places import below, folder_of
from flood_assets.query.sql import LATEST, SHOWN, VIEWS, moment_macros
from flood_assets.schemas import ALERTS, COMPLETENESS, READINGS, Table

_HEAD = """\
-- Views of the lake {url} for DuckDB's own shell, written by `flood-assets sql --init`:
--     duckdb -init FILE
-- Each statement reads the lake's Parquet files as they are then; readings are cut at 24 hours. A view whose file was
-- deleted, because its rows were a day old, fails instead of answering from it.
"""
_S3 = """\
-- httpfs reads the bucket, aws finds credentials and region as AWS's tools do; nothing secret is in this file. For a
-- store other than AWS's own add to the secret: ENDPOINT 'host:port', URL_STYLE 'path'; without TLS: USE_SSL false.
INSTALL httpfs;
LOAD httpfs;
INSTALL aws;
LOAD aws;
CREATE OR REPLACE SECRET flood_lake (TYPE s3, PROVIDER credential_chain, SCOPE {scope});
"""
_STORED = "-- As the last refresh stored it, see observed_at; `flood-assets sql` computes it when it is asked.\n"
_NONE = "-- There is no view {name}: the lake has none. Run `{refresh}`, then write this file again.\n"

_OF_PRESENT = "SELECT * FROM {files}"
_OF_WINDOWS = {
    "readings": "SELECT * FROM {files}\nWHERE date_time > now() - INTERVAL 24 HOURS AND date_time <= now()",
    # An hour counts as long as a moment of it is retained.
    "completeness": "SELECT * FROM {files}\nWHERE window_start > now() - INTERVAL 25 HOURS AND window_start <= now()",
    # All rows of a window are of one moment. DuckDB 1.5.5 has an internal error where the file's name is compared.
    "timeliness": (
        "SELECT * FROM {files}\nWHERE observed_at = (SELECT max(observed_at) FROM {files})\n"
        "    AND observed_at > now() - INTERVAL 25 HOURS"
    ),
}
# One object with the last day of alerts: of those that ended, the view has the last 24 hours.
_OF_ALERTS = (
    "SELECT * EXCLUDE (readings, told) FROM {files}\nWHERE cleared_at IS NULL OR cleared_at > now() - INTERVAL 24 HOURS"
)
_OF_SHARDS = "SELECT * FROM (\n{bodies}\n)\nQUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {newest} DESC) = 1"
_COMPUTED = ("conditions", "completeness", "timeliness")


def script(lake: Lake, now: datetime, *, stopped: bool = False) -> str:
    """Return the SQL for DuckDB's own shell.

    Args:
        lake: in a folder or in S3; what it does not have gets no view, and a comment.
        now: the time at which DuckDB's clock is stopped, if it is.
        stopped: True for a lake that is replayed.

    Raises:
        SettingsError: a lake that DuckDB's shell does not read so.
        LakeError: the lake could not be read.
    """
    folder = folder_of(lake.url)
    if folder is None and not lake.url.startswith("s3://"):
        raise SettingsError(f"the file is for a lake in a folder or s3://, and not {lake.url}: use `flood-assets sql`")
    place = lake.url if folder is None else folder.as_posix()
    parts = [_HEAD.format(url=lake.url)]
    if folder is None:
        parts.append(_S3.format(scope=_quoted(f"{place}/")))
    parts.append("SET TimeZone = 'UTC';\n" + "".join(f"{each};\n" for each in moment_macros(now) if stopped))
    return "\n".join([*parts, *_views(lake, place)])


def _views(lake: Lake, place: str) -> Iterator[str]:
    there = lake.each_shard(_stored)
    for name in VIEWS:
        table = READINGS if name == "latest" else SHOWN[name]
        places = [_glob(below(place, shard)) for shard, has in there.items() if table.name in has]
        refresh = "FLOOD_ALERTS=alerts.toml flood-assets refresh" if table is ALERTS else "flood-assets refresh"
        comment = _STORED if name in _COMPUTED else ""
        body = LATEST if name == "latest" else _united(table, [_body(name, each) for each in places])
        yield (
            f"{comment}CREATE OR REPLACE VIEW {name} AS\n{body};\n"
            if places
            else _NONE.format(name=name, refresh=refresh)
        )
    yield from (f"-- Not here: {trouble}\n" for trouble in lake.troubles)


def _stored(lake: Lake) -> set[str]:
    """Return the tables that a lake has."""
    present = {meta.key for folder in (CURRENT, ALERTS_KEY.partition("/")[0]) for meta in lake.store.list(folder)}
    return {
        name
        for name, table in SHOWN.items()
        if (lake.windows(table) if name in _OF_WINDOWS else _one(table) in present)
    }


def _one(table: Table) -> str:
    return ALERTS_KEY if table is ALERTS else current_key(table)


def _body(name: str, place: str) -> str:
    """Return the SELECT of a view over the files of one lake."""
    if name in _OF_WINDOWS:
        return _OF_WINDOWS[name].format(files=_read(f"{place}/{name}/date=*/hour=*/{name}.parquet"))
    table = SHOWN[name]
    return (_OF_ALERTS if table is ALERTS else _OF_PRESENT).format(files=_read(f"{place}/{_one(table)}"))


def _united(table: Table, bodies: Sequence[str]) -> str:
    """Return the SELECT of a view over shards: of rows with one key, as of a station in two shards, the newest."""
    if len(bodies) < 2:
        return "".join(bodies)
    key = ", ".join(table.key if table is not COMPLETENESS else ("window_start", *table.key))
    newest = "since" if table is ALERTS else stamp_of(table)
    return _OF_SHARDS.format(bodies="\nUNION ALL BY NAME\n".join(bodies), key=key, newest=newest)


def _read(files: str) -> str:
    return f"read_parquet({_quoted(files)}, hive_partitioning = false)"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _glob(place: str) -> str:
    """Return a place of which no character stands for others."""
    return re.sub(r"([*?\[])", r"[\1]", place)
