"""What each check passes and what it finds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets import quality
from flood_assets.defs.checks.completeness import COMPLETENESS_CHECKS
from flood_assets.defs.checks.conditions import CONDITIONS_CHECKS, plausible
from flood_assets.defs.checks.readings import READINGS_CHECKS, look
from flood_assets.grouping import Blocks, Piece
from flood_assets.lake.layout import key_of
from flood_assets.lake.parquet import encode
from flood_assets.lake.read import load
from flood_assets.partitions import window_of
from flood_assets.query.conditions import conditions_of
from flood_assets.query.survey import judge
from flood_assets.schemas import MEASURES, READINGS, STATIONS, TIMELINESS, Table
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place, failure_of
from flood_assets_tests.support.lake_rows import put_raw, put_snapshot
from flood_assets_tests.support.quality_rows import (
    DIRECTION,
    FLOW,
    RAIN,
    RIVER,
    TIDE,
    measures,
    readings,
    stations,
)

WINDOW = window_of(NOW) - 3 * HOUR


def judged(place: Place, asset: str = "readings") -> dict[str, dg.AssetCheckEvaluation]:
    """The results of the checks of an asset, looked at without materializing it."""
    job = dg.Definitions.merge(
        place.defs,
        dg.Definitions(jobs=[dg.define_asset_job("judge", dg.AssetSelection.checks_for_assets(dg.AssetKey(asset)))]),
    ).resolve_job_def("judge")
    result = job.execute_in_process(instance=place.instance, raise_on_error=False)
    assert result.success, failure_of(result)
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def judged_values(place: Place) -> dict[str, dg.AssetCheckEvaluation]:
    """The results of the checks of conditions, which their step evaluates."""
    result = place.run("refresh_job", asset_selection=[dg.AssetKey("conditions")])
    assert result.success, failure_of(result)
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def stored_keys(place: Place) -> set[tuple]:
    rows = place.lake.read(READINGS, now=place.now, columns=["measure_id", "date_time"]).to_pylist()
    return {(row["measure_id"], row["date_time"]) for row in rows}


def failed(checks: Mapping[str, dg.AssetCheckEvaluation]) -> set[str]:
    return {name for name, found in checks.items() if not found.passed}


def said(check: dg.AssetCheckEvaluation) -> dict:
    return {name: value.value for name, value in check.metadata.items()}


def plant(place: Place, table: Table, window, change) -> None:
    """Change a window as the lake itself never would."""
    key = key_of(table, window)
    stored = load(place.lake.store, table, key)
    rows = change(stored.file.read())
    place.lake.store.put(key, encode(table, rows), replaces=stored.meta)


def with_column(rows: pa.Table, name: str, values: pa.Array | Sequence) -> pa.Table:
    field = rows.schema.field(name)
    return rows.set_column(rows.schema.get_field_index(name), field, [pa.array(values, field.type)])


def stages(place: Place) -> list[str]:
    """Stages of 15 minutes with a known unit, by their number of readings."""
    listed = place.lake.newest_snapshot(MEASURES, place.now).to_pylist()
    wanted = {
        each["measure_id"]
        for each in listed
        if (each["parameter"], each["qualifier"], each["period_s"]) == ("level", "Stage", 900) and each["unit"]
    }
    rows = place.lake.read(READINGS, now=place.now, columns=["measure_id"])["measure_id"].value_counts().to_pylist()
    counts = {each["values"]: each["counts"] for each in rows if each["values"] in wanted}
    return sorted(counts, key=lambda measure: (-counts[measure], measure))


def with_values(rows: pa.Table, values: Mapping) -> pa.Table:
    """Other values for all readings of a measure, or for one."""
    keys = zip(*(rows[name].to_pylist() for name in READINGS.key), rows["value"].to_pylist(), strict=True)
    return with_column(rows, "value", [values.get(m, values.get((m, at), value)) for m, at, value in keys])


def test_a_lake_that_was_just_filled_passes_them_all(filled):
    for asset, count in (("readings", 6), ("stations", 1), ("measures", 1)):
        checks = judged(filled, asset)
        assert len(checks) == count
        assert not failed(checks)


@pytest.mark.parametrize("part", [slice(8, 40), slice(None)], ids=["a page and not the footer", "all of it"])
def test_damage_to_a_window_that_no_tick_touches_is_found_and_filled_again(filled, part):
    before = stored_keys(filled)
    (found,) = [found for found in filled.lake.windows(READINGS) if found.window == WINDOW]
    whole = filled.lake.store.get(found.key)
    data = bytearray(whole.data.to_pybytes())
    data[part] = b"x" * len(data[part])
    filled.lake.store.put(found.key, bytes(data), replaces=whole.meta)
    checks = judged(filled)
    assert failed(checks) == {"windows_readable"}
    told = said(checks["windows_readable"])
    assert (told["damaged"], told["windows"]) == (1, 24)
    assert told["quarantined_as"].startswith("_quarantine/readings/date=2026-10-15/hour=06/")
    assert filled.tick().success
    assert not failed(judged(filled))
    assert stored_keys(filled) == before


def test_a_tick_runs_them(filled):
    filled.at(NOW + HOUR)
    result = filled.tick()
    checks = (*READINGS_CHECKS, *COMPLETENESS_CHECKS, *CONDITIONS_CHECKS)
    expected = {"warnings_listed", *(name for name, _ in checks)}
    assert {found.check_name for found in result.get_asset_check_evaluations()} == expected


def test_an_empty_lake_is_no_fault_but_a_warning(place):
    checks = judged(place)
    assert failed(checks) == {"known_measures", "fresh_measures"}
    assert all(checks[name].severity == dg.AssetCheckSeverity.WARN for name in failed(checks))
    assert failed(judged(place, "stations")) == {"stations_valid"}
    assert failed(judged(place, "measures")) == {"measures_valid"}


def test_rows_that_are_there_twice_are_found(filled):
    plant(filled, READINGS, WINDOW, lambda rows: pa.concat_tables([rows.slice(0, 7), rows]))
    checks = judged(filled)
    assert failed(checks) == {"unique_keys"}
    assert checks["unique_keys"].severity == dg.AssetCheckSeverity.ERROR
    assert said(checks["unique_keys"])["duplicate_rows"] == 7


def test_a_reading_in_another_windows_file_is_found(filled):
    def shifted(rows: pa.Table) -> pa.Table:
        at = rows["date_time"].to_pylist()
        return with_column(rows, "date_time", [at[0] - HOUR, at[1] + HOUR, *at[2:]])

    plant(filled, READINGS, WINDOW, shifted)
    checks = judged(filled)
    assert failed(checks) == {"times_in_window"}
    assert said(checks["times_in_window"]) == {
        "windows": 25,
        "misplaced_rows": 2,
        "first_window": "2026-10-15 06:00",
    }


def test_a_reading_at_the_very_start_of_its_window_is_inside_and_at_the_end_is_not(filled):
    def moved(rows: pa.Table) -> pa.Table:
        at = rows["date_time"].to_pylist()
        return with_column(rows, "date_time", [WINDOW, WINDOW + HOUR, *at[2:]])

    plant(filled, READINGS, WINDOW, lambda rows: moved(rows.slice(0, 20)))
    assert said(judged(filled)["times_in_window"])["misplaced_rows"] == 1


def test_measures_that_no_snapshot_knows_are_found_and_named(filled):
    for found in filled.lake.windows(READINGS):
        plant(filled, READINGS, found.window, lambda rows: with_column(rows, "station_id", [None] * len(rows)))
    checks = judged(filled)
    assert failed(checks) == {"known_measures"}
    metadata = said(checks["known_measures"])
    assert metadata["unknown"] == metadata["measures"] > 40
    assert len(metadata["examples"].split(", ")) == 5


def test_a_lake_that_has_fallen_behind_is_found(filled):
    filled.at(NOW + 2 * HOUR)
    assert filled.expire().success
    checks = judged(filled)
    assert failed(checks) == {"fresh_measures"}
    metadata = said(checks["fresh_measures"])
    assert metadata["fresh_percent"] == 0
    assert metadata["median_age_minutes"] > 100
    assert metadata["newest_reading"] == pytest.approx(NOW.timestamp(), abs=1000)


def test_rows_past_their_day_are_forgiven_for_an_hour_and_then_found(filled):
    filled.at(NOW + timedelta(minutes=50))
    assert filled.tick().success
    checks = judged(filled)
    assert not failed(checks)
    assert said(checks["nothing_expired"])["expired_rows"] > 0
    filled.at(NOW + timedelta(minutes=70))
    assert filled.tick().success
    checks = judged(filled)
    assert failed(checks) == {"nothing_expired"}
    assert said(checks["nothing_expired"])["oldest_reading"] < said(checks["nothing_expired"])["cutoff"]
    assert filled.expire().success
    assert said(judged(filled)["nothing_expired"])["expired_rows"] == 0


def test_implausible_values_are_counted_by_test_and_named_and_a_few_turn_nothing_red(filled):
    broken, spiked = stages(filled)[:2]
    for found in filled.lake.windows(READINGS)[5:13]:
        plant(filled, READINGS, found.window, lambda rows: with_values(rows, {broken: -53.146}))
    # The neighbours of this one lie in two windows.
    plant(filled, READINGS, WINDOW, lambda rows: with_values(rows, {(spiked, WINDOW): 600.0}))
    checks = judged_values(filled)
    assert not failed(checks)
    told = said(checks["plausible_values"])
    assert (told["gross_range_fail"], told["spike_fail"]) == (32, 1)
    assert told["any_test_fail"] == 33
    assert told["rate_of_change_suspect"] >= 1
    assert told["failing_measures"] == 2
    assert told["examples"] == f"{broken} (32), {spiked} (1)"
    assert told["fail_percent"] == pytest.approx(100 * 33 / told["rows"], abs=0.001)


def test_more_than_one_failing_value_in_a_hundred_turns_the_check_red_as_a_warning(filled):
    absurd = dict.fromkeys(stages(filled)[:6], 5000.0)
    for found in filled.lake.windows(READINGS):
        plant(filled, READINGS, found.window, lambda rows: with_values(rows, absurd))
    checks = judged_values(filled)
    assert failed(checks) == {"plausible_values"}
    assert checks["plausible_values"].severity == dg.AssetCheckSeverity.WARN
    told = said(checks["plausible_values"])
    assert told["fail_percent"] > 1
    assert told["failing_measures"] == 6
    assert len(told["examples"].split(", ")) == 5


@st.composite
def countries(draw) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Readings of gauges, several of them at one station, of which some are listed and some have a stage scale."""
    kinds = st.sampled_from([RIVER, TIDE, FLOW, RAIN, DIRECTION, replace(RIVER, unit=None), replace(RIVER, unit="m")])
    scale = st.sampled_from([{}, {"typical_low": 0.1, "typical_high": 0.9, "max_on_record": 1.5}])
    gauges = [
        replace(draw(kinds), measure_id=f"m{number}", station_id=f"s{draw(st.integers(0, 2))}", scale=draw(scale))
        for number in range(draw(st.integers(1, 6)))
    ]
    rows = []
    for gauge in gauges:
        level = draw(st.sampled_from([0.0, 0.5, 40.0]))
        odd = draw(st.dictionaries(st.integers(0, 95), st.sampled_from([None, -60.0, 0.0, 2.5, 9999.0]), max_size=6))
        rows += [
            (gauge.measure_id, NOW - 24 * HOUR + number * QUARTER, odd.get(number, level + number % 3 * 0.01))
            for number in range(draw(st.integers(0, 96)))
        ]
    listed = [gauge for gauge in gauges if draw(st.integers(0, 5))]
    return readings(*(zip(*rows, strict=True) if rows else ([], [], []))), measures(*listed), stations(*listed)


