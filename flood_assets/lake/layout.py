"""Name the lake's objects: a window is `{table}/date=YYYY-MM-DD/hour=HH/{table}.parquet`.

The present of a table is `current/{table}.parquet`.

Hive-style names, so that DuckDB, Athena, Spark, Polars and pandas find the date and hour columns themselves. Whatever
is not data starts with `_` or `.`, which all of them skip.
"""

import re
import zlib
from datetime import UTC, datetime

from pyarrow import Buffer

from flood_assets.schemas import READINGS, TABLES, Table

# Layout 1 named objects otherwise; no version reads or writes two layouts. The format is raised when a table gets a
# column: an older version reads a lake of a newer format, without that column, and does not write it.
LAYOUT, FORMAT = 2, 1

IDENTITY = "_lake.json"
# Only at the common URL of shards, which holds no windows itself.
NETWORK_KEY = "_network.json"
FAILURE = "_failure.json"
WATERMARKS_KEY = "_watermarks.parquet"
ALERTS_KEY = "_alerts/state.parquet"
QUARANTINE = "_quarantine"
PUBLISHED = "_published"
CONSUMED = "_consumed"
# Where batches wait that publishers pushed, and what is left of those that were ingested; see `flood_assets.landing`.
LANDING, RECEIPTS = "landing", "receipts"
# Asks for the pushed readings of a damaged window to be stored again.
AGAIN = f"{LANDING}/.again"
LOCKS = ".locks"
CURRENT = "current"
# Below an archive: windows that could not be read when they expired.
DAMAGED = "_damaged"

_DEAD_LETTER = re.compile(r"/dead/date=(?P<date>\d{4}-\d\d-\d\d)/hour=(?P<hour>\d\d)/[^/]+\.json$")
_WINDOW_KEY = re.compile(r"(?P<table>\w+)/date=(?P<date>\d{4}-\d\d-\d\d)/hour=(?P<hour>\d\d)/(?P=table)\.parquet")


def key_of(table: Table, window: datetime) -> str:
    """Return the name of a window's object below the lake."""
    return f"{table.name}/{window:date=%Y-%m-%d/hour=%H}/{table.name}.parquet"


def current_key(table: Table) -> str:
    """Return the name of the object that holds the present of a table."""
    return f"{CURRENT}/{table.name}.parquet"


def archive_key(day: datetime) -> str:
    """Return the name of the readings of a UTC day, below an archive."""
    return f"{day:date=%Y-%m-%d}/{READINGS.name}.parquet"


def window_of_key(table: Table, key: str) -> datetime | None:
    """Return the window of an object's name; None for a stranger's file."""
    return _window(_WINDOW_KEY.fullmatch(key), table)


def window_of_quarantined(table: Table, key: str) -> datetime | None:
    """Return the window that an object below `_quarantine/` once was; None for a stranger's file."""
    match = _WINDOW_KEY.match(key, len(QUARANTINE) + 1) if key.startswith(f"{QUARANTINE}/") else None
    return _window(match, table)


def cursor_key(sink: str) -> str:
    """Return the name of the object that says how far a sink has got."""
    return f"{PUBLISHED}/{sink}.parquet"


def consumed_key(stream: str) -> str:
    """Return the name of the object that says how far a stream was consumed."""
    return f"{CONSUMED}/{stream}.json"


def dead_letter_key(sink: str, window: datetime, name: str) -> str:
    """Return the name of an event of a window that a sink refused for good."""
    return f"{PUBLISHED}/{sink}/dead/{window:date=%Y-%m-%d/hour=%H}/{name}.json"


def window_of_dead_letter(key: str) -> datetime | None:
    """Return the window of a dead letter's name; None for any other name."""
    return _hour(_DEAD_LETTER.search(key))


def quarantine_key(key: str, modified: datetime, data: Buffer) -> str:
    """Name the copy of a damaged object: its name, the moment it was written and a sum of its bytes.

    The same object always gets the same name, and another object never does.
    """
    return f"{QUARANTINE}/{key}.{modified:%Y%m%dT%H%M%S}-{zlib.crc32(data):08x}"


def again_key(quarantined: str) -> str:
    """Return the name of the object that asks for the pushed readings of a quarantined window."""
    return f"{AGAIN}/{quarantined.removeprefix(f'{QUARANTINE}/')}"


def window_of_again(key: str) -> datetime | None:
    """Return the window whose pushed readings an object asks for; None for any other name."""
    rest = key.removeprefix(f"{AGAIN}/")
    return None if rest == key else window_of_quarantined(READINGS, f"{QUARANTINE}/{rest}")


def lock_of(key: str) -> str:
    """Return the lock file of an object's window.

    Windows that lie two days apart share one, so that there are 48 for each table and none needs to be deleted:
    unlinking a lock file that another process waits for is how two come to hold "the same" lock. No two of the windows
    of a day share one.
    """
    match = _WINDOW_KEY.search(key)
    window = _window(match, TABLES[match["table"]]) if match and match["table"] in TABLES else None
    if match is None or window is None:
        return f"{LOCKS}/lake.lock"
    # The day of the year is odd on 31 December and on 1 January.
    day = "odd" if window.toordinal() % 2 else "even"
    return f"{LOCKS}/{match['table']}-{day}-{match['hour']}.lock"


def _window(match: re.Match[str] | None, table: Table) -> datetime | None:
    return None if match is None or match["table"] != table.name else _hour(match)


def _hour(match: re.Match[str] | None) -> datetime | None:
    if match is None:
        return None
    try:
        return datetime.strptime(f"{match['date']} {match['hour']}", "%Y-%m-%d %H").replace(tzinfo=UTC)
    except ValueError:
        return None
