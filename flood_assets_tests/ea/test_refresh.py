"""Refreshes against a model of the country: gauges with arrival times, an API that shows what has arrived, a real lake.

The model knows what the API showed at each moment, so that each promise can be checked against all of it. Data arrives
between two requests of one run, requests fail, runs are killed at any write, and time jumps over midnights.
"""

import logging
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from time import sleep
from types import SimpleNamespace
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flood_assets.ea import parse, plan, refresh
from flood_assets.ea.client import Answer, NotFoundError
from flood_assets.errors import SourceError
from flood_assets.lake import marks
from flood_assets.lake.io_manager import Batch, _store
from flood_assets.lake.lake import Lake
from flood_assets.partitions import is_retained, retained_windows
from flood_assets.schemas import MARKS, MEASURES, READINGS, REJECTS

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
# Runs start here; each is a place where the calendar turns soon.
STARTS = [
    datetime(2026, 11, 21, 9, 7, 30, tzinfo=UTC),
    datetime(2026, 11, 30, 22, 50, 0, 123_456, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 59, 50, tzinfo=UTC),
    datetime(2028, 2, 29, 0, 0, tzinfo=UTC),
]
HISTORY = 30 * HOUR
HORIZON = 80 * HOUR


@dataclass(frozen=True)
class Reading:
    measure: str
    at: datetime
    arrival: datetime
    value: float
    corrected: datetime | None = None

    def shown(self, moment: datetime) -> float | None:
        """Its value as the API shows it at a moment; None before it has arrived."""
        if self.arrival > moment:
            return None
        return self.value + (1000 if self.corrected and self.corrected <= moment else 0)