@settings(max_examples=60, deadline=None)
@given(countries(), st.integers(1, 200))
def test_values_judged_in_blocks_of_any_size_are_counted_as_the_flags_of_all_at_once(country, most):
    rows, listed, places = country
    windows = pc.floor_temporal(rows["date_time"], unit="hour")
    pieces = []
    for of in (rows.slice(0, 0), *(rows.filter(pc.equal(windows, each)) for each in pc.unique(windows).to_pylist())):
        columns = {"at": of["date_time"].cast(pa.int64()).to_numpy(), "value": of["value"].to_numpy()}
        pieces.append(Piece.of(of["measure_id"], columns))
    day = Blocks.of(pieces, listed["measure_id"].combine_chunks())
    reporting = TIMELINESS.schema.empty_table()
    conditions, tally = judge(day, listed, places, reporting, NOW, most=most)
    told = {name: value.value for name, value in plausible(tally).metadata.items()}

    flags = quality.flags(rows, listed, places)
    assert (told["rows"], told["without_value"]) == (len(rows), rows["value"].null_count)
    for name in flags.column_names:
        found, what = flags[name].to_pylist(), {"flag": "any_test"}.get(name, name.removesuffix("_flag"))
        assert told[f"{what}_suspect"] == found.count(quality.SUSPECT)
        assert told[f"{what}_fail"] == found.count(quality.FAIL)
    failing = Counter(rows["measure_id"].filter(pc.equal(flags["flag"], quality.FAIL)).to_pylist())
    worst = sorted(failing, key=lambda measure: (-failing[measure], measure))[:5]
    assert told["failing_measures"] == len(failing)
    assert told["examples"] == (", ".join(f"{measure} ({failing[measure]})" for measure in worst) or "none")
    flagged = rows.append_column("flag", flags["flag"])
    assert conditions.equals(conditions_of(flagged, listed, places, reporting, NOW))


