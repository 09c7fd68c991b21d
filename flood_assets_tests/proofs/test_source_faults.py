"""Test source faults through the real jobs: stored data, messages, retries and healing.

`FAULTS` are answers that are recognisably broken: they fail a run and change nothing. Below them are
answers that look whole and are not, then those that are too large, then all of them mixed.
"""

import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import DagsterEventType

from flood_assets.defs.assets.tables import RETRIES
from flood_assets.defs.jobs import refresh_requests
from flood_assets.partitions import partition_key, window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place, failure_of
from flood_assets_tests.support.faulty import Trial, copied, country, full, waits

__all__ = ["country", "full", "waits"]

STATIONS_LIST, MEASURES_LIST, LATEST, SINCE = "/id/stations", "/id/measures", "?latest", "since="
TODAY, YESTERDAY = "date=2026-10-15", "date=2026-10-14"
DAYS, LISTS = (TODAY, YESTERDAY), (STATIONS_LIST, MEASURES_LIST)


@dataclass(frozen=True)
class Case:
    """Fault with its expected message and retries.

    Attributes:
        fault: as the simulator takes it; None: nobody listens.
        said: failure message for readings.
        said_of_lists: failure message for stations and measures; empty if it is the same.
        remedy: what to do about it.
        asked: number of requests for one answer.
        waits: seconds between them.
        settings: of the resource `source`.
        spares: requests that it cannot affect.
    """

    fault: dict[str, Any] | None
    said: str
    said_of_lists: str = ""
    remedy: str = r"Open the address in a browser: .* check FLOOD_API_URL and this machine's network and proxy"
    asked: int = 5
    waits: tuple[float, ...] = (1, 2, 4, 8)
    settings: dict[str, float] = field(default_factory=dict)
    spares: frozenset[str] = frozenset()


