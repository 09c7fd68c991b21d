"""Run ticks of `flood_assets` and compare each with two floors at the same moment in the same process.

*One window*: read `latest` with bare pyarrow and upsert the current window. *Same work*: parse this tick's answers with
bare pyarrow and upsert as many windows as the tick wrote. Both are lower bounds: they check nothing and miss late rows.

Not a contestant; used by `flood` for `do=ticks`.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import requests

from benchmarks.contestant import MEASURES, Task
from benchmarks.contestants import raw
from benchmarks.contestants.lake_run import run_once
from flood_assets import ingest
from flood_assets.ea import plan
from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.lake import watermarks
from flood_assets.lake.lake import Lake
from flood_assets.partitions import retained_windows
from flood_assets.schemas import MEASURES as MEASURES_TABLE


def several(task: Task) -> dict[str, Any]:
    """Advance the clock and catch up, once for each of the minutes in the option `minutes`.

    With the option `calm`, batches are stored just before, so that only gauges with one new reading remain.
    The first tick of a process includes one-time work, and so do its floors.
    """
    steps = [float(part) for part in task.options.get("minutes", "15,15,15,15").split(",")]
    calm = "calm" in task.options
    moment, told = task.now, []
    with raw.session(packed=task.gzip) as made:
        for step in steps:
            moment += timedelta(minutes=step)
            task.move_clock(moment)
            # A gauge whose clock is ahead shows batches until its readings are due: then try a minute later.
            while calm and _store_batches(task, moment) and moment < task.now + timedelta(hours=1):
                moment += timedelta(minutes=1)
                task.move_clock(moment)
            told.append(_one(task, made, moment) | {"minutes": step, "at": f"{moment:%Y-%m-%dT%H:%M:%SZ}"})
    return {"ticks": told}


def _one(task: Task, made: Any, moment: datetime) -> dict[str, Any]:
    latest = f"{task.api}/data/readings.csv?latest"
    with _recorded() as urls:
        did = run_once(task, moment, None)
    answers = [raw.body(made, url) for url in urls]
    newest = raw.body(made, latest)
    filling = moment.replace(minute=0, second=0)
    # Upserting a window again is as much work as the first time.
    one_window = _timed(lambda: _upsert([newest], _stored(task.out, [filling]), task.out))
    same_work = _timed(lambda: _upsert(answers, _stored(task.out, map(_moment, did["windows"])), task.out))
    found = re.search(r"(\d+) measures have one new reading, (\d+) have several", did["reason"])
    return {
        "reason": did["reason"],
        "requests": did["requests"],
        "moved": int(found[1]) if found else None,
        "jumped": int(found[2]) if found else None,
        "bytes": did["bytes"],
        "rows": did["rows"],
        "added": did["added"],
        "written": did["written"],
        "seconds": did["seconds"],
        "one_window": one_window,
        "same_work": same_work,
    }


def _store_batches(task: Task, moment: datetime) -> int:
    """Store the new readings of gauges with a batch, so that the tick finds only gauges with one new reading.

    In a whole country some gauge always uploads a batch, so no tick is calm otherwise.

    Returns:
        Number of gauges and days that a tick would still have to request.
    """
    lake = Lake.open(task.out.resolve().as_uri())
    complete = watermarks.load(lake.store)
    snapshot = lake.newest_snapshot(MEASURES_TABLE, moment)
    if complete is None or snapshot is None:
        raise RuntimeError("a calm tick needs a full lake")
    known = plan.Known({}, complete.rows, snapshot)
    with closing(FloodMonitoringApi(task.api, now=lambda: moment)) as api:
        latest = api.latest().rows
        chosen = plan.after_latest(latest, known, moment)
        moved = latest.filter(pa.array(chosen.take))["measure_id"].cast(pa.string()).combine_chunks()
        whole = ingest.reread(api, retained_windows(moment), known, moment)

    def others(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.invert(pc.is_in(rows["measure_id"].cast(pa.string()), value_set=moved)))

    lake.upsert_readings(others(whole.rows), whole.observed_at, moment, stations=snapshot)
    watermarks.advance(lake.store, others(whole.watermarks), whole.observed_at, loss=complete.loss)
    after = watermarks.load(lake.store)
    left = plan.after_latest(latest, replace(known, watermarks=after.rows) if after else known, moment)
    return len(left.since) + len(left.days)


def _upsert(sent: list[bytes], windows: list[tuple[datetime, bytes]], out: Path) -> None:
    """Parse answers and upsert each window with bare pyarrow: the last row of a key wins."""
    parsed = [_without_root(raw.table(raw.plain(body), coded=True)) for body in sent]
    hours = [pc.floor_temporal(rows["date_time"], unit="hour") for rows in parsed]
    for number, (window, stored) in enumerate(windows):
        parts = [pq.read_table(pa.BufferReader(stored), columns=_COLUMNS).cast(_STORED)] if stored else []
        for rows, hour in zip(parsed, hours, strict=True):
            own = rows.filter(pc.equal(hour, pa.scalar(window, _TIME)))
            parts.append(own.set_column(0, "measure_id", own["measure_id"].cast(pa.string())))
        upserted = pa.concat_tables(parts)
        upserted = upserted.append_column("place", pa.array(np.arange(len(upserted), dtype=np.int32)))
        upserted = upserted.sort_by([(name, "ascending") for name in ("measure_id", "date_time", "place")])
        last = pc.or_(_differs(upserted["measure_id"]), _differs(upserted["date_time"]))
        upserted = upserted.drop_columns("place").filter(pa.concat_arrays([last, pa.array([True])]))
        pq.write_table(upserted, out / f".floor-{number}.parquet", compression="zstd")


_TIME = pa.timestamp("ms", "UTC")
_COLUMNS = ["measure_id", "date_time", "value"]
_STORED = pa.schema(list(zip(_COLUMNS, (pa.string(), _TIME, pa.float64()), strict=True)))


def _without_root(rows: pa.Table) -> pa.Table:
    """Convert to measure_id (dictionary), date_time, value as stored in the lake."""
    rows = rows.unify_dictionaries().combine_chunks()
    measure = rows["measure"].chunk(0)
    names = pc.replace_substring(measure.dictionary, MEASURES, "")
    ids = pa.DictionaryArray.from_arrays(measure.indices, names)
    return pa.table([ids, rows["dateTime"].cast(_TIME), rows["value"]], names=_COLUMNS)


def _differs(column: pa.ChunkedArray) -> pa.Array:
    """Return, for each row but the last, true if the next value differs."""
    values = column.combine_chunks()
    values = values.chunk(0) if isinstance(values, pa.ChunkedArray) else values
    return pc.not_equal(values[:-1], values[1:])


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def _recorded() -> Iterator[list[str]]:
    """Record the URLs that this process requests inside the context, in order."""
    urls: list[str] = []
    send = requests.Session.send

    def noted(self: Any, request: Any, **more: Any) -> Any:
        urls.append(request.url)
        return send(self, request, **more)

    requests.Session.send = noted  # type: ignore[method-assign]
    try:
        yield urls
    finally:
        requests.Session.send = send  # type: ignore[method-assign]


def _stored(out: Path, windows: Iterable[datetime]) -> list[tuple[datetime, bytes]]:
    files = {window: out / f"readings/date={window:%Y-%m-%d}/hour={window:%H}/readings.parquet" for window in windows}
    return [(window, file.read_bytes() if file.exists() else b"") for window, file in files.items()]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