def test_each_window_is_fetched_once_and_damage_to_any_column_is_found(filled, monkeypatch):
    lake = filled.lake
    fetched, get = Counter(), lake.store.get
    monkeypatch.setattr(lake.store, "get", lambda key, **more: fetched.update([key]) or get(key, **more))
    readable, damaged, day = look(lake)
    assert fetched == {found.key: 1 for found in lake.windows(READINGS)}
    assert (readable, damaged) == ([found.window for found in lake.windows(READINGS)], [])
    assert sum(len(piece.codes) for piece in day.pieces) == len(stored_keys(filled))
    key = key_of(READINGS, WINDOW)
    whole = lake.store.get(key)
    footer = pq.read_metadata(pa.BufferReader(whole.data)).row_group(0)
    for number in range(footer.num_columns):
        data = bytearray(whole.data.to_pybytes())
        column = footer.column(number)
        first = column.dictionary_page_offset or column.data_page_offset
        data[first + column.total_compressed_size - 1] ^= 1
        put_raw(lake, key, bytes(data))
        assert look(lake)[1] == [WINDOW], column.path_in_schema


def test_a_station_that_is_there_twice_is_found(filled):
    plant(filled, STATIONS, window_of(NOW), lambda rows: pa.concat_tables([rows, rows.slice(3, 2)]))
    check = judged(filled, "stations")["stations_valid"]
    assert not check.passed
    assert said(check)["duplicate_rows"] == 2


