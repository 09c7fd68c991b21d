"""Say to Prometheus, at /metrics, how the lake and this server are.

All that concerns the lake is computed when it is asked for, from the snapshot and the listing that the server has: what
is not there any more, or not done any more, shows as such. Times are told as times, so that their ages are Prometheus'
to compute. Names and labels are bounded: regions and parameters, never stations.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import product

import numpy as np
import pyarrow.compute as pc
from anyio import to_thread
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import Response

from flood_assets import __version__
from flood_assets.errors import FloodAssetsError
from flood_assets.grouping import Ints
from flood_assets.lake import cursor as cursors
from flood_assets.lake.cursor import Cursor
from flood_assets.lake.layout import CURRENT, LANDING, PUBLISHED, QUARANTINE, RECEIPTS
from flood_assets.landing import batches
from flood_assets.ledger.account import CAUSES
from flood_assets.places import SHARD_FOLDER
from flood_assets.query import health, outbox
from flood_assets.query.conditions import FRESHNESS, freshness_of
from flood_assets.schemas import TABLES
from flood_assets.serve import tables
from flood_assets.serve.snapshot import Snapshot
from flood_assets.serve.stream import Stream
from flood_assets.serve.traffic import Traffic
from flood_assets.serve.watch import Watcher

_HOLDS = timedelta(minutes=1)
# Regions are the catchments with the most gauges; there are some 80.
REGIONS = 150
_OTHER = health.OTHER
_FOLDERS = (*TABLES, CURRENT, LANDING, RECEIPTS, PUBLISHED, QUARANTINE)
# Steps whose last time a lake does not hold, but which can fail.
_FAILING = (*health.STEPS, "published", "retention", "landed", _OTHER)


@dataclass(frozen=True)
class _Told:
    """What one snapshot says, as text, and until when."""

    text: bytes
    until: datetime


class Metrics:
    """The answers to Prometheus.

    Args:
        watcher: has the lake.
        stream: its clients are counted.
        traffic: the requests so far.
        clock: the current time.
    """

    def __init__(self, watcher: Watcher, stream: Stream, traffic: Traffic, clock: Callable[[], datetime]) -> None:
        self._watcher, self._stream, self._clock = watcher, stream, clock
        self._server = CollectorRegistry()
        self._server.register(traffic)
        ProcessCollector(registry=self._server)
        self._counts: dict[tuple[datetime, str | None], Ints] = {}
        self._cursors: dict[str, tuple[str | None, Cursor | None]] = {}
        self._lock = threading.Lock()

    async def answer(self, request: Request) -> Response:  # noqa: ARG002 - Starlette gives it
        """Answer with the metrics, in Prometheus' text format."""
        text = await to_thread.run_sync(self.text)
        return Response(
            text, headers={"content-type": "text/plain; version=0.0.4; charset=utf-8", "cache-control": "no-store"}
        )

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        now, snapshot = self._clock(), self._watcher.snapshot
        # One at a time: what is remembered for the next one is not for two.
        with self._lock:
            told = [] if snapshot is None else [self._kept(snapshot, now), _text(self._beside(snapshot, now))]
        return b"".join([_text(self._own()), *told, generate_latest(self._server)])

    def _kept(self, snapshot: Snapshot, now: datetime) -> bytes:
        def made() -> _Told:
            return _Told(_text(self._of_snapshot(snapshot, now)), now + _HOLDS)

        return snapshot.kept("metrics", now, made).text

    def _own(self) -> Iterator[Metric]:
        """Yield what this server knows of itself and of its looks at the lake."""
        yield InfoMetricFamily("flood_assets_build", "The version that serves.", {"version": __version__})
        confirmed = self._watcher.confirmed_at
        yield _one("lake_readable", "1 if the last look at the lake succeeded.", not self._watcher.trouble)
        yield _one(
            "snapshot_confirmed_timestamp_seconds",
            "Time at which the lake was last found to be as it is served.",
            0 if confirmed is None else confirmed.timestamp(),
        )
        snapshot = self._watcher.snapshot
        away = len(snapshot.frozen.away) if snapshot else 0
        yield _one("shards_unreadable", "Shards that could not be read at the last look.", away)
        yield _one("stream_clients", "Clients that follow the stream.", self._stream.clients)

    def _beside(self, snapshot: Snapshot, now: datetime) -> Iterator[Metric]:
        """Yield what the listing says of all objects, and the sinks."""
        size, number = dict.fromkeys((*_FOLDERS, _OTHER), 0), dict.fromkeys((*_FOLDERS, _OTHER), 0)
        # Of shards all together: what is in a shard is below its folder.
        listed = [
            replace(meta, key=meta.key.partition("/")[2]) if meta.key.startswith(SHARD_FOLDER) else meta
            for meta in self._watcher.listed
        ]
        for meta in listed:
            folder = meta.key.partition("/")[0]
            folder = folder if folder in size else _OTHER
            size[folder] += meta.size
            number[folder] += 1
        yield _by("lake_size_bytes", "Size of the objects of the lake.", "folder", size)
        yield _by("lake_objects", "Objects of the lake.", "folder", number)
        yield _one("quarantined_objects", "Damaged objects that were moved below _quarantine/.", number[QUARANTINE])
        landed = batches.among(listed)
        waiting = [meta.modified for _, meta in (*landed.batches, *landed.uploads)]
        longest = max(0.0, (now - min(waiting)).total_seconds()) if waiting else 0
        yield _one("landing_batches", "Pushed batches that wait to be ingested.", len(waiting))
        yield _one("landing_wait_seconds", "Age of the oldest of them; 0 without any.", longest)
        space = None if self._watcher.trouble else self._watcher.lake().store.space()
        free, disk = _family("lake_free_bytes", _FREE), _family("lake_disk_bytes", "Size of the lake's disk.")
        for family, value in zip((free, disk), space or (), strict=False):
            family.add_metric([], value)
        yield from (free, disk)
        yield from self._sinks(snapshot, now)

    def _sinks(self, snapshot: Snapshot, now: datetime) -> Iterator[Metric]:
        e_tags = {meta.key: meta.e_tag for meta in self._watcher.listed}
        beside = outbox.Beside.of(e_tags)
        self._cursors = {sink: found for sink, found in self._cursors.items() if sink in beside.cursors}
        lag = _family(
            "sink_lag_seconds", "Age of the oldest change that a sink has not confirmed; 0 if none waits.", "sink"
        )
        for sink, key in beside.cursors.items():
            if self._cursors.get(sink, ("", None))[0] != e_tags[key]:
                try:
                    self._cursors[sink] = (e_tags[key], cursors.load(self._watcher.lake().store, sink))
                except FloodAssetsError:
                    continue  # the lake is away, as another metric says
            since = outbox.waits_since(self._cursors[sink][1] or Cursor(), snapshot.decoded, now)
            lag.add_metric([sink], 0 if since is None else max(0.0, (now - since).total_seconds()))
        yield lag
        yield _by("sink_dead_letters", "Events of the last day that a sink refused for good.", "sink", beside.dead)

    def _of_snapshot(self, snapshot: Snapshot, now: datetime) -> Iterator[Metric]:
        """Yield what the lake says of the work on it and of the gauges."""
        found = health.health(snapshot.lake, now, len(snapshot.damaged) + len(snapshot.lake.damages))
        times = {step: at.timestamp() for step, at in found.succeeded.items()}
        times = dict.fromkeys(health.STEPS, 0.0) | times
        if found.alerts is None:
            del times["alerts"]
        yield _by(
            "last_success_timestamp_seconds", "Time at which a step of a run asked or counted last.", "step", times
        )
        failed = found.failed if found.failed in (None, *_FAILING) else _OTHER
        states = {step: int(step == failed) for step in _FAILING}
        yield _by("step_failed", "1 for the step that failed last, if nothing has healed it since.", "step", states)
        yield _by("windows_damaged", "Retained windows that cannot be read.", "table", found.damaged)
        yield _one("windows_missing", "Hours of readings that should be there and are not.", found.missing)
        yield _one("windows_overdue", "Windows that were to be deleted an hour ago.", found.overdue)
        yield _one("readings", "Readings of the last 24 hours.", len(snapshot.day.at))
        yield _one("rejects", "Rows of the last 24 hours that could not be stored.", found.rejects)
        yield _by("alerts_firing", "Alerts by the rules of FLOOD_ALERTS that fire.", "severity", found.alerts or {})
        yield _by("warnings_in_force", "Flood warnings in force.", "level", found.warnings)
        yield from _completeness(health.counts(snapshot.lake, now, snapshot.measures, self._counts))
        yield from _gauges(snapshot, now)


