"""Test random histories through the real Dagster jobs and HTTP, against a simulated country's truth.

Fewer and shorter than in `test_model`, and with less to compare: what the API shows at each moment.
"""

import os
from contextlib import contextmanager
from datetime import datetime, timedelta
from unittest.mock import patch

import dagster as dg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from flood_assets.ea import plan
from flood_assets.errors import LakeError
from flood_assets.lake.folder import Folder
from flood_assets.partitions import cutoff, retained_windows, window_of
from flood_assets.schemas import READINGS
from flood_assets_tests.conftest import NOW, Place
from flood_assets_tests.proofs.test_refresh_day import same
from flood_assets_tests.support.faulty import country
from flood_assets_tests.support.retained import is_retained

__all__ = ["country"]

EXAMPLES = int(os.environ.get("FLOOD_MODEL_JOB_EXAMPLES", "2"))
STEPS = int(os.environ.get("FLOOD_MODEL_JOB_STEPS", "12"))
MINUTE = timedelta(minutes=1)

# Moments at which stories begin: in the morning, and just before a midnight.
STARTS = [NOW, datetime.combine(NOW.date(), NOW.time().replace(hour=23, minute=58), tzinfo=NOW.tzinfo)]

_FAULTS = [
    {"match": "latest", "kind": "status"},
    {"match": "date=", "kind": "truncate"},
    {"match": "date=", "kind": "cut_at_line", "framing": "close"},
    {"match": "since=", "kind": "html", "times": 0},
    {"match": "", "kind": "status", "times": 0},
]
# A fault of the API and a number of writes: from so many on the store says no, until the run has ended.
_accidents = [(None, None)] * 8 + [(fault, None) for fault in _FAULTS] + [(None, n) for n in (0, 1, 5, 24, 25)]
accidents = st.sampled_from(_accidents)


@contextmanager
def full_after(writes: int | None):
    """A store that takes so many writes and no more."""
    put, left = Folder.put, writes

    def may_be_full(self, key, data, *, replaces):
        nonlocal left
        if left == 0:
            raise LakeError(f"{key}: the disk is full")
        left = None if left is None else left - 1
        put(self, key, data, replaces=replaces)

    Folder.put = may_be_full
    try:
        yield
    finally:
        Folder.put = put


class AnyStory(RuleBasedStateMachine):
    """State machine over a `Place` and Dagster's jobs."""

    def __init__(self, made) -> None:
        super().__init__()
        self.place: Place = made()
        self.ever: dict = {}
        self.held: set = set()

    @initialize(start=st.sampled_from(STARTS), rows_per_s=st.sampled_from([100, plan.ROWS_PER_S]))
    def begin(self, start, rows_per_s):
        # A small country costs the API as many rows a second as make one way of asking cheaper or the other.
        self.patched = patch.object(plan, "ROWS_PER_S", rows_per_s)
        self.patched.start()
        self.place.at(start)
        assert self.place.tick(snapshot=True).success
        self.is_what_the_api_shows()

    def teardown(self):
        if hasattr(self, "patched"):
            self.patched.stop()

    @rule(minutes=st.sampled_from([15, 15, 15, 45, 61, 180, 600, 1500]))
    def time_passes(self, minutes):
        self.place.at(self.place.now + minutes * MINUTE)

    @rule(minutes=st.sampled_from([15, 15, 45]), accident=accidents)
    def tick(self, minutes, accident):
        self.place.at(self.place.now + minutes * MINUTE)
        if self._run(self.place.tick, *accident):
            newest = {key[0]: key for key in sorted(self.truth())}
            assert set(newest.values()) <= self.rows().keys()

    @rule(accident=accidents)
    def reconcile(self, accident):
        if self._run(self.place.reconcile, *accident):
            self.is_what_the_api_shows()

    @rule(first=st.integers(0, 24), more=st.sampled_from([0, 0, 3]), accident=accidents)
    def materialize(self, first, more, accident):
        windows = retained_windows(self.place.now)[first : first + more + 1]
        if self._run(lambda: self.place.materialize("readings", windows[0], windows[-1]), *accident):
            asked = {key: value for key, value in self.truth().items() if window_of(key[1]) in windows}
            held = {key: value for key, value in self.rows().items() if window_of(key[1]) in windows}
            assert same(held, asked)

    @rule(writes=st.sampled_from([None, None, 0, 3]))
    def expire(self, writes):
        if self._run(self.place.expire, None, writes):
            lake = self.place.lake
            assert not lake.expired(self.place.now)
            for stored in lake.windows(READINGS):
                oldest = lake.contents(READINGS, [stored.window])[stored.window].oldest
                assert oldest is None or oldest > cutoff(self.place.now)

    @invariant()
    def nothing_is_twice_or_made_up_or_lost(self):
        rows = self.rows()
        for key, value in rows.items():
            assert any(same({key: value}, {key: shown}) for shown in self.ever[key])
        lost = {key for key in self.held - rows.keys() if is_retained(key[1], self.place.now)}
        assert not lost
        self.held = set(rows)

    def _run(self, run, fault, writes) -> bool:
        """Run a job and return True on success; it must succeed without trouble."""
        self.truth()
        self.place.server.set_faults([fault] if fault else [])
        with full_after(writes):
            result: dg.ExecuteInProcessResult = run()
        self.place.server.set_faults([])
        assert result.success or fault or writes is not None
        return result.success and not fault

    def truth(self) -> dict:
        """Return the retained day as shown now, and record it."""
        now = self.place.now
        shown = {(row.measure, row.time): row.value for row in self.place.server.truth(cutoff(now), now)}
        for key, value in shown.items():
            self.ever.setdefault(key, set()).add(value)
        return shown

    def rows(self) -> dict:
        table = self.place.lake.read(READINGS, now=self.place.now)
        measures, times, values, raws = (
            table[name].to_pylist() for name in ("measure_id", "date_time", "value", "raw_value")
        )
        keys = list(zip(measures, times, strict=True))
        rows = {k: v if raw is None else raw for k, v, raw in zip(keys, values, raws, strict=True)}
        assert len(rows) == len(keys)
        return rows

    def is_what_the_api_shows(self) -> None:
        assert same(self.rows(), self.truth())


def test_the_jobs_keep_the_lake_whatever_happens(country, tmp_path_factory, no_waiting):
    places: list[dg.DagsterInstance] = []

    def made() -> Place:
        places.append(dg.DagsterInstance.ephemeral())
        return Place(country, (tmp_path_factory.mktemp("story") / "lake").as_uri(), places[-1])

    try:
        run_state_machine_as_test(
            lambda: AnyStory(made),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        country.set_faults([])
        for instance in places:
            instance.dispose()