@dataclass(frozen=True)
class Gauge:
    """How one measure reports.

    Attributes:
        step: seconds between readings; None for an event gauge.
        nominal: what the snapshot says of it; 0 where the snapshot does not know the measure.
        delay: minutes from reading to arrival.
        batch: minutes between uploads; 0 when each reading comes by itself.
        gaps: how often, of 10, a reading is skipped.
        silent: hours after the start at which it falls silent for a while, and for how long.
        opens: hours after the start of its first reading.
        ahead: minutes by which its clock is wrong.
        disorder: up to how many minutes later single readings arrive; 0 when they arrive in order of their time.
        corrections: whether values are corrected afterwards.
    """

    step: int | None = 900
    nominal: int | None = 900
    delay: int = 3
    batch: int = 0
    gaps: int = 0
    silent: tuple[int, int] = (0, 0)
    opens: int = -30
    ahead: int = 0
    disorder: int = 0
    corrections: bool = False
    seed: int = 0

    def readings(self, name: str, start: datetime) -> Iterator[Reading]:
        chance = random.Random(self.seed)
        midnight = datetime.combine((start - HISTORY).date(), time(), tzinfo=UTC)
        at = midnight + chance.randrange(4) * timedelta(seconds=1)
        quiet = start + self.silent[0] * HOUR
        upload = midnight + chance.randrange(max(self.batch, 1)) * MINUTE
        while at < start + HORIZON:
            at += timedelta(seconds=self.step or chance.choice([60, 900, 901, 3600, 3600, 20_000]))
            skipped = chance.randrange(10) < self.gaps or quiet <= at < quiet + self.silent[1] * HOUR
            if skipped or at < start + self.opens * HOUR:
                continue
            arrival = at + self.delay * MINUTE
            if self.batch:
                uploads = -((upload - arrival) // (self.batch * MINUTE))
                arrival = upload + uploads * self.batch * MINUTE
            if self.disorder and chance.random() < 0.3:
                arrival += chance.randrange(self.disorder) * MINUTE
            corrected = arrival + chance.randrange(1, 600) * MINUTE if self.corrections else None
            yield Reading(name, at + self.ahead * MINUTE, arrival, float(chance.randrange(100)), corrected)


@dataclass(frozen=True)
class Country:
    """A few gauges, which cost the API as many rows a second as make one way of asking cheaper or the other."""

    start: datetime
    gauges: tuple[Gauge, ...]
    rows_per_s: int = plan.ROWS_PER_S

    def readings(self) -> list[Reading]:
        return [reading for i, gauge in enumerate(self.gauges) for reading in gauge.readings(f"m{i}", self.start)]

    def snapshot(self) -> pa.Table:
        rows = [
            {
                **dict.fromkeys(MEASURES.schema.names),
                "measure_id": f"m{i}",
                "period_s": g.nominal,
                "observed_at": self.start,
            }
            for i, g in enumerate(self.gauges)
            if g.nominal != 0
        ]
        return pa.Table.from_pylist(rows, schema=MEASURES.schema)


@dataclass(frozen=True)
class Run:
    """What a run meets.

    Attributes:
        sleep: minutes since the run before.
        pause: seconds that each of its requests takes, in which more arrives.
        failing: gauges that cannot be asked singly.
        unknown: gauges that the API says that it does not know.
        killed: after so many writes to the lake; None when it lives.
        windows: which of the retained windows to read again; None for a tick.
    """

    sleep: float = 15
    pause: float = 0
    failing: frozenset[int] = frozenset()
    unknown: frozenset[int] = frozenset()
    killed: int | None = None
    windows: tuple[int, int] | None = None


@dataclass
class Api:
    """The API at one run: each request sees what has arrived when it is sent.

    Requests for single measures are under way at once; so that a failure can be repeated, the time of each follows
    from its measure and not from the threads.
    """

    readings: Sequence[Reading]
    now: datetime
    run: Run
    asked: list[tuple[str, datetime]] = field(default_factory=list)
    clock: datetime = field(init=False)
    base_url: str = "http://127.0.0.1/flood-monitoring"

    def __post_init__(self) -> None:
        self.clock = self.now

    def latest(self) -> Answer:
        newest: dict[str, Reading] = {}
        moment = self._sent("latest")
        for reading in self.readings:
            if reading.arrival <= moment and (reading.measure not in newest or newest[reading.measure].at < reading.at):
                newest[reading.measure] = reading
        return self._answer(list(newest.values()), moment)

    def readings_of_day(self, day: date) -> Answer:
        moment = self._sent(str(day))
        return self._answer([r for r in self.readings if r.at.date() == day], moment)

    def readings_since(self, measure_id: str, since: datetime) -> Answer:
        number = int(measure_id[1:])
        moment = self.clock + number * timedelta(seconds=self.run.pause) / 10
        self.asked.append((measure_id, moment))
        if number in self.run.failing:
            raise SourceError(f"{measure_id} cannot be had")
        if number in self.run.unknown:
            raise NotFoundError(f"{measure_id} is not known")
        return self._answer([r for r in self.readings if r.measure == measure_id and r.at > since], moment)

    def _sent(self, what: str) -> datetime:
        moment = self.clock
        self.asked.append((what, moment))
        self.clock += timedelta(seconds=self.run.pause)
        return moment

    def _answer(self, readings: Sequence[Reading], moment: datetime) -> Answer:
        shown = [(r.measure, r.at, r.shown(moment), None) for r in readings if r.arrival <= moment]
        random.Random(len(shown)).shuffle(shown)  # the API promises no order
        shown += shown[:1]  # pages may overlap
        columns = list(zip(*shown, strict=True)) or [()] * 4
        rows = pa.table(
            [pa.array(c, f.type) for c, f in zip(columns, parse.FETCHED, strict=True)], schema=parse.FETCHED
        )
        return Answer(rows, REJECTS.schema.empty_table(), moment, 1, 0, 0.0, 0.0)


class KilledError(Exception):
    """The process was killed."""


class MortalStore:
    """A store whose process is killed after some writes."""

    def __init__(self, store, writes: int | None) -> None:
        self._store = store
        self._writes = writes

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    def put(self, *args, **kwargs):
        if self._writes is not None:
            if not self._writes:
                raise KilledError
            self._writes -= 1
        return self._store.put(*args, **kwargs)


class Keeper:
    """The lake's side of a run, as the asset and the IO manager do it, and the promises."""

    def __init__(self, country: Country, url: str) -> None:
        self.country = country
        self.readings = country.readings()
        self.truth = {(r.measure, r.at): r for r in self.readings}
        self.lake = Lake.open(url)
        self.now = country.start

    def go(self, run: Run) -> None:
        """One run, and everything that must be true after it."""
        now = self.now + run.sleep * MINUTE
        api = Api(self.readings, now, run)
        before = marks.load(self.lake)
        stored = [window.window for window in self.lake.windows(READINGS)]
        try:
            fetched = self._fetched(api, stored, before.rows if before else None)
        except SourceError:
            # An API that has nothing to show of any gauge is not believed.
            assert not self._shown_of_any(api.asked)
            self.now = max(moment for _, moment in api.asked)
            return
        self.now = end = max(moment for _, moment in api.asked)
        lake = Lake(MortalStore(self.lake.store, run.killed))
        batch = Batch(
            rows=fetched.rows,
            rejects=fetched.rejects,
            stations=self.country.snapshot(),
            observed_at=fetched.observed_at,
            covered=fetched.covered,
            marks=fetched.marks,
        )
        killed = False
        try:
            _store(SimpleNamespace(log=logging.getLogger()), lake, batch, end)
        except KilledError:
            killed = True
        held = self.held()
        if not killed:
            self._everything_asked_for_is_there(api, fetched, before.rows if before else MARKS.empty_table(), held)
        self._no_mark_runs_ahead(held)
        self._requests(api, stored, marked=before is not None)

    def _fetched(self, api: Api, stored: Sequence[datetime], marked: pa.Table | None) -> refresh.Fetched:
        now = api.now
        if api.run.windows is None:
            return refresh.catch_up(api, stored=stored, marks=marked, measures=self.country.snapshot(), now=now)
        first, last = sorted(api.run.windows)
        return refresh.reread(api, retained_windows(now)[first : last + 1], now, marks=marked)

    def _shown_of_any(self, asked: Sequence[tuple[str, datetime]]) -> bool:
        """Whether the bulk answers held any reading."""
        return any(
            reading.arrival <= moment and what in {"latest", str(reading.at.date())}
            for what, moment in asked
            for reading in self.readings
        )

    def held(self) -> dict[tuple[str, datetime], float]:
        """The lake's rows: none twice, none that the API never showed."""
        rows = self.lake.read(READINGS, now=self.now, columns=["measure_id", "date_time", "value"])
        keys = list(zip(rows["measure_id"].to_pylist(), rows["date_time"].to_pylist(), strict=True))
        held = dict(zip(keys, rows["value"].to_pylist(), strict=True))
        assert len(keys) == len(held)
        for key, value in held.items():
            assert value in {self.truth[key].shown(self.truth[key].arrival), self.truth[key].shown(self.now)}
        return held

    def shown(self, moment: datetime, *, now: datetime | None = None) -> list[Reading]:
        """What the API showed at a moment, as far as it is retained after the run and was due at its start."""
        due = now or self.now
        return [r for r in self.readings if r.arrival <= moment and r.at <= due and is_retained(r.at, self.now)]

    def in_order(self, measure: str) -> bool:
        return not self.country.gauges[int(measure[1:])].disorder

    def _no_mark_runs_ahead(self, held: dict) -> None:
        known = marks.load(self.lake)
        newest = {r["measure_id"]: r["newest"] for r in known.rows.to_pylist()} if known else {}
        hidden = [
            (r.measure, r.at, newest[r.measure])
            for r in self.shown(self.now)
            if r.measure in newest and r.at <= newest[r.measure] and self.in_order(r.measure)
            if (r.measure, r.at) not in held
        ]
        assert not hidden, "marks say that these are stored"

    def _everything_asked_for_is_there(self, api: Api, fetched: refresh.Fetched, before: pa.Table, held: dict) -> None:
        run = api.run
        whole_day = run.windows is None or run.windows in {(0, 24), (24, 0)}
        newest = {r["measure_id"]: r["newest"] for r in before.to_pylist()}
        for what, moment in api.asked:
            if what == "latest":
                # Of a gauge that reports in order, all between its mark and what `latest` shows.
                revealed = [
                    r
                    for r in self.shown(moment, now=api.now)
                    if self.in_order(r.measure) and r.measure not in fetched.unanswered
                    if int(r.measure[1:]) not in run.unknown
                    if r.measure not in newest or r.at > newest[r.measure]
                ]
                assert {(r.measure, r.at) for r in revealed} <= held.keys()
            elif what.startswith("m"):
                if what not in fetched.unanswered and int(what[1:]) not in run.unknown:
                    assert {(r.measure, r.at) for r in self.shown(moment) if r.measure == what} <= held.keys()
            elif whole_day:
                of_day = [r for r in self.shown(moment) if str(r.at.date()) == what]
                assert {(r.measure, r.at) for r in of_day} <= held.keys()
        if run.windows is not None and whole_day:
            for r in self.shown(api.now):
                assert held[r.measure, r.at] in {r.shown(api.now), r.shown(self.now)}
            if not run.pause:
                assert held == {(r.measure, r.at): r.shown(self.now) for r in self.shown(self.now)}
        elif run.windows is not None:
            first, last = sorted(run.windows)
            windows = retained_windows(api.now)[first : last + 1]
            asked = [r for r in self.shown(api.now) if windows[0] <= r.at < windows[-1] + HOUR]
            assert {(r.measure, r.at) for r in asked} <= held.keys()

    def _requests(self, api: Api, stored: Sequence[datetime], *, marked: bool) -> None:
        asked = [what for what, _ in api.asked]
        assert len(asked) == len(set(asked)), "nothing is asked for twice in one run"
        if api.run.windows is None and not marked:
            assert len(asked) == 2
            assert "latest" not in asked
        elif api.run.windows is None and set(retained_windows(api.now)) <= set(stored):
            assert asked[0] == "latest"


def play(country: Country, runs: Sequence[Run]) -> None:
    """All the runs, then what must be reached in the end."""
    with tempfile.TemporaryDirectory() as folder, patch.object(plan, "ROWS_PER_S", country.rows_per_s):
        keeper = Keeper(country, f"file://{folder}/lake")
        for run in runs:
            keeper.go(run)
        # With nothing new, asking ends: no measure jumps again and again.
        for _ in range(3):
            keeper.go(Run(sleep=0))
        api = Api(keeper.readings, keeper.now, Run())
        known = marks.load(keeper.lake)
        if known is None:
            return  # no gauge has reported yet
        stored = [window.window for window in keeper.lake.windows(READINGS)]
        refresh.catch_up(api, stored=stored, marks=known.rows, measures=country.snapshot(), now=keeper.now)
        future = any(r.arrival <= keeper.now < r.at for r in keeper.readings)
        assert future or [what for what, _ in api.asked] == ["latest"]
        keeper.go(Run(sleep=0, windows=(0, 24)))


# A gauge that the snapshot does not know is judged by its rhythm alone, which only a regular one has; one that it
# knows reports at least as far apart as the shorter of its period and its rhythm.
_habits = {
    "delay": st.integers(0, 40),
    "batch": st.sampled_from([0, 0, 45, 240, 600]),
    "silent": st.tuples(st.integers(-25, 40), st.sampled_from([0, 0, 0, 5, 30])),
    "opens": st.sampled_from([-30, -30, -30, -30, -3, 1, 2, 20]),
    "ahead": st.sampled_from([0, 0, 0, 0, 20, 200]),
    "corrections": st.booleans(),
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
    st.builds(Gauge, step=st.none(), nominal=st.none(), disorder=_disorder, **_habits),
)
numbers = st.frozensets(st.integers(0, 3), max_size=4)
some = st.sampled_from([False, False, True]).flatmap(lambda any_: numbers if any_ else st.just(frozenset()))
runs = st.builds(
    Run,
    sleep=st.sampled_from([15, 30, 45, 50, 0, 1, 61, 180, 600, 1430, 1600]),
    pause=st.sampled_from([0, 0, 1, 600, 4000]),
    failing=some,
    unknown=some,
    killed=st.sampled_from([None] * 5 + [0, 1, 2, 5, 23, 25, 26]),
    windows=st.sampled_from([None] * 8 + [(0, 24), (3, 3), (5, 20), (24, 24)]),
)
stories = st.lists(runs, min_size=2, max_size=7).flatmap(lambda rest: st.sampled_from([[Run(), *rest], rest]))
countries = st.builds(
    Country,
    start=st.sampled_from(STARTS),
    gauges=st.lists(gauges, min_size=1, max_size=4).map(tuple),
    rows_per_s=st.sampled_from([10, 100, 300, plan.ROWS_PER_S]),
)


@given(countries, stories)
# A measure that jumped and is not known by name: its mark may not pass what could not be had.
@example(Country(STARTS[0], (Gauge(),), 10), [Run(), Run(sleep=30, unknown=frozenset({0}))])
# A new gauge, listed with 15 minutes, that reports every five.
@example(Country(STARTS[0], (Gauge(step=300, opens=1, delay=0),), 10), [Run(), Run(sleep=48), Run(), Run()])
# Killed at the first windows, at the last, and before the marks; over the end of the year.
@example(
    Country(STARTS[2], (Gauge(batch=240), Gauge(step=None, nominal=None), Gauge(disorder=600)), 100),
    [Run(killed=3), Run(), Run(sleep=180, killed=2), Run(killed=0), Run(sleep=600, pause=600), Run(killed=25)],
)
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_is_missing_twice_or_made_up_whatever_happens(country, story):
    play(country, story)


# -- single runs

NOON = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)
LISTED = Country(NOON, (Gauge(), Gauge(), Gauge(), Gauge(nominal=None))).snapshot()


