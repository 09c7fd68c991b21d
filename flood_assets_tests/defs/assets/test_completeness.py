"""The ledger of a simulated country, counted by the real jobs and held against the API's own truth."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flood_assets.lake import watermarks
from flood_assets.lake.layout import key_of
from flood_assets.lake.read import load
from flood_assets.ledger.account import CAUSES, take
from flood_assets.partitions import partition_key, retained_windows, window_of
from flood_assets.schemas import COMPLETENESS, MEASURES, READINGS, TIMELINESS
from flood_assets.simulator import Fault
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place
from flood_assets_tests.support.lake_rows import put_raw, read_window
from flood_assets_tests.support.quick_dagster import copy_folder, copy_records
from flood_assets_tests.support.retained import is_retained


def ledger(place: Place) -> dict[tuple[str, datetime], dict]:
    """What the table holds, by measure and window."""
    found = {}
    for stored in place.lake.windows(COMPLETENESS):
        for row in load(place.lake.store, COMPLETENESS, stored.key).file.read().to_pylist():
            assert row["window_start"] == stored.window
            found[row["measure_id"], stored.window] = row
    return found


def truth_of_each(place: Place) -> dict[str, list[datetime]]:
    found = defaultdict(list)
    for row in place.server.truth(place.now - 24 * HOUR, place.now):
        if is_retained(row.time, place.now):
            found[row.measure].append(row.time)
    return found


def expected_of(times: list[datetime], step: timedelta, now: datetime) -> Counter:
    """By a plain loop, how many readings each window lets expect of a gauge whose readings all lie on one grid."""
    moment = max(times)
    while moment + step <= now:
        moment += step
    found = Counter()
    while is_retained(moment, now):
        found[window_of(moment)] += 1
        moment -= step
    return found


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    return next(found for found in result.get_asset_check_evaluations() if found.check_name == name)


def ticked(place: Place, ticks: int) -> dg.ExecuteInProcessResult:
    for _ in range(ticks):
        place.at(place.now + QUARTER)
        result = place.tick()
    return result


@pytest.fixture(scope="module")
def _four_ticks(_first_tick, country, tmp_path_factory) -> Iterator[tuple[Path, dg.DagsterInstance]]:
    """A lake and an instance an hour after the first tick, to be copied."""
    (first, records), folder = _first_tick, tmp_path_factory.mktemp("four ticks") / "lake"
    copy_folder(first, folder)
    with dg.DagsterInstance.ephemeral() as made:
        copy_records(records, made)
        assert ticked(Place(country, folder.as_uri(), made), 4).success
        yield folder, made


@pytest.fixture
def later(_four_ticks, place: Place, tmp_path: Path) -> Place:
    """The place an hour and four ticks after the first one."""
    folder, instance = _four_ticks
    copy_folder(folder, tmp_path / "lake")
    copy_records(instance, place.instance)
    return place.at(NOW + HOUR)


def test_each_measure_and_hour_is_counted_as_the_truth_says(filled):
    rows, truth = ledger(filled), truth_of_each(filled)
    listed = {row["measure_id"]: row for row in filled.lake.newest_snapshot(MEASURES, NOW).to_pylist()}
    assert {measure for measure, _ in rows} == set(listed) | set(truth)
    assert len(rows) == len(set(listed) | set(truth)) * len(retained_windows(NOW))
    judged = Counter()
    for measure, times in truth.items():
        received = Counter(window_of(at) for at in times)
        of = [rows[measure, window] for window in retained_windows(NOW)]
        assert [row["received"] for row in of] == [received[window] for window in retained_windows(NOW)]
        (step,) = {row["interval_s"] for row in of}
        if step is None:
            assert listed[measure]["period_s"] is None
            assert {row["expected"] for row in of} == {0}
        elif len({at.timestamp() % step for at in times}) == 1:
            expected = expected_of(times, timedelta(seconds=step), NOW)
            assert [row["expected"] for row in of] == [expected[window] for window in retained_windows(NOW)]
            assert [row["missing"] for row in of] == [expected[w] - received[w] for w in retained_windows(NOW)]
        judged[step] += 1
    assert judged.keys() >= {None, 300, 900, 3600}
    assert judged[900] > 20
    assert all(row["missing"] == sum(row[cause] for cause in CAUSES) for row in rows.values())
    assert all(row["not_fetched"] == 0 for row in rows.values()), "the API has just been asked for everything"


def recorded(place: Place, asset: str = "completeness") -> list[dg.AssetMaterialization]:
    """Return Dagster's records of a table of the ledger, the newest first."""
    found = place.instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset)), limit=1000)
    return [record.asset_materialization for record in found.records]


