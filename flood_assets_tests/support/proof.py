"""Check a lake against everything the simulated API has shown, whatever happened to its writers.

`Witness` records what the API shows; the functions return the faults of a lake as text, empty if there are none.
"""

import os
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flood_assets.lake import upsert, watermarks
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import current_key, key_of
from flood_assets.lake.read import StoredWindow, load
from flood_assets.partitions import cutoff
from flood_assets.schemas import READINGS, TABLES
from flood_assets.simulator import Server, Simulator, arrivals, serve
from flood_assets_tests.support.forked import Forker, forker
from flood_assets_tests.support.s3 import BUCKET, S3Server

DAY = timedelta(hours=24)

Key = tuple[str, datetime]
# As the API writes it, however a number is written: None, a number, or several.
Value = float | tuple[float, ...] | None


@dataclass(frozen=True)
class Held:
    """Stored reading."""

    value: Value
    previous: float | None
    revision: int
    changed: datetime


@dataclass(frozen=True)
class Store:
    """Location of a lake, for this process and others."""

    url: str
    s3: S3Server | None = None

    def open(self) -> Lake:
        return Lake.open(self.url, s3=self.s3)

    @property
    def environ(self) -> dict[str, str]:
        return {"FLOOD_LAKE_URL": self.url, **(self.s3.environ if self.s3 else {})}


def a_folder(under: Path) -> Store:
    return Store((under / "lake").as_uri())


def a_bucket(server: S3Server) -> Store:
    return Store(f"s3://{BUCKET}/{uuid.uuid4().hex}", server)


@contextmanager
def restless_country(stations: int, seed: int, now: Callable[[], datetime]) -> Iterator[Server]:
    """Make a country where one reading in forty is late and one in five is corrected: hundreds of each a day."""
    with pytest.MonkeyPatch.context() as patch:
        odd = {"_LATE": 0.0275, "_CORRECTED": 0.2275, "_DOUBLED": 0.2325, "_MISSING": 0.235, "_SPIKED": 0.236}
        for name, share in odd.items():
            patch.setattr(arrivals, name, share)
        with serve(Simulator(stations, seed, now)) as server:
            yield server