# A silence is waited for in earnest, so the settings are short.
TWICE = {"tries": 2}
SHORT = {"tries": 2, "read_timeout_s": 0.15}
JSON = r"not JSON, or cut short"
FAULTS = {
    "429": Case({"kind": "status", "status": 429}, r"HTTP 429 'Query timed out'"),
    "429 with Retry-After": Case(
        {"kind": "status", "status": 429, "retry_after": 7}, r"HTTP 429", waits=(7, 7, 7, 7)
    ),
    "429 with an hour in Retry-After": Case(
        {"kind": "status", "status": 429, "retry_after": 3600}, r"HTTP 429", waits=(60, 60, 60, 60)
    ),
    "500": Case({"kind": "status", "status": 500}, r"HTTP 500 'Query timed out'"),
    "502": Case({"kind": "status", "status": 502}, r"HTTP 502 'Query timed out'"),
    "503": Case({"kind": "status", "status": 503}, r"HTTP 503 'Query timed out'"),
    "400": Case(
        {"kind": "status", "status": 400}, r"HTTP 400", remedy=r"Check FLOOD_API_URL; .* the API has changed",
        asked=1, waits=(),
    ),
    "403": Case(
        {"kind": "status", "status": 403}, r"HTTP 403", remedy=r"from another network or through a proxy",
        asked=1, waits=(),
    ),
    "404": Case(
        {"kind": "status", "status": 404}, r"HTTP 404", remedy=r"Check FLOOD_API_URL; .* the API has changed",
        asked=1, waits=(), spares=frozenset({SINCE}),
    ),
    "connection refused": Case(None, r"Connection refused", spares=frozenset({YESTERDAY, SINCE})),
    "connection closed without a word": Case(
        {"kind": "stall", "seconds": 0}, r"Remote end closed connection without response"
    ),
    "reset in the body": Case(
        {"kind": "reset"}, r"broke off after [\d,]+ bytes|Connection reset", asked=2, waits=(1,), settings=TWICE
    ),
    "silence": Case(
        {"kind": "stall", "seconds": 9}, r"Read timed out|timed out", asked=2, waits=(1,), settings=SHORT,
        spares=frozenset({SINCE}),
    ),
    "silence in the body": Case(
        {"kind": "hang", "seconds": 9}, r"broke off after [\d,]+ bytes: .*timed out", asked=2, waits=(1,),
        settings=SHORT, spares=frozenset({SINCE}),
    ),
    "slow": Case(
        {"kind": "slow", "rate": 100}, r"response too slow: [\d,]+ bytes in 0 s", asked=1, waits=(),
        settings={"deadline_s": 0.3}, spares=frozenset({SINCE}),
    ),
    "cut inside a line": Case({"kind": "truncate", "framing": "length"}, r"broke off after|cut short: [\d,]+ of"),
    "cut with a chunk missing": Case({"kind": "truncate", "framing": "chunked"}, r"broke off after [\d,]+ bytes"),
    "gzip cut short": Case({"kind": "truncate"}, r"cut short: its gzip stream has no end"),
    "a last line without its end": Case(
        {"kind": "no_final_newline"}, r"cut short: its last line has no end: '", spares=frozenset(LISTS)
    ),
    "cut at a line end": Case(
        {"kind": "cut_at_line"}, "", JSON, spares=frozenset({TODAY, YESTERDAY, LATEST, SINCE})
    ),
    "a web page": Case({"kind": "html"}, r"a web page \(text/html\): '.*Service unavailable"),
    "another header": Case(
        {"kind": "header"}, r"expected the header 'dateTime,measure,value', found 'column0", spares=frozenset(LISTS)
    ),
    "no body": Case({"kind": "empty"}, r"the answer is empty: not even the header", JSON),
    "a list of nothing": Case(
        {"kind": "nothing"}, "", r"the list of \w+ is empty", spares=frozenset({TODAY, YESTERDAY, LATEST, SINCE})
    ),
    # Of a list only the cells that are not JSON are lost: see `ea.test_odd_cells`.
    "garbled in the middle": Case(
        {"kind": "garbage"}, r"corrupt: it holds a NUL byte", spares=frozenset(LISTS)
    ),
    "redirected in a circle": Case(
        {"kind": "redirect_loop"}, r"redirected in a circle", remedy="Check FLOOD_API_URL", asked=6, waits=()
    ),
    "without end": Case(
        {"kind": "repeat", "rounds": 0}, r"answer too large: stopped after 1 MB, a whole day has about",
        remedy=r"raise `largest_answer_mb` of the resource `source`", asked=1, waits=(),
        settings={"largest_answer_mb": 1},
    ),
}  # fmt: skip

# Of refusals and of servers in trouble that are treated alike, one each is in the suite.
ALIKE = {"500", "502", "403", "404", "429 with an hour in Retry-After"}
# In the suite the faults take turns at requests that are alike, such as the two days; each meets all in the long run.
IN_TURN = [pytest.param(name, False, id=name) for name in FAULTS if name not in ALIKE]
AT_ALL = [pytest.param(name, True, marks=pytest.mark.long, id=f"{name}, all requests") for name in FAULTS]
EACH_FAULT = pytest.mark.parametrize(("name", "thorough"), [*IN_TURN, *AT_ALL])


def met_by(name: str, alike: tuple[str, ...], *, thorough: bool, turn: int = 0) -> tuple[str, ...]:
    """Return the requests that a fault meets: of those that are alike, all or the one whose turn it is."""
    can = [match for match in alike if match not in FAULTS[name].spares]
    return tuple(can if thorough or not can else [can[(turn + list(FAULTS).index(name)) % len(can)]])


def befallen(place: Place, case: Case, match: str):
    """Apply the fault inside the context."""
    if case.fault is None:
        return place.server.away()
    place.server.set_faults([{**case.fault, "match": match, "times": 0}])
    return nullcontext()


# A run over one window costs Dagster a twentieth of one over the day, and asks the same: a tick looks at the whole day
# whatever its windows are, and two windows about midnight touch both days.