def test_a_run_tells_its_sums_and_those_of_each_window_in_one_record(filled):
    filled.at(NOW + QUARTER)
    assert filled.tick().success
    rows = ledger(filled)
    newest, first = recorded(filled)
    told = {name: value.value for name, value in newest.metadata.items()}
    assert (newest.partition, first.partition) == (None, None)
    assert told["dagster/row_count"] == len(rows)
    assert told["bytes"] == sum(stored.size for stored in filled.lake.windows(COMPLETENESS))
    counts = ("expected", "received", "late", "missing", *CAUSES)
    assert {name: told[name] for name in counts} == {name: sum(row[name] for row in rows.values()) for name in counts}
    header, _, *hours = told["hours"].splitlines()
    assert header == f"| window | {' | '.join(counts)} |"
    assert hours == [
        f"| {partition_key(hour)} | "
        + " | ".join(str(sum(row[name] for (_, window), row in rows.items() if window == hour)) for name in counts)
        + " |"
        for hour in retained_windows(filled.now)
    ]


def test_a_window_whose_counts_stay_is_not_written_again(filled):
    before = {stored.window: stored.e_tag for stored in filled.lake.windows(COMPLETENESS)}
    filled.at(NOW + QUARTER)
    assert filled.tick().success
    after = {stored.window: stored.e_tag for stored in filled.lake.windows(COMPLETENESS)}
    assert after.keys() == before.keys()
    written = {window for window in after if after[window] != before[window]}
    assert {retained_windows(NOW)[0], window_of(NOW)} <= written
    assert window_of(NOW) - 20 * HOUR not in written
    told = recorded(filled)[0].metadata
    assert (told["windows"].value, told["written"].value) == (25, len(written))


def test_loaded_through_dagster_it_is_the_retained_day(filled):
    filled.at(NOW + 2 * HOUR)
    assert filled.tick().success
    with filled.defs.get_asset_value_loader(instance=filled.instance) as loader:
        rows = loader.load_asset_value("completeness", python_type=pa.Table)
    assert rows.schema.equals(COMPLETENESS.schema)
    assert pc.unique(rows["window_start"]).to_pylist() == retained_windows(filled.now)
    assert {(row["measure_id"], row["window_start"]) for row in rows.to_pylist()} < set(ledger(filled))


def test_timeliness_is_recorded_with_its_rows_by_the_same_step(place):
    assert place.tick(snapshot=True).success
    (told,) = recorded(place, "timeliness")
    (stored,) = place.lake.windows(TIMELINESS)
    metadata = {name: value.value for name, value in told.metadata.items()}
    assert told.partition is None
    assert metadata["dagster/row_count"] == len({measure for measure, _ in ledger(place)})
    assert (metadata["windows"], metadata["written"], metadata["bytes"]) == (1, 1, stored.size)
    assert metadata["dagster/uri"] == f"{place.lake.url}/timeliness"


def test_timeliness_is_loaded_through_dagster_as_the_newest_snapshot(filled):
    filled.at(NOW + HOUR)
    assert filled.tick().success
    with filled.defs.get_asset_value_loader(instance=filled.instance) as loader:
        rows = loader.load_asset_value("timeliness", python_type=pa.Table)
    assert rows.equals(read_window(filled.lake, TIMELINESS, window_of(filled.now), now=filled.now))
    assert len(rows) == len(set(rows["measure_id"].to_pylist())) > 40


def test_what_gauges_usually_do_is_learnt_from_tick_to_tick(later):
    (stored,) = [s for s in later.lake.windows(TIMELINESS) if s.window == window_of(later.now)]
    gauges = load(later.lake.store, TIMELINESS, stored.key).file.read().to_pylist()
    prompt = [g for g in gauges if g["due_after_s"] is not None and g["due_after_s"] <= 1800]
    assert len(prompt) > 20
    for gauge in prompt:
        assert gauge["uploads"] >= 1
        if gauge["interval_s"]:
            late = timedelta(seconds=gauge["interval_s"] + gauge["due_after_s"])
            assert gauge["next_due_at"] == gauge["newest_at"] + late


def test_the_ledger_goes_with_its_windows(filled):
    filled.at(NOW + 5 * HOUR)
    assert filled.expire().success
    assert [s.window for s in filled.lake.windows(COMPLETENESS)] == retained_windows(NOW)[5:]
    assert len(recorded(filled)) == 1, "Dagster knows of no windows of it, and need not be told that they are empty"


def test_while_nobody_asks_the_ledger_says_whose_fault_it_is_and_the_next_tick_puts_it_right(later):
    away = NOW + 7 * HOUR
    before = take(later.lake, away).totals()
    later.at(away)
    after = later.tick()
    counts = take(later.lake, away).totals()
    assert before["not_fetched"] > 4 * 5 * 20
    assert check(after, "everything_fetched").passed
    assert counts["not_fetched"] == 0
    assert counts["received"] > before["received"]