class Witness:
    """Recorder of every value that the API has shown since it was first asked."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.shown: dict[Key, set[Value]] = defaultdict(set)

    def look(self, now: datetime) -> dict[Key, Value]:
        """Return what it shows of the retained day at its present time, and a little of the future."""
        seen = {(row.measure, row.time): value_of(row.value) for row in self.server.truth(now - DAY, now + DAY)}
        for key, value in seen.items():
            self.shown[key].add(value)
        return {key: value for key, value in seen.items() if key[1] <= now}


def value_of(text: str) -> Value:
    """Format a value as the API writes it; several equal values are one."""
    parts = tuple(sorted(float(part) for part in text.split("|") if part))
    if len(set(parts)) > 1:
        return parts
    return parts[0] if parts else None


def held(lake: Lake, now: datetime) -> dict[Key, Held]:
    """Return the rows a reader gets; fail on a duplicate key."""
    rows = lake.read(READINGS, now=now).to_pylist()
    found = {
        (row["measure_id"], row["date_time"]): Held(
            row["value"] if row["raw_value"] is None else value_of(row["raw_value"]),
            row["previous_value"],
            row["revision"],
            row["changed_at"],
        )
        for row in rows
    }
    assert len(found) == len(rows), "a reading is there twice"
    return found


def unreadable(lake: Lake, known: set[StoredWindow] | None = None) -> str:
    """Return windows with undecodable columns or with keys that are not sorted and unique.

    Args:
        lake: whose.
        known: objects checked before, which are skipped; the present ones are added.
    """
    wrong = []
    known = set() if known is None else known
    for table in TABLES.values():
        for stored in lake.windows(table):
            if stored in known:
                continue
            known.add(stored)
            try:
                opened = load(lake.store, table, stored.key)
                assert opened is not None
                rows = opened.file.read(coded=table is READINGS)
                if table is READINGS:
                    upsert.Block.of(rows)  # raises when a key is not in its place
                    assert set(rows["date_time"].to_pylist()) == {
                        t for t in rows["date_time"].to_pylist() if key_of(READINGS, t) == stored.key
                    }
                else:
                    keys = [tuple(row.values()) for row in rows.select(list(table.key)).to_pylist()]
                    assert keys == sorted(set(keys)), "its keys are not sorted, or not unique"
            except Exception as error:  # noqa: BLE001 - all of it is what this looks for
                wrong.append(f"{stored.key}: {error!r}")
    return "; ".join(wrong)


def lost(before: Mapping[Key, Held], after: Mapping[Key, Held], edge: datetime) -> str:
    """Return readings dated after `edge` that disappeared or went back to an older revision."""
    gone = [key for key in before if key[1] > edge and key not in after]
    back = [
        (key, before[key], after[key])
        for key in before.keys() & after.keys()
        if after[key].revision < before[key].revision
        or (after[key].revision == before[key].revision and after[key] != before[key])
    ]
    return _said({"readings are gone": gone, "went back": back})


def invented(after: Mapping[Key, Held], witness: Witness) -> str:
    """Return readings that the API never showed with that value."""
    return _said({"the API never showed": [(key, h) for key, h in after.items() if h.value not in witness.shown[key]]})


def unlike(after: Mapping[Key, Held], truth: Mapping[Key, Value]) -> str:
    """Return the differences from the truth."""
    missing = [key for key in truth if key not in after]
    extra = [key for key in after if key not in truth]
    other = [(key, after[key], truth[key]) for key in truth.keys() & after.keys() if after[key].value != truth[key]]
    return _said({"missing": missing, "too many": extra, "another value": other})


def behind(after: Mapping[Key, Held], truth: Mapping[Key, Value]) -> str:
    """Return, per measure, the newest reading that `latest` shows and the lake lacks."""
    newest: dict[str, datetime] = {}
    for measure, moment in truth:
        newest[measure] = max(moment, newest.get(measure, moment))
    return _said({"`latest` shows what the lake has not": [key for key in newest.items() if key not in after]})


def unjustified(lake: Lake, before: pa.Table | None, after: Mapping[Key, Held], truth: Mapping[Key, Value]) -> str:
    """Return watermarks that claim more than is stored: the reading at a watermark and all before it must be stored.

    Args:
        lake: whose watermarks.
        before: the watermarks that held at the moment of `truth`; None when there were none.
        after: what the lake holds now.
        truth: what the API showed at a moment before any of the runs that moved the watermarks since.
    """
    now = watermarks.load(lake.store)
    then = dict(zip(before["measure_id"].to_pylist(), before["newest"].to_pylist(), strict=True)) if before else {}
    claimed = (
        {}
        if now is None
        else dict(zip(*(now.rows[name].to_pylist() for name in ("measure_id", "newest")), strict=True))
    )
    edge = min(moment for _, moment in truth)
    wrong = [key for key in claimed.items() if key[1] > edge and key not in after]
    wrong += [
        (measure, moment)
        for measure, moment in truth
        if measure in claimed
        and moment <= claimed[measure]
        and (measure not in then or moment > then[measure])
        and (measure, moment) not in after
    ]
    return _said({"marked as complete and not there": wrong})


def past(lake: Lake, now: datetime) -> str:
    """Return what is older than a day and still stored."""
    return _said({"expired": lake.expired(now), "rows past the cutoff": list(_older(lake, cutoff(now)))})


def litter(lake: Lake) -> list[str]:
    """Return files of a folder that are neither windows, nor the present of a table, nor the lake's own."""
    if not lake.store.local:
        return []
    folder = Path(lake.url.removeprefix("file://"))
    ours = {key for table in TABLES.values() for key in (w.key for w in lake.windows(table))}
    ours |= {current_key(table) for table in TABLES.values() if table.current}
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return [name for name in names if name not in ours and not name.startswith((".locks/", "_"))]


def _older(lake: Lake, edge: datetime) -> Iterator[str]:
    for stored in lake.windows(READINGS):
        oldest = lake.contents(READINGS, [stored.window])[stored.window].oldest
        if oldest is not None and oldest <= edge:
            yield stored.key


def _said(found: Mapping[str, list[Any]]) -> str:
    return "; ".join(f"{len(some)} {what}: {some[:5]}" for what, some in found.items() if some)


@pytest.fixture(scope="module")
def processes() -> Iterator[Forker]:
    """Start the process that forks the runs, without this machine's settings."""
    ours = ("FLOOD_", "DAGSTER_", "AWS_")
    with forker({name: value for name, value in os.environ.items() if not name.startswith(ours)}) as made:
        yield made
