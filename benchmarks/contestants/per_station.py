"""Fetch the list of stations, then each station's readings, with requests and pandas, as most tutorials do.

Uses one connection, one station after the other.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import DAY, Task, main, readings_table
from benchmarks.contestants import raw

if TYPE_CHECKING:
    import pyarrow as pa


def fill(task: Task) -> dict[str, Any]:
    """Store each station's readings of the last day as one Parquet file."""
    import pandas as pd  # noqa: PLC0415 - part of what is measured

    since = f"{task.now - DAY:%Y-%m-%dT%H:%M:%SZ}"
    kept = []
    with raw.session(packed=task.gzip) as made:
        for station in made.get(f"{task.api}/id/stations").json()["items"]:
            url = f"{task.api}/id/stations/{station['notation']}/readings?since={since}&_limit=10000"
            items = made.get(url).json()["items"]
            if items:
                kept.append(pd.DataFrame(items)[["measure", "dateTime", "value"]])
    day = pd.concat(kept)
    day["dateTime"] = pd.to_datetime(day["dateTime"])
    day["value"] = pd.to_numeric(day["value"], errors="coerce")
    day.to_parquet(task.out / "readings.parquet")
    return {"stations": len(kept)}


def rows(out: Path) -> "pa.Table":
    """Read the file."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    kept = pq.read_table(out / "readings.parquet")
    return readings_table(kept["measure"], kept["dateTime"], kept["value"])


if __name__ == "__main__":
    main(fill, rows)
