"""Test random histories of a lake: readings arrive in any order, runs in any order and trouble.

A Hypothesis state machine generates the histories; the invariants after each step are in
`flood_assets_tests.support.keeper.Keeper`. Sequences that once failed are plain tests at the end.
"""

import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flood_assets.ea import plan
from flood_assets.partitions import window_of
from flood_assets_tests.support.keeper import SPOILT, Keeper
from flood_assets_tests.support.model import HOUR, MINUTE, QUIET, Gauge, Source, Trouble

EXAMPLES = int(os.environ.get("FLOOD_MODEL_EXAMPLES", "15"))
STEPS = int(os.environ.get("FLOOD_MODEL_STEPS", "30"))

# Runs start here; each is a place where the calendar turns soon.
STARTS = [
    datetime(2026, 11, 21, 9, 7, 30, tzinfo=UTC),
    datetime(2026, 11, 30, 22, 50, 0, 123_456, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 59, 50, tzinfo=UTC),
    datetime(2028, 2, 29, 0, 0, tzinfo=UTC),
]

# A gauge that the snapshot does not list is judged by its reporting interval alone, if regular; one that it
# lists reports at least as far apart as the shorter of its period and its reporting interval.
_habits = {
    "delay": st.integers(0, 40),
    "batch": st.sampled_from([0, 0, 45, 240, 600]),
    "silent": st.tuples(st.integers(-25, 40), st.sampled_from([0, 0, 0, 5, 30])),
    "opens": st.sampled_from([-30, -30, -30, -30, -3, 1, 2, 20]),
    "ahead": st.sampled_from([0, 0, 0, 0, 20, 200]),
    "corrections": st.booleans(),
    "odd": st.booleans(),
    "seed": st.integers(0, 10_000),
}
_disorder = st.sampled_from([0, 0, 600])
_steady = st.sampled_from([300, 900, 900, 3600])
gauges = st.one_of(
    _steady.flatmap(
        lambda s: st.builds(
            Gauge, step=st.just(s), nominal=st.just(s), gaps=st.integers(0, 9), disorder=_disorder, **_habits
        )
    ),
    st.builds(Gauge, step=_steady, nominal=st.sampled_from([0, 3600, None]), **_habits),
    st.builds(Gauge, step=st.just(300), nominal=st.just(900), **_habits),
    st.builds(Gauge, step=st.none(), nominal=st.none(), disorder=_disorder, **_habits),
)

_measures = st.frozensets(st.sampled_from([f"m{i}" for i in range(5)]), max_size=4)
_what_fails = st.one_of(st.frozensets(st.sampled_from(["latest", "today", "yesterday"]), min_size=1), _measures)
_DAMAGE = ["cut", "empty", "strange", "inside", "inside", "column", "watermarks"]
_accidents = st.sampled_from(["killed", "killed", "killed after", "refused", "lost", "twice"])
_others = st.sampled_from(["tick", "tick", "reconcile", "window", "expire", "check", "list"])
_writes = st.sampled_from([0, 0, 1, 1, 2, 3, 4, 5, 7, 22, 23, 24, 25, 26, 27])
_slow = st.sampled_from([0, 0, 0, 1, 600, 2000])
# Most runs have one trouble; but for a slow API, nothing goes wrong with every second.
troubles = st.one_of(
    st.just(QUIET),
    st.builds(Trouble, pause=_slow),
    st.builds(Trouble, pause=_slow),
    st.builds(Trouble, pause=_slow, failing=_what_fails),
    st.builds(Trouble, pause=_slow, unknown=_measures, empty=_measures),
    st.builds(Trouble, pause=_slow, write=_writes, what=_accidents),
    st.builds(Trouble, pause=_slow, write=_writes, what=_others),
)
accidents = st.one_of(st.just(QUIET), st.builds(Trouble, write=st.integers(0, 6), what=_accidents | _others))
pauses = st.one_of(
    st.sampled_from([15, 15, 30, 45, 50, 1, 61, 180, 600, 1430, 1600, 1800]).map(lambda minutes: minutes * MINUTE),
    st.tuples(
        st.sampled_from([HOUR, 24 * HOUR]),
        st.sampled_from([timedelta(), timedelta(milliseconds=-1), timedelta(seconds=7), 4 * MINUTE]),
    ),
)
texts = st.sampled_from(["1.5", "2", "-25", "1.5|2", "2|1.5", "2|2", ""])