def lean_tick(place: Place) -> dg.ExecuteInProcessResult:
    *_, request = refresh_requests(place.now, [window_of(place.now)], [window_of(place.now)])
    # The warnings are asked for by themselves, and fail by themselves: see the tests of their asset.
    return place.run(
        "refresh_job",
        asset_selection=[key for key in request.asset_selection if key != dg.AssetKey("warnings")],
        run_config=request.run_config,
        partition_key=partition_key(window_of(place.now)),
    )


def lean_reread(place: Place) -> dg.ExecuteInProcessResult:
    midnight = place.now.replace(hour=0, minute=0, second=0)
    return place.materialize("readings", midnight - HOUR, midnight)


Run = Callable[[Place], dg.ExecuteInProcessResult]


def attempts(result: dg.ExecuteInProcessResult) -> int:
    return 1 + sum(event.event_type == DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)


def is_given_up(place: Place, case: Case, match: str, run: Run, waited: list[float], paused: list[float]) -> None:
    """Run with the fault: it fails in time, says why and what to do, and changes nothing."""
    trial = Trial(place)
    trial.observe()
    before = trial.files()
    place.source_settings = {"tries": 5, **case.settings}
    place.server.reset()
    waited.clear()
    paused.clear()
    with befallen(place, case, match):
        result = place.materialize(match.removeprefix("/id/"), window_of(place.now)) if match in LISTS else run(place)
    place.server.set_faults([])
    place.source_settings = {"tries": 1}

    assert not result.success
    told = failure_of(result)
    said = case.said_of_lists or case.said if match in LISTS else case.said
    assert re.search(f"{re.escape(place.api_url)}.*{re.escape(match)}.*{said}", told, re.DOTALL), told
    assert re.search(case.remedy, told), told
    # The step is tried once more as a whole, after 20 seconds at most.
    assert attempts(result) == 1 + RETRIES.max_retries == 2
    assert 0 < sum(paused) <= 20
    assert waited == [*case.waits] * 2
    if case.fault is not None:
        before_it = {YESTERDAY: 1}.get(match, 0)  # the newer day is asked for first, and answers
        assert place.requests() == 2 * (case.asked + before_it)
    assert trial.files() == before
    trial.nothing_made_up_or_lost()


def heals(place: Place) -> None:
    """Run the next tick; it fetches what the fault kept back."""
    trial = Trial(place)
    trial.observe()
    assert lean_tick(place).success
    trial.nothing_made_up_or_lost()
    trial.no_watermark_hides_anything()
    trial.equals_truth()


@EACH_FAULT
def test_an_answer_that_is_none_leaves_an_empty_lake_empty_and_the_next_tick_fills_it(
    name, thorough, place, waits, no_waiting
):
    case = FAULTS[name]
    for match in met_by(name, DAYS, thorough=thorough):
        is_given_up(place, case, match, lean_tick, waits, no_waiting)
        assert not place.lake.windows(READINGS)
    heals(place)


@EACH_FAULT
def test_an_answer_that_is_none_leaves_a_full_lake_as_it_is_and_the_next_tick_goes_on(
    name, thorough, place, full, waits, no_waiting
):
    case = FAULTS[name]
    copied(full, place).at(NOW + QUARTER)
    # The days are met over an empty lake too.
    days_and_lists = met_by(name, (TODAY, STATIONS_LIST, YESTERDAY, MEASURES_LIST), thorough=thorough, turn=1)
    for match in (*met_by(name, (LATEST,), thorough=thorough), *days_and_lists):
        run = lean_tick if match == LATEST else lean_reread
        is_given_up(place, case, match, run, waits, no_waiting)
    if SINCE not in case.spares:
        only_what_jumped_stays_behind(place, case, waits)
    heals(place)


def only_what_jumped_stays_behind(place: Place, case: Case, waited: list[float]) -> None:
    """Check that a fault of single-measure requests does not affect other measures."""
    trial = Trial(place)
    trial.observe()
    place.source_settings = {"tries": 5, **case.settings}
    waited.clear()
    with befallen(place, case, SINCE):
        result = lean_tick(place)
    place.server.set_faults([])
    place.source_settings = {"tries": 1}
    assert result.success
    told = place.materializations("readings", window_of(place.now))[0].metadata
    behind = told["measures_deferred"].value
    assert behind >= 1
    assert sorted(waited) == sorted([*case.waits] * behind)
    trial.nothing_made_up_or_lost()
    trial.no_watermark_hides_anything()
    moved = [measure for measure, at in trial.watermarks().items() if at > trial.marked.get(measure, at)]
    assert len(moved) > 5