_FREE = "Bytes that are free on the lake's disk; not told of a bucket."


def _completeness(counts: Mapping[str, Iterable[int]]) -> Iterator[Metric]:
    of = {parameter: dict(zip(health.COUNTS, sums, strict=True)) for parameter, sums in counts.items()}
    for name, help_ in (
        ("expected", "Readings of the last 24 hours that were expected, at the last count."),
        ("received", "Readings of the last 24 hours that are stored, likewise."),
        ("late", "Received readings that came later than is usual for their gauge, likewise."),
    ):
        sums = {parameter: each[name] for parameter, each in of.items()}
        yield _by(f"readings_{name}", help_, "parameter", sums)
    missing = _family("readings_missing", "Expected readings that are not stored, likewise.", "parameter", "cause")
    for parameter, cause in product(of, CAUSES):
        missing.add_metric([parameter, cause], of[parameter][cause])
    yield missing


def _gauges(snapshot: Snapshot, now: datetime) -> Iterator[Metric]:
    """Yield the gauges by freshness, and their newest readings, of each region and parameter that there is."""
    names = snapshot.stations["catchment"].fill_null("").to_pylist()
    regions = [name for name, _ in Counter(filter(None, sorted(names))).most_common(REGIONS)] + [_OTHER]
    place = {name: number for number, name in enumerate(regions)}
    of_station = np.array([place.get(name, len(regions) - 1) for name in (*names, "")], np.int64)
    parameters = (*health.PARAMETERS, _OTHER)
    parameter = np.append(health.parameters_of(snapshot.measures), len(parameters) - 1)[snapshot.listed]
    cell = of_station[snapshot.station] * len(parameters) + parameter

    at = tables.newest(snapshot, now)
    heard = np.zeros(len(snapshot.ids), np.bool_)
    heard[snapshot.day.measure[at]] = True
    newest = np.zeros(len(regions) * len(parameters), np.int64)
    np.maximum.at(newest, cell[snapshot.day.measure[at]], snapshot.day.at[at])
    reporting = snapshot.timeliness.take(pc.index_in(snapshot.ids, value_set=snapshot.timeliness["measure_id"]))
    fresh = freshness_of(reporting, heard, now)
    states = (*FRESHNESS, "unknown")
    count = np.bincount(
        cell * len(states) + np.where(fresh < 0, len(FRESHNESS), fresh), minlength=len(newest) * len(states)
    )
    count = count.reshape(len(newest), len(states))

    gauges = _family(
        "gauges", "Gauges, that is measures, by freshness at this moment.", "region", "parameter", "freshness"
    )
    times = _family(
        "newest_reading_timestamp_seconds", "Time of the newest reading of a region's gauges.", "region", "parameter"
    )
    for number, (region, name) in enumerate(product(regions, parameters)):
        for state, value in zip(states, count[number].tolist(), strict=True):
            if count[number].any():
                gauges.add_metric([region, name, state], value)
        if newest[number]:
            times.add_metric([region, name], newest[number] / 1000)
    yield from (gauges, times)


def _text(families: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Collected(list(families)))
    return generate_latest(registry)


class _Collected:
    def __init__(self, families: list[Metric]) -> None:
        self.collect = families.__iter__


def _family(name: str, help_: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"flood_assets_{name}", help_, labels=labels)


def _one(name: str, help_: str, value: float) -> GaugeMetricFamily:
    family = _family(name, help_)
    family.add_metric([], value)
    return family


def _by(name: str, help_: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = _family(name, help_, label)
    for value, number in values.items():
        family.add_metric([value], number)
    return family