class AnyStory(RuleBasedStateMachine):
    """State machine over a lake."""

    @initialize(
        start=st.sampled_from(STARTS),
        found=st.lists(gauges, min_size=1, max_size=4),
        rows_per_s=st.sampled_from([10, 100, 300, plan.ROWS_PER_S]),
        bucket=st.sampled_from([True, True, False]),
        first=st.sampled_from(["tick", "listed", "nothing"]),
    )
    def begin(self, start: datetime, found: list[Gauge], rows_per_s: int, bucket: bool, first: str):
        # A small country costs the API as many rows a second as make one way of asking cheaper or the other.
        self.patched = patch.object(plan, "ROWS_PER_S", rows_per_s)
        self.patched.start()
        self.folder = None if bucket else tempfile.TemporaryDirectory()
        url = self.folder and f"file://{self.folder.name}/lake"
        self.keeper = Keeper(Source(start, found), start, url)
        if first != "nothing":
            self.keeper.list_gauges()
        if first == "tick":
            self.keeper.tick()

    def teardown(self):
        if hasattr(self, "keeper"):
            self.patched.stop()
            if self.folder:
                self.folder.cleanup()

    # -- time and runs

    @rule(pause=pauses)
    def time_passes(self, pause):
        self._wait(pause)

    @rule(pause=pauses, trouble=troubles)
    def tick(self, pause, trouble):
        self._wait(pause)
        self.keeper.tick(trouble)

    @rule(trouble=troubles)
    def tick_at_once(self, trouble):
        self.keeper.tick(trouble)

    @rule(trouble=troubles, first=st.integers(0, 24), more=st.sampled_from([24, 24, 0, 0, 1, 5]))
    def read_again(self, trouble, first, more):
        """Reconcile, or materialize a window, a range or the day as a person would."""
        if more == 24:
            self.keeper.reconcile(trouble)
        else:
            self.keeper.materialize(first, min(first + more, 24), trouble)

    @rule(trouble=accidents, what=st.sampled_from(["expire", "expire to the ms", "check", "list", "rest"]))
    def keep_house(self, trouble, what):
        match what:
            case "expire":
                self.keeper.expire(trouble)
            case "expire to the ms":
                # When the oldest reading is exactly a day old, which is a day too old.
                retained = self.keeper.retained()
                if retained:
                    self.keeper.wait(min(at for _, at in retained) + 24 * HOUR - self.keeper.now)
                self.keeper.expire(trouble)
            case "check":
                self.keeper.check(trouble)
            case "list":
                self.keeper.list_gauges()
            case "rest":
                self.keeper.rests()

    def _wait(self, pause):
        """Return minutes to wait: a number, or until about the next hour or midnight."""
        now = self.keeper.now
        if isinstance(pause, tuple):
            to, by = pause
            start = window_of(now).replace(hour=0) if to > HOUR else window_of(now)
            pause = max(start + to + by - now, timedelta())
        self.keeper.wait(pause)

    # -- what comes

    @rule(number=st.integers(0, 5), ago=st.integers(1, 1500), text=texts, coming=st.sampled_from([0, 0, 5, 20]))
    def a_straggler(self, number, ago, text, coming):
        """Add a reading dated before others already shown; of an event gauge, any."""
        source, now = self.keeper.source, self._a_moment_later()
        measure = self._measure(number)
        at = (now - ago * MINUTE).replace(microsecond=0)
        newer = [key for key in source.of(measure) if at < key[1] <= now and source.arrival(key) <= now]
        if (measure, at) not in source.of(measure) and (newer or source.gauges[measure].step is None):
            source.publish(measure, at, now + coming * MINUTE, text)
            if source.gauges[measure].step is not None:
                source.stragglers.add((measure, at))

    @rule(
        number=st.integers(0, 5),
        back=st.sampled_from([0, 0, 1, 2, 5, 20, 60, 100]),
        text=st.sampled_from(["1.5", "2", "1.5|2", "2|2", "", "turned", "turned"]),
        coming=st.sampled_from([0, 0, 5, 20]),
        returns=st.sampled_from([0, 0, 10, 30]),
    )
    def a_correction(self, number, back, text, coming, returns):
        """Correct the reading at a distance from the measure's newest; the old text may come back later.

        `turned` is the same in another order, or with a second value where there is only one.
        """
        source, now = self.keeper.source, self._a_moment_later()
        shown = [key for key in source.of(self._measure(number)) if source.arrival(key) <= now]
        if shown:
            key = shown[-1 - back % len(shown)]
            before = source.text(key, now)
            if text == "turned":
                text = "|".join(reversed(before.split("|"))) if "|" in before else f"{before or 7}|8"
            source.publish(*key, now + coming * MINUTE, text)
            if returns:
                source.publish(*key, now + (coming + returns) * MINUTE, before)

    @rule(gauge=gauges)
    @precondition(lambda self: len(self.keeper.source.gauges) < 5)
    def a_new_gauge(self, gauge):
        now = self._a_moment_later()
        self.keeper.source.add(gauge, now, since=now)
        self.keeper.source.until(now)

    @rule(number=st.integers(0, 5), hours=st.sampled_from([1, 6, 30]))
    def a_gauge_falls_silent(self, number, hours):
        self.keeper.source.silence(self._measure(number), self.keeper.now + 4 * HOUR + hours * HOUR)

    # -- damage

    @rule(which=st.sampled_from([0, 0, 1, 5, 23, 24, 24]), how=st.sampled_from(_DAMAGE))
    def damage(self, which, how):
        if how == "watermarks":
            self.keeper.spoil_watermarks()
            return
        whole = sorted(window for window, rows in self.keeper.held.items() if rows is not SPOILT)
        if whole:
            self.keeper.spoil(whole[-1 - which % len(whole)], how)

    # -- what is true

    @invariant()
    def everything_is_true(self):
        if hasattr(self, "keeper"):
            self.keeper.check_everything()

    def _a_moment_later(self):
        """Advance the clock so that new arrivals were absent from the last answer."""
        self.keeper.wait(timedelta(milliseconds=1))
        return self.keeper.now

    def _measure(self, number):
        names = list(self.keeper.source.gauges)
        return names[number % len(names)]


