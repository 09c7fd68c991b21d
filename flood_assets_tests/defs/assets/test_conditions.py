"""The conditions of a simulated country, judged and stored by the real jobs."""

from datetime import UTC, datetime
from importlib import import_module
from xml.etree import ElementTree as ET

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from flood_assets import quality, query
from flood_assets.defs.assets.conditions import furthest_above
from flood_assets.defs.checks.conditions import CONDITIONS_CHECKS, supported
from flood_assets.lake.layout import current_key, key_of
from flood_assets.partitions import window_of
from flood_assets.schemas import CONDITIONS, MEASURES, READINGS, STATIONS, TIMELINESS
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place, failure_of
from flood_assets_tests.defs.test_maps import drawn, marks
from flood_assets_tests.support.lake_rows import keys, put_raw, snapshot

# A wet week of the simulated country.
WET = datetime(2026, 10, 28, 9, 20, tzinfo=UTC)


def judge(place: Place) -> dg.ExecuteInProcessResult:
    """What the UI's Materialize button does with the conditions."""
    result = place.run("refresh_job", asset_selection=[dg.AssetKey("conditions")])
    assert result.success, failure_of(result)
    return result


def told(result: dg.ExecuteInProcessResult) -> dict:
    (found,) = result.asset_materializations_for_node("conditions")
    return {name: value.value for name, value in found.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    found = [each for each in result.get_asset_check_evaluations() if each.asset_key == dg.AssetKey("conditions")]
    return {each.check_name: each for each in found}


def present(place: Place) -> pa.Table:
    """Return the present as a stranger reads it."""
    return pq.read_table(pa.BufferReader(place.lake.store.read(current_key(CONDITIONS)).data))


def named(markdown: str) -> list[list[str]]:
    """Return the rows of a table of the metadata."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()[2:]]


def windows(place: Place) -> list[datetime]:
    return [stored.window for stored in place.lake.windows(CONDITIONS)]


def test_a_tick_stores_what_load_conditions_says_in_the_window_of_now_and_as_the_present(filled):
    assert windows(filled) == [window_of(NOW)]
    now = query.conditions(filled.lake, NOW).rows
    assert {*filled.lake.newest_snapshot(MEASURES, NOW)["measure_id"].to_pylist()} <= {*now["measure_id"].to_pylist()}
    assert filled.lake.newest_snapshot(CONDITIONS, NOW).equals(now)
    assert present(filled).equals(now)


def test_a_later_tick_of_the_hour_replaces_them_and_one_of_the_next_hour_stands_beside(filled):
    before = present(filled)
    filled.at(NOW + QUARTER)
    assert filled.tick().success
    after = present(filled)
    assert windows(filled) == [window_of(NOW)]
    assert set(after["observed_at"].to_pylist()) == {NOW + QUARTER}
    assert not after.drop(["observed_at"]).equals(before.drop(["observed_at"])), "gauges have reported since"
    assert after.equals(filled.lake.newest_snapshot(CONDITIONS, filled.now))
    filled.at(NOW + HOUR)
    assert filled.tick().success
    assert windows(filled) == [window_of(NOW), window_of(NOW + HOUR)]
    assert set(present(filled)["observed_at"].to_pylist()) == {NOW + HOUR}


def test_a_run_that_judged_earlier_and_ends_later_replaces_no_newer_present(filled):
    filled.at(NOW + QUARTER)
    judge(filled)
    later = present(filled)
    filled.at(NOW)
    judge(filled)
    assert present(filled).equals(later)
    assert filled.lake.newest_snapshot(CONDITIONS, NOW + QUARTER).equals(later)


def test_a_tick_flags_each_reading_once(filled, monkeypatch):
    flagged, flag = [], quality.flag
    monkeypatch.setattr(quality, "flag", lambda measure, *more: flagged.append(len(measure)) or flag(measure, *more))
    filled.at(NOW + QUARTER)
    assert filled.tick().success
    assert sum(flagged) == len(filled.lake.read(READINGS, now=filled.now, columns=["date_time"]))


def test_the_metadata_counts_each_gauge_once_by_band_trend_and_freshness(filled):
    filled.at(NOW + QUARTER)
    found = told(filled.tick())
    rows = present(filled)
    assert found["gauges"] == found["dagster/row_count"] == len(rows)
    for name in ("band", "trend", "freshness"):
        counts = {key.removeprefix(f"{name}_"): value for key, value in found.items() if key.startswith(f"{name}_")}
        expected = {each["values"] or "none": each["counts"] for each in rows[name].value_counts().to_pylist()}
        assert {word: count for word, count in counts.items() if count} == expected
        assert sum(counts.values()) == len(rows)
    assert found["dagster/uri"] == f"{filled.lake.url}/conditions"


def test_a_flood_shows_by_name_which_gauges_are_furthest_above_their_range(place):
    place.at(WET)
    result = place.tick(snapshot=True)
    assert result.success, failure_of(result)
    found, rows = told(result), present(place).to_pylist()
    high = [row for row in rows if row["band"] in ("above", "record")]
    assert found["band_above"] + found["band_record"] == len(high) >= 3
    by_id = {row["station_id"]: row for row in place.lake.newest_snapshot(STATIONS, WET).to_pylist()}

    def share(row: dict) -> float:
        station = by_id[row["station_id"]]
        return (row["value"] - station["typical_high"]) / (station["typical_high"] - station["typical_low"])

    worst = sorted(high, key=share, reverse=True)[:10]
    listed = named(found["furthest_above"])
    stations = [by_id[row["station_id"]] for row in worst]
    assert [line[:2] for line in listed] == [[station["label"], station["river"]] for station in stations]
    value, unit = listed[0][2].split()
    assert float(value) == worst[0]["value"]
    assert listed[0][4] == f"{worst[0]['value'] - stations[0]['typical_high']:.3f} {unit}"
    assert listed[0][5] == f"{share(worst[0]):.0%}"
    assert found["furthest_above"].count("\n") == 1 + min(10, len(high))
    on_map = marks(drawn(dg.MetadataValue.md(found["map"])))
    places = {(by_id[row["station_id"]]["lat"], by_id[row["station_id"]]["long"]) for row in high}
    assert 0 < len(on_map["above"]) + len(on_map["record"]) <= len(places)


def test_the_order_is_by_the_width_of_the_range_and_records_and_trends_are_told():
    ranges = {"a": (0.0, 1.0, "River A", "A|B"), "b": (0.0, 0.1, "River B", None), "c": (0.5, 0.5, None, "C")}
    stations = snapshot(
        STATIONS,
        NOW,
        *[
            {"station_id": each, "typical_low": low, "typical_high": high, "river": river, "label": label}
            for each, (low, high, river, label) in ranges.items()
        ],
    )
    measures = snapshot(
        MEASURES, NOW, *[{"measure_id": f"m-{each}", "station_id": each, "unit": "mASD"} for each in "ab"]
    )
    rows = snapshot(
        CONDITIONS,
        NOW,
        *[
            {
                "measure_id": f"m-{each}",
                "station_id": each,
                "value": value,
                "band": band,
                "trend": trend,
                "passed_over": 0,
            }
            for each, value, band, trend in (
                ("a", 2.0, "record", "rising"),
                ("b", 0.3, "above", None),
                ("c", 0.505, "above", "steady"),
                ("a", 0.5, "normal", "steady"),
            )
        ],
    )
    lines = furthest_above(rows, measures, stations).value.splitlines()[2:]
    assert lines == [
        "| m-b | River B | 0.300 mASD | 0 to 0.1 mASD | 0.200 mASD | 200% |  |",
        "| A\\|B | River A | 2.000 mASD | 0 to 1 mASD | 1.000 mASD | 100% | rising, above the highest on record |",
        "| C |  | 0.505  | 0.5 to 0.5  | 0.005  | 50% | steady |",
    ]


def test_an_empty_lake_has_no_conditions_and_no_present_and_is_no_fault(place):
    result = judge(place)
    assert all(each.passed for each in checks(result).values())
    found = told(result)
    assert (found["gauges"], found["band_none"], found["furthest_above"].count("\n")) == (0, 0, 1)
    assert ET.tostring(drawn(dg.MetadataValue.md(found["map"])))
    assert keys(place.lake) == [key_of(CONDITIONS, window_of(NOW))]


def test_stations_without_a_range_have_no_band_and_pass(filled):
    rows = filled.lake.newest_snapshot(STATIONS, NOW)
    for name in ("typical_low", "typical_high"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.nulls(len(rows), pa.float64()))
    later = pa.array([NOW + QUARTER] * len(rows), rows.schema.field("observed_at").type)
    rows = rows.set_column(rows.schema.get_field_index("observed_at"), STATIONS.schema.field("observed_at"), later)
    filled.lake.put_snapshots(STATIONS, [window_of(NOW)], rows)
    filled.at(NOW + QUARTER)
    result = judge(filled)
    assert told(result)["band_none"] == told(result)["gauges"]
    assert all(each.passed for each in checks(result).values())


def test_the_newest_are_loaded_through_dagster(filled):
    filled.at(NOW + HOUR)
    assert filled.tick().success
    with filled.defs.get_asset_value_loader(instance=filled.instance) as loader:
        rows = loader.load_asset_value("conditions", python_type=pa.Table)
    assert rows.equals(present(filled))


# -- faults


@pytest.mark.parametrize("table", [CONDITIONS, TIMELINESS], ids=lambda table: table.name)
def test_the_first_run_of_an_hour_quarantines_damaged_windows_and_fills_none_with_what_is_now(filled, table):
    damaged = window_of(NOW) - 3 * HOUR
    put_raw(filled.lake, key_of(table, damaged), b"not parquet")
    filled.at(NOW + HOUR)
    assert filled.tick().success
    assert len([key for key in keys(filled.lake) if key.startswith(f"_quarantine/{table.name}/")]) == 1
    assert len(filled.lake.read(table, damaged, damaged + HOUR, now=filled.now)) == 0
    assert filled.lake.damaged(table) == []


def test_a_damaged_window_of_readings_is_told_and_the_others_are_judged(filled):
    (newest, *_) = reversed(filled.lake.windows(READINGS))
    put_raw(filled.lake, newest.key, b"not parquet")
    result = judge(filled)
    logs = [record.user_message for record in filled.instance.all_logs(result.run_id)]
    assert "1 damaged window of readings: what was in them is in no condition" in logs
    assert 0 < pc.max(present(filled)["date_time"]).as_py().timestamp() < newest.window.timestamp()


def test_a_band_that_the_rules_give_without_a_range_turns_the_check_red(filled, monkeypatch):
    rules = import_module("flood_assets.query.conditions")
    monkeypatch.setattr(rules, "_bands", lambda _, known: np.ones(len(known.ids), np.int64))
    filled.at(NOW + QUARTER)
    found = checks(judge(filled))["everything_supported"]
    assert (found.passed, found.severity, found.blocking) == (False, dg.AssetCheckSeverity.ERROR, False)
    without = sum(row["typical_low"] is None for row in filled.lake.newest_snapshot(STATIONS, NOW).to_pylist())
    assert found.metadata["band_without_range"].value >= without > 0
    assert set(found.metadata["examples"].value.split(", ")) <= set(present(filled)["measure_id"].to_pylist())


RANGED = {"station_id": "s", "typical_low": 0.2, "typical_high": 1.0}


@pytest.mark.parametrize(
    ("row", "station", "wrong"),
    [
        ({"band": "normal"}, RANGED, None),
        ({"band": "above"}, {"station_id": "s"}, "band_without_range"),
        ({"band": "above"}, RANGED | {"typical_low": None}, "band_without_range"),
        ({"band": "below"}, RANGED | {"typical_low": 1.2}, "band_without_range"),
        ({"band": "record"}, {"station_id": "another"}, "band_without_range"),
        ({"rain_6h": 2.0, "rain_6h_coverage": 0.5}, RANGED, None),
        ({"rain_6h_coverage": 0.0}, RANGED, None),
        ({"rain_6h": 2.0}, RANGED, "rain_without_coverage"),
        ({"rain_24h": 0.0, "rain_24h_coverage": 0.0}, RANGED, "rain_without_coverage"),
        ({"value": 0.5, "flag": 3}, RANGED, None),
        ({"value": 0.5, "flag": 4}, RANGED, "value_that_failed"),
        ({"value": -888.0, "flag": 2}, RANGED, "value_that_failed"),
    ],
    ids=str,
)
def test_what_nothing_supports_is_counted_by_kind_and_named(row, station, wrong):
    rows = snapshot(CONDITIONS, NOW, {"measure_id": "m", "station_id": "s", "passed_over": 0, **row})
    found = supported(rows, snapshot(STATIONS, NOW, station))
    counts = {name: value.value for name, value in found.metadata.items()}
    assert (found.passed, counts.pop("examples")) == (wrong is None, "m" if wrong else "none")
    assert {name for name, count in counts.items() if count} == {"gauges", wrong} - {None}


def test_the_checks_are_those_that_are_declared(filled):
    assert set(checks(judge(filled))) == {name for name, _ in CONDITIONS_CHECKS}
