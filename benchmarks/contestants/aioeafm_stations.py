"""Fetch each station's page, with the newest value of its gauges, with aioeafm (used by Home Assistant).

aioeafm hard-codes the live host, so this module passes it a session that redirects to ours. Eight requests at a time.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import Task, main, readings_table

if TYPE_CHECKING:
    import pyarrow as pa

LIVE = "http://environment.data.gov.uk/flood-monitoring"
AT_ONCE = 8


def fill(task: Task) -> dict[str, Any]:
    """Store the newest value of each gauge of each station as one Parquet file."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - part of what is measured

    found = asyncio.run(_pages(task))
    pq.write_table(readings_table(*found), task.out / "readings.parquet")
    return {}


def rows(out: Path) -> "pa.Table":
    """Read the file."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    return pq.read_table(out / "readings.parquet")


async def _pages(task: Task) -> tuple[list[str], list[str], list[float | None]]:
    import aiohttp  # noqa: PLC0415 - part of what is measured
    from aioeafm import get_station, get_stations  # noqa: PLC0415

    measures: list[str] = []
    times: list[str] = []
    values: list[float | None] = []
    gate = asyncio.Semaphore(AT_ONCE)

    async with aiohttp.ClientSession(headers={"Accept-Encoding": "gzip" if task.gzip else "identity"}) as session:
        here = _Elsewhere(session, task.api)

        async def take(station: str) -> None:
            async with gate:
                page = await get_station(here, station)
            given = page.get("measures", [])
            for measure in given if isinstance(given, list) else [given]:
                newest = measure.get("latestReading")
                if isinstance(newest, dict):
                    value = newest.get("value")
                    measures.append(measure["@id"])
                    times.append(newest["dateTime"][:19])
                    values.append(float(value) if isinstance(value, int | float) else None)

        stations = await get_stations(here, status=None)
        await asyncio.gather(*(take(station["notation"]) for station in stations))
    return measures, times, values


class _Elsewhere:
    """Session that redirects requests to another host."""

    def __init__(self, session: Any, api: str) -> None:
        self._session = session
        self._api = api

    async def get(self, url: str, **more: Any) -> Any:
        """Send a GET to the other host."""
        return await self._session.get(url.replace(LIVE, self._api), **more)


if __name__ == "__main__":
    main(fill, rows)