TestAnyStory = AnyStory.TestCase
TestAnyStory.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
)


# -- stories that once went wrong


def story(start: datetime, *gauges: Gauge, rows_per_s: int = plan.ROWS_PER_S):
    """Yield a lake that knows its gauges, and a function that runs a step and checks the invariants."""
    keeper = Keeper(Source(start, gauges), start)
    keeper.list_gauges()

    def told(*steps: Callable[[], object]) -> None:
        with patch.object(plan, "ROWS_PER_S", rows_per_s):
            for step in steps:
                step()
                keeper.check_everything()

    return keeper, told


def after(keeper: Keeper, minutes: float, trouble: Trouble = QUIET) -> Callable[[], object]:
    """Tick after some minutes."""

    def tick() -> None:
        keeper.wait(minutes * MINUTE)
        keeper.tick(trouble)

    return tick


def killed(writes: int, pause: float = 0) -> Trouble:
    return Trouble(write=writes, what="killed", pause=pause)


def test_the_watermark_of_a_measure_that_jumped_and_is_not_known_by_name_does_not_pass_what_could_not_be_had():
    keeper, told = story(STARTS[0], Gauge(), rows_per_s=10)
    told(keeper.tick, after(keeper, 30, Trouble(unknown=frozenset({"m0"}))), keeper.rests, keeper.reconcile)


def test_a_new_gauge_is_listed_with_15_minutes_and_reports_every_five():
    keeper, told = story(STARTS[0], Gauge(step=300, opens=1, delay=0), rows_per_s=10)
    told(keeper.tick, after(keeper, 48), after(keeper, 15), after(keeper, 15), keeper.rests, keeper.reconcile)


def test_runs_are_killed_at_the_first_windows_at_the_last_and_before_the_watermarks_over_the_end_of_a_year():
    gauges = Gauge(batch=240), Gauge(step=None, nominal=None), Gauge(disorder=600)
    keeper, told = story(STARTS[2], *gauges, rows_per_s=100)
    told(
        after(keeper, 15, killed(3)),
        after(keeper, 15),
        after(keeper, 180, killed(2)),
        after(keeper, 15, killed(0)),
        after(keeper, 600, Trouble(pause=600)),
        after(keeper, 15, killed(25)),
        keeper.rests,
        keeper.reconcile,
    )