def series(name: str, first: datetime, last: datetime, step: timedelta = 15 * MINUTE) -> list[Reading]:
    """Readings that were there all along."""
    return [Reading(name, first + i * step, first, 1.0) for i in range((last - first) // step + 1)]


def catch_up(readings: Sequence[Reading], marked: dict[str, datetime], run: Run, now: datetime = NOON):
    rows = [{"measure_id": name, "newest": newest, "step_s": 900} for name, newest in marked.items()]
    api = Api(readings, now, run)
    with patch.object(plan, "ROWS_PER_S", 10):  # one gauge costs less than a day
        return api, caught_up(api, rows, now)


def caught_up(api: Api, marks_before: list[dict], now: datetime) -> refresh.Fetched:
    return refresh.catch_up(
        api,
        stored=retained_windows(now),
        marks=pa.Table.from_pylist(marks_before, schema=MARKS),
        measures=LISTED,
        now=now,
    )


def marked(fetched: refresh.Fetched) -> dict[str, datetime]:
    return {row["measure_id"]: row["newest"] for row in fetched.marks.to_pylist()}


def test_a_cold_start_is_two_requests_the_newest_day_first():
    """A batch between the two then leaves its gauge behind, where the next tick sees it jump."""
    old = series("m0", NOON - 20 * HOUR - 5 * MINUTE, NOON - 14 * HOUR - 5 * MINUTE)
    batch = [
        Reading("m0", r.at, NOON + MINUTE / 2, 1.0) for r in series("m0", old[-1].at + 15 * MINUTE, NOON - 5 * MINUTE)
    ]
    api = Api([*old, *batch], NOON, Run(pause=60))
    fetched = refresh.catch_up(api, stored=[], marks=None, measures=LISTED, now=NOON)
    assert [what for what, _ in api.asked] == ["2026-11-21", "2026-11-20"]
    assert list(fetched.covered) == retained_windows(NOON)
    assert marked(fetched) == {"m0": datetime(2026, 11, 20, 23, 45, tzinfo=UTC)}
    again, caught = catch_up([*old, *batch], marked(fetched), Run(), NOON + 15 * MINUTE)
    assert again.asked[0][0] == "latest"
    assert marked(caught) == {"m0": NOON - 5 * MINUTE}
    both = pa.concat_tables([fetched.rows, caught.rows])
    assert {r.at for r in batch} <= set(both["date_time"].to_pylist())


def test_a_country_that_moved_by_one_step_is_one_request():
    readings = [r for i in range(3) for r in series(f"m{i}", NOON - 5 * HOUR - 5 * MINUTE, NOON - 5 * MINUTE)]
    api, fetched = catch_up(readings, {f"m{i}": NOON - 20 * MINUTE for i in range(3)}, Run())
    assert [what for what, _ in api.asked] == ["latest"]
    assert marked(fetched) == {f"m{i}": NOON - 5 * MINUTE for i in range(3)}
    assert len(fetched.rows) - 1 == 3  # one is repeated by an overlapping page
    assert list(fetched.covered) == retained_windows(NOON)[-1:]
    assert fetched.ages_minutes.tolist() == [5] * 4


def test_a_measure_that_could_not_be_asked_stays_behind_with_its_newest_row():
    readings = series("m0", NOON - 5 * HOUR - 5 * MINUTE, NOON - 5 * MINUTE)
    _, fetched = catch_up(readings, {"m0": NOON - 2 * HOUR}, Run(failing=frozenset({0})))
    assert (list(fetched.unanswered), marked(fetched), len(fetched.rows)) == (["m0"], {}, 0)


def test_an_api_in_trouble_is_not_asked_for_each_of_a_hundred_measures():
    asked = []

    class InTrouble:
        def readings_since(self, measure: str, _since: datetime) -> None:
            asked.append(measure)
            sleep(0.01)  # as a request takes: the others wait for their turn
            raise SourceError("503")

    measures = [f"m{i}" for i in range(100)]
    answers, refused, unanswered = refresh._each(InTrouble(), measures, NOON)
    assert (answers, refused, unanswered) == ([], [], measures)
    assert len(asked) < len(measures)


def test_an_answer_without_rows_counts_as_not_knowing_the_measure():
    class Forgetful:
        def readings_since(self, _measure: str, _since: datetime) -> Answer:
            return Answer(parse.FETCHED.empty_table(), REJECTS.schema.empty_table(), NOON, 1, 24, 0.0, 0.0)

    answers, refused, unanswered = refresh._each(Forgetful(), ["m0"], NOON)
    assert (len(answers), refused, unanswered) == (1, ["m0"], [])


def test_of_a_measure_that_the_api_does_not_know_the_newest_row_is_stored_and_no_mark_moves():
    readings = series("m0", NOON - 5 * HOUR - 5 * MINUTE, NOON - 5 * MINUTE)
    _, fetched = catch_up(readings, {"m0": NOON - 2 * HOUR}, Run(unknown=frozenset({0})))
    assert (list(fetched.unanswered), marked(fetched)) == ([], {})
    assert set(fetched.rows["date_time"].to_pylist()) == {NOON - 5 * MINUTE}


def test_todays_answer_does_not_move_the_mark_of_an_event_gauge_that_could_not_be_asked():
    """m3 reported each hour until 23:00, then at 23:30 and at 00:10: a rhythm says nothing of an event gauge."""
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    now = midnight + 21 * MINUTE
    others = [r for i in range(3) for r in series(f"m{i}", midnight - 5 * HOUR, midnight + 15 * MINUTE)]
    events = [*series("m3", midnight - 9 * HOUR, midnight - HOUR, HOUR)]
    events += [Reading("m3", midnight + away * MINUTE, now, 1.0) for away in (-30, 10)]
    marks_before = {f"m{i}": midnight - 15 * MINUTE for i in range(3)}
    rows = [{"measure_id": name, "newest": newest, "step_s": 900} for name, newest in marks_before.items()]
    rows.append({"measure_id": "m3", "newest": midnight - HOUR, "step_s": 3600})
    api = Api([*others, *events], now, Run(failing=frozenset({3})))
    fetched = caught_up(api, rows, now)
    assert [what for what, _ in api.asked] == ["latest", "m3", "2026-11-21"]
    assert marked(fetched) == {f"m{i}": midnight + 15 * MINUTE for i in range(3)}


def test_part_of_a_day_read_again_moves_no_mark_and_gives_nothing_else():
    readings = series("m0", NOON - 20 * HOUR - 5 * MINUTE, NOON - 5 * MINUTE)
    windows = retained_windows(NOON)[-3:-1]
    fetched = refresh.reread(Api(readings, NOON, Run()), windows, NOON)
    assert (marked(fetched), list(fetched.covered)) == ({}, windows)
    assert set(fetched.rows["date_time"].to_pylist()) == {
        r.at for r in readings if windows[0] <= r.at < NOON - 5 * MINUTE
    }


@pytest.mark.parametrize("refused", ["latest", "readings_of_day"])
@pytest.mark.parametrize("marks_before", [None, MARKS.empty_table()])
def test_without_what_everything_depends_on_there_is_no_refresh(refused, marks_before, monkeypatch):
    def fails(*_):
        raise SourceError("down")

    monkeypatch.setattr(Api, refused, fails)
    if refused == "latest" and marks_before is None:
        return  # a cold start does not ask it
    api = Api([r for i in range(4) for r in series(f"m{i}", NOON - HOUR, NOON)], NOON, Run())
    with pytest.raises(SourceError, match="down"):
        refresh.catch_up(api, stored=retained_windows(NOON), marks=marks_before, measures=LISTED, now=NOON)