# Answers that look whole and are not: they end cleanly, with status 200, in rows that are right.

SHORT_ANSWERS = {
    "cut cleanly": {"kind": "cut_at_line"},
    "cut cleanly, the connection closed": {"kind": "cut_at_line", "framing": "close"},
    "each second row left out": {"kind": "lossy"},
    "nothing": {"kind": "nothing"},
}
# To the client both clean ends are alike: in the suite the second is met with the days only.
EACH_SHORT_ANSWER = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if "closed" in name else []) for name in SHORT_ANSWERS]
)


def for_days(*matches: str, too: tuple[str, str] = ("", "")) -> pytest.MarkDecorator:
    """Parametrize with each short answer for each day; in the suite the answers take turns at the days.

    Args:
        matches: the days.
        too: an answer and a day that end otherwise than all others, and are in the suite too.
    """
    return pytest.mark.parametrize(
        ("name", "match"),
        [
            pytest.param(
                name, match, marks=[] if (i - j) % len(matches) == 0 or (name, match) == too else [pytest.mark.long]
            )
            for i, name in enumerate(SHORT_ANSWERS)
            for j, match in enumerate(matches)
        ],
    )


def meets(place: Place, fault: dict[str, Any], run: Run) -> tuple[dg.ExecuteInProcessResult, str]:
    """Run with a fault throughout; return its messages about suspect answers."""
    trial = Trial(place)
    trial.observe()
    place.server.reset()
    place.server.set_faults([{**fault, "times": 0}])
    result = run(place)
    place.server.set_faults([])
    trial.nothing_made_up_or_lost()
    trial.no_watermark_hides_anything()
    if not result.success:
        return result, failure_of(result)
    told = place.materializations("readings", window_of(place.now))[0].metadata
    return result, told["suspect"].value if "suspect" in told else ""


@for_days(YESTERDAY, TODAY, "date=", too=("nothing", "date="))
def test_a_day_that_ends_early_but_cleanly_fills_no_empty_lake_for_good(place, name, match):
    result, told = meets(place, {**SHORT_ANSWERS[name], "match": match}, lean_tick)
    if (name, match) == ("nothing", "date="):
        assert not result.success
        assert re.search(r"date=2026-10-14: the API has no reading of any measure of 2026-10-14 and 2026-10-15", told)
        assert not place.lake.windows(READINGS)
    else:
        assert told
        # Each day three times, and each time a few measures singly.
        assert place.server.stats()["/data/readings date"]["requests"] == 6
        assert Trial(place).watermarks() == {}
    heals(place)


@for_days(YESTERDAY, TODAY)
def test_a_reconcile_treats_a_day_as_suspect_that_lacks_what_the_lake_holds(place, full, name, match):
    copied(full, place).at(NOW + 4 * QUARTER)
    before = Trial(place).watermarks()
    result, told = meets(place, {**SHORT_ANSWERS[name], "match": match}, Place.reconcile)
    assert result.success
    assert re.fullmatch(r"the answers for 2026-10-14 and 2026-10-15 lack [\d,]+ of [\d,]+ readings .* before", told)
    assert Trial(place).watermarks() == before
    heals(place)


@EACH_SHORT_ANSWER
def test_a_tick_asks_again_for_a_latest_that_lacks_measures(place, full, name):
    copied(full, place).at(NOW + QUARTER)
    result, told = meets(place, {**SHORT_ANSWERS[name], "match": LATEST}, lean_tick)
    if name == "nothing":
        assert not result.success
        assert re.search(r"\?latest: the answer has no reading of any measure, .* the next run asks again", told)
        assert place.server.stats()["/data/readings latest"]["requests"] == 6
    else:
        assert re.fullmatch(
            r"`latest` lacks the newest readings of \d+ of the \d+ measures that reported within a day", told
        )
        assert place.server.stats()["/data/readings latest"]["requests"] == 3
    heals(place)