def corrected(keeper: Keeper, measure: str, *texts: str):
    """Correct the newest reading repeatedly, with a reconcile after each; return its final row."""
    key = [key for key in keeper.source.of(measure) if keeper.source.arrival(key) <= keeper.now][-1]
    for text in texts:
        keeper.wait(MINUTE)
        keeper.source.publish(*key, keeper.now, text)
        keeper.reconcile()
        keeper.check_everything()
    return keeper.rows()[key]


def test_a_correction_that_comes_back_to_the_old_value_is_two_revisions():
    keeper, told = story(STARTS[0], Gauge())
    told(keeper.tick)
    row = corrected(keeper, "m0", "77", "78", "77")
    assert (row.value, row.previous, row.revision) == (77, 78, 3)


def test_two_values_in_the_other_order_are_no_revision():
    keeper, told = story(STARTS[0], Gauge())
    told(keeper.tick)
    row = corrected(keeper, "m0", "1.5|2", "2|1.5")
    assert (row.value, row.raw, row.revision) == (None, "1.5|2", 1)


def test_todays_answer_does_not_vouch_for_a_batch_from_before_midnight_that_could_not_be_asked_for():
    """The three others skipped two readings: re-reading the new day is cheaper than one request each."""
    keeper, told = story(datetime(2026, 11, 21, 0, 18, tzinfo=UTC), Gauge(), Gauge(), Gauge(), Gauge(opens=1000))
    first = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
    for i in range(27):
        upload = first + (3 if i < 12 else 6.6) * HOUR
        keeper.source.publish("m3", first + i * 15 * MINUTE, upload, "1")
    told(
        keeper.tick,
        after(keeper, 45, Trouble(failing=frozenset({"m3"}))),
        after(keeper, 15),
        keeper.rests,
        keeper.reconcile,
    )


# -- damage: the current hour is the window that nobody misses when it is gone, for it may not have been written yet

IN_THE_HOUR = datetime(2026, 11, 21, 12, 20, tzinfo=UTC)


def damaged(which: int, how: str):
    """Yield a full lake 15 minutes later with one damaged window, counted from the oldest retained."""
    keeper, told = story(IN_THE_HOUR, Gauge(), Gauge(batch=240))
    told(keeper.tick, lambda: keeper.wait(15 * MINUTE))
    window = sorted(window for window, rows in keeper.held.items() if rows)[which]
    told(lambda: keeper.spoil(window, how))
    return keeper, told, window


@pytest.mark.parametrize("trouble", [killed(2), Trouble(write=1, what="lost")], ids=["killed", "no answer"])
@pytest.mark.parametrize(("how", "who"), [("cut", "tick"), ("cut", "check"), ("inside", "check")])
def test_a_run_that_is_killed_when_it_has_quarantined_a_window_leaves_a_lake_that_is_read_anew(how, who, trouble):
    keeper, told, window = damaged(-1, how)
    told(lambda: getattr(keeper, who)(trouble), after(keeper, 15), after(keeper, 15))
    assert keeper.held[window]


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_run_that_is_killed_when_an_upsert_has_replaced_a_damaged_window_leaves_a_lake_that_is_read_anew(writes):
    keeper, told, window = damaged(-1, "inside")
    told(lambda: keeper.tick(killed(writes)), after(keeper, 15), after(keeper, 5))
    assert keeper.held[window]


@pytest.mark.parametrize("write", [0, 2])
def test_a_tick_does_not_vouch_again_for_what_a_check_found_damaged_meanwhile(write):
    keeper, told, window = damaged(-1, "inside")
    told(lambda: keeper.tick(Trouble(write=write, what="check")), keeper.tick, keeper.tick)
    assert keeper.held[window]


@pytest.mark.parametrize(("write", "other"), [(0, "tick"), (1, "check"), (1, "tick"), (2, "reconcile"), (3, "tick")])
def test_a_window_that_another_run_has_filled_again_is_not_quarantined(write, other):
    keeper, told, _ = damaged(-1, "cut")
    told(lambda: keeper.tick(Trouble(write=write, what=other)), keeper.tick, keeper.tick)


@pytest.mark.parametrize("how", ["inside", "column", "cut"])
def test_an_expiry_quarantines_a_window_whose_rows_cannot_be_decoded(how):
    keeper, told, _ = damaged(0, how)
    told(keeper.expire, after(keeper, 15))
    if how != "cut":
        assert keeper.store.list("_quarantine")


def test_a_check_finds_damage_in_any_column():
    keeper, told, window = damaged(-1, "column")
    told(keeper.check, keeper.tick)
    assert keeper.held[window]