def test_a_single_window_that_was_never_read_is_not_fetched(place):
    assert place.materialize("measures", window_of(NOW)).success
    # Longer ago than a gauge is given that nobody has watched.
    window = window_of(NOW) - 15 * HOUR
    assert place.materialize("readings", window).success
    account = take(place.lake, NOW)
    assert sum(account.windows[window]["not_fetched"].to_pylist()) == 0
    assert sum(account.windows[window]["received"].to_pylist()) > 0
    assert sum(account.windows[window - HOUR]["not_fetched"].to_pylist()) > 100
    result = place.count()
    assert result.success
    found = check(result, "everything_fetched")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found.metadata["not_fetched"].value == account.totals()["not_fetched"]


def test_a_gauge_that_could_not_be_asked_is_told(filled):
    for number in range(1, 3):
        filled.at(NOW + number * QUARTER)
        assert filled.tick().success
    # Let one prompt gauge jump: two of its readings are only at the API.
    known = watermarks.load(filled.lake.store)
    prompt = next(
        row["measure_id"]
        for row in known.rows.to_pylist()
        if row["interval_s"] == 900 and filled.now - row["newest"] < QUARTER
    )
    filled.at(filled.now + QUARTER)
    filled.server.set_faults([Fault(match="since", status=503, times=0)])
    result = filled.tick()
    filled.server.set_faults([])
    behind = watermarks.load(filled.lake.store).asked.behind
    found = check(result, "everything_fetched")
    assert prompt not in behind
    assert found.passed == (not sum(take(filled.lake, filled.now).of_each("not_fetched")))
    filled.at(filled.now + QUARTER)
    assert check(filled.tick(), "everything_fetched").passed
    assert watermarks.load(filled.lake.store).asked.behind == {}


def test_a_damaged_window_is_our_fault_until_it_is_filled_again(filled):
    window = window_of(NOW) - 3 * HOUR
    before = take(filled.lake, NOW)
    put_raw(filled.lake, key_of(READINGS, window), b"not Parquet")
    account = take(filled.lake, NOW)
    assert account.lost == {window}
    lost = sum(before.windows[window]["received"].to_pylist())
    assert sum(account.windows[window]["received"].to_pylist()) == 0
    # What the window lacked before cannot be told from what it has lost. Event gauges are not expected.
    silent = sum(before.windows[window]["silent"].to_pylist())
    assert 0.9 * lost < sum(account.windows[window]["not_fetched"].to_pylist()) <= lost + silent
    assert sum(account.windows[window]["silent"].to_pylist()) < silent
    assert filled.tick().success
    assert take(filled.lake, NOW).totals() == before.totals()


# -- a source that stands still


def standing_still(place: Place, now: datetime, *, since: datetime) -> Place:
    """Time goes on, and the API shows what it showed then."""
    place.at(now)
    place.server.set_faults([Fault(kind="stale", seconds=(now - since).total_seconds(), times=0)])
    return place


def test_a_source_that_moves_passes_also_when_it_is_asked_twice(filled):
    result = ticked(filled, 4)
    assert check(result, "source_updating").passed
    assert check(result, "source_updating").description.startswith(
        "The source last updated at 2026-10-15 10:07Z, 0.0 hours"
    )
    filled.at(filled.now + timedelta(minutes=1))
    assert check(filled.tick(), "source_updating").passed


def test_an_api_that_answers_with_the_same_newest_time_turns_the_check_red_at_once_and_until_it_moves(later):
    stopped = later.now
    for quarters in (1, 2, 3, 11):
        found = check(standing_still(later, stopped + quarters * QUARTER, since=stopped).tick(), "source_updating")
        assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert found.metadata["hours_since_update"].value == pytest.approx(quarters / 4, abs=0.01)
        assert "The source has stopped: it answers, but" in found.description
        assert "it last updated at 2026-10-15 10:07Z" in found.description
    later.server.set_faults([])
    assert check(later.tick(), "source_updating").passed


def test_a_first_fill_from_an_api_that_has_stood_still_for_hours_is_red(place):
    standing_still(place, NOW, since=NOW - 3 * HOUR)
    assert not check(place.tick(snapshot=True), "source_updating").passed


def test_a_source_that_has_said_nothing_for_a_day_is_red(filled):
    ticked(filled, 2)
    filled.at(filled.now + 25 * HOUR)
    assert filled.materialize("measures", window_of(filled.now)).success
    found = check(filled.count(), "source_updating")
    assert not found.passed
    assert "shows no reading of the last 24 hours" in found.description


def test_before_anything_was_asked_there_is_nothing_to_judge(place):
    result = place.count()
    assert result.success
    assert check(result, "source_updating").passed