def test_stations_without_coordinates_are_found_when_they_are_many(filled):
    plant(filled, STATIONS, window_of(NOW), lambda rows: with_column(rows, "lat", [None] * len(rows)))
    check = judged(filled, "stations")["stations_valid"]
    assert not check.passed
    assert said(check)["without_coordinates"] == 40


def test_a_measure_that_is_there_twice_is_an_error_and_one_without_a_station_a_warning(filled):
    plant(filled, MEASURES, window_of(NOW), lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]))
    twice = judged(filled, "measures")["measures_valid"]
    assert (twice.passed, twice.severity) == (False, dg.AssetCheckSeverity.ERROR)
    plant(filled, MEASURES, window_of(NOW), lambda rows: with_column(rows, "station_id", [None] * len(rows)))
    put_snapshot(filled.lake, MEASURES, window_of(NOW), filled.lake.newest_snapshot(MEASURES, NOW).slice(0, 5))
    homeless = judged(filled, "measures")["measures_valid"]
    assert (homeless.passed, homeless.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert said(homeless)["without_station"] == 5


def test_a_check_that_fails_does_not_fail_the_run(filled):
    plant(filled, READINGS, window_of(NOW) - 20 * HOUR, lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]))
    filled.at(NOW + timedelta(minutes=15))
    result = filled.tick()
    assert result.success
    assert [found.check_name for found in result.get_asset_check_evaluations() if not found.passed] == ["unique_keys"]


def test_a_reading_from_a_little_in_the_future_is_a_fresh_one(filled):
    ahead = NOW + timedelta(minutes=10)
    plant(filled, READINGS, window_of(NOW), lambda rows: with_column(rows.slice(0, 1), "date_time", [ahead]))
    assert said(judged(filled)["fresh_measures"])["newest_reading"] == ahead.timestamp()