@EACH_SHORT_ANSWER
def test_a_tick_does_not_take_a_part_of_today_for_all_of_it(place, full, name):
    """Two hours away: so many have jumped that the day is read, and `latest` tells what it must hold."""
    copied(full, place).at(NOW + 8 * QUARTER)
    result, told = meets(place, {**SHORT_ANSWERS[name], "match": TODAY}, lean_tick)
    if name == "nothing":
        assert not result.success
        assert re.search(r"date=2026-10-15: the API has no reading of any measure of 2026-10-15", told)
    else:
        assert place.server.stats()["/data/readings date"]["requests"] == 3
        assert re.match(r"the answers for 2026-10-15 lack the newest reading of \d+ of \d+ measures|.* readings", told)
    heals(place)


@EACH_SHORT_ANSWER
def test_a_measure_that_was_asked_singly_stays_behind_when_its_newest_reading_is_not_in_the_answer(place, full, name):
    copied(full, place).at(NOW + QUARTER)
    before = Trial(place).watermarks()
    meets(place, {**SHORT_ANSWERS[name], "match": SINCE}, lean_tick)
    assert place.server.stats()["/id/measures/*/readings since"]["requests"] >= 1
    heals(place)
    assert Trial(place).watermarks() != before


def test_an_answer_that_is_short_once_is_whole_when_it_is_asked_for_again(place, full):
    copied(full, place).at(NOW + QUARTER)
    for match, run in ((LATEST, lean_tick), (YESTERDAY, Place.reconcile)):
        place.server.set_faults([{"kind": "nothing", "match": match}])
        assert run(place).success
        assert "suspect" not in place.materializations("readings", window_of(place.now))[0].metadata
    Trial(place).equals_truth()


@pytest.mark.parametrize("table", [STATIONS, MEASURES], ids=lambda table: table.name)
def test_a_list_that_is_much_shorter_than_the_one_before_is_not_stored(place, full, table):
    copied(full, place).at(NOW + QUARTER)
    trial = Trial(place)
    trial.observe()
    place.server.set_faults([{"kind": "limit", "rows": 5, "match": f"/id/{table.name}", "times": 0}])
    result = place.materialize(table.name, window_of(place.now))
    told = failure_of(result)
    assert re.search(rf"the API lists \d {table.name}, the previous snapshot has \d\d: the list was cut short", told)
    assert "the shorter list is accepted a day after the last long one" in told
    assert attempts(result) == 2
    trial.nothing_made_up_or_lost()
    place.server.set_faults([])
    assert place.materialize(table.name, window_of(place.now)).success


# Answers that say too much.


def test_an_answer_ten_times_as_large_is_stored_once(place, full):
    place.server.set_faults([{"kind": "repeat", "rounds": 10, "times": 0}])
    assert lean_tick(place).success
    for table in (STATIONS, MEASURES):
        assert place.materialize(table.name, window_of(place.now)).success
        assert len(place.lake.newest_snapshot(table, place.now)) == len(Trial(place).listed(table))
    place.at(NOW + QUARTER)
    for run in (lean_tick, Place.reconcile):
        assert run(place).success
        Trial(place).equals_truth()


def test_measures_that_no_list_has_are_stored_as_they_are_shown(place, full):
    copied(full, place).at(NOW + QUARTER)
    trial = Trial(place)
    trial.observe()
    place.server.set_faults([{"kind": "strangers", "match": "readings.csv", "times": 0}])
    for run in (lean_tick, Place.reconcile):
        assert run(place).success
        trial.nothing_made_up_or_lost()
        trial.no_watermark_hides_anything()
    assert any(measure.endswith("-stranger") for measure, _ in trial.rows())
    told = place.materializations("readings", window_of(place.now))[0].metadata
    assert told["unknown_measures"].value >= 1
    place.server.set_faults([])
    heals(place)
