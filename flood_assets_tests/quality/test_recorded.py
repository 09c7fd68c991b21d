"""The flags of what the API has really shown; what is right was decided row by row, from what stands beside each."""

import csv
import gzip
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from flood_assets import quality
from flood_assets.ea.lists import parse_measures, parse_stations
from flood_assets.ea.parse import parse_readings
from flood_assets.quality import FAIL, MISSING, NOT_EVALUATED, PASS, SUSPECT
from flood_assets.schemas import MEASURES
from flood_assets_tests.support.lake_rows import snapshot
from flood_assets_tests.support.recordings import envelope, readings_csv, recorded

SEEN = datetime(2024, 2, 29, 13, tzinfo=UTC)

# Each row of the recorded extremes with its flag, and why.
EXTREMES = {
    # Spring Brook in London, 28 m below its own gauge's zero; its scale is 0.38 to 1.74 m.
    "4327TH-level-stage-i-15_min-mASD": FAIL,
    # Praze Stream at Penryn, 13 m below its zero: below any bed.
    "48143-level-downstage-i-15_min-mASD": FAIL,
    # A sluice on the Nene, higher than England.
    "E1382-level-stage-i-15_min-mAOD": FAIL,
    # River Brant, 7.6 m below its zero: nothing impossible, but no gauge has shown it.
    "E2815-level-stage-i-15_min-mASD": SUSPECT,
    # The lowest sound heads: Chalk and sandstone under the coasts and under cities that were pumped for a century.
    "E22034-level-groundwater-i-15_min-mAOD": PASS,
    "SE37ACB0SS-level-groundwater-i-15_min-mAOD": PASS,
    "SE62CH1LSS-level-groundwater-i-15_min-mAOD": PASS,
    "SD17_5-level-groundwater-i-1_h-m": PASS,
    "SE46BBN0RD-level-groundwater-i-15_min-mAOD": PASS,
    "SE46LDC0RD-level-groundwater-i-15_min-mAOD": PASS,
    "E23119-level-groundwater-i-15_min-m": PASS,
    "E21775-level-groundwater-i-15_min-m": PASS,
    "SJ38_82-level-groundwater-i-1_h-m": PASS,
    # The highest.
    "SU17_114-level-groundwater-i-1_h-mAOD": PASS,
    "E16141-level-groundwater-i-15_min-mAOD": PASS,
    # Water flows back from time to time.
    "E2834-flow-stage-i-15_min-Ml_d": PASS,
    # Low water in the Severn is lower. This gauge in the Wash is dead, which its flat line shows, not its value.
    "E4804-level-tidal_level-i-15_min-mAOD": PASS,
    # Drains of low land are kept below the sea.
    "E21183-level-stage-i-15_min-mAOD": PASS,
    # A wet February on the Thames; megalitres a day: 153 and 28 m³/s.
    "3100TH-flow--i-15_min-m3_s": PASS,
    "2700TH-flow--i-15_min-m3_s": PASS,
    "2900TH-flow--Mean-15_min-m3_s": PASS,
    "3400TH-flow--i-15_min-m3_s": PASS,
    "3399TH-flow--i-15_min-m3_s": PASS,
    "4022-flow--i-15_min-Ml_d": PASS,
    "4085-flow--i-15_min-Ml_d": PASS,
    # Degrees, and millimetres of tide.
    "755900-wind-direction-Mean-15_min-deg": PASS,
    "694670-wind-direction-Mean-15_min-deg": PASS,
    "46132-wind-direction-i-15_min-deg": PASS,
    "E72825-level-tidal_level-Mean-15_min-mm": PASS,
    "E72623-level-tidal_level-Mean-15_min-mm": PASS,
}


# What no recorded list describes, as its notation does.
UNLISTED = {
    "E72623-level-tidal_level-Mean-15_min-mm": ("level", "Tidal Level", "mm"),
    "SE37ACB0SS-level-groundwater-i-15_min-mAOD": ("level", "Groundwater", "mAOD"),
    "SE46BBN0RD-level-groundwater-i-15_min-mAOD": ("level", "Groundwater", "mAOD"),
    "SE46LDC0RD-level-groundwater-i-15_min-mAOD": ("level", "Groundwater", "mAOD"),
    "SU17_114-level-groundwater-i-1_h-mAOD": ("level", "Groundwater", "mAOD"),
    "2700TH-flow--i-15_min-m3_s": ("flow", None, "m3/s"),
}


@pytest.fixture(scope="module")
def catalogue() -> pa.Table:
    """All measures that any recorded list has, as a snapshot."""
    lines = csv.DictReader(recorded("national/measures_catalogue.csv").decode().splitlines())
    given = ({name: text or None for name, text in line.items()} for line in lines)
    return snapshot(
        MEASURES,
        SEEN,
        *[
            {
                "measure_id": each["notation"],
                "station_id": each["station"],
                "parameter": each["parameter"],
                "qualifier": each["qualifier"],
                "unit": None if each["unitName"] == "---" else each["unitName"],
                "period_s": each["period"] and int(float(each["period"])),
            }
            for each in given
            if each["parameter"]
        ],
        *[
            {"measure_id": measure, "parameter": parameter, "qualifier": qualifier, "unit": unit}
            for measure, (parameter, qualifier, unit) in UNLISTED.items()
        ],
    )


@pytest.fixture(scope="module")
def scales() -> pa.Table:
    return parse_stations(envelope(recorded("sample/stations.json")), SEEN).rows


def test_the_recorded_extremes_have_the_flags_that_each_deserves(catalogue, scales):
    rows = parse_readings(readings_csv(recorded("odd/readings_extreme_values_2024.json")), SEEN).rows
    found = quality.flags(rows, catalogue, scales)
    ids = rows["measure_id"].cast(pa.string()).to_pylist()
    assert dict(zip(ids, found["flag"].to_pylist(), strict=True)) == EXTREMES
    # One reading of a gauge has no neighbours.
    assert {flag for name in quality.TESTS[1:] for flag in found[name].to_pylist()} == {NOT_EVALUATED}


def test_of_a_whole_country_hardly_a_reading_is_flagged(catalogue, scales):
    rows = parse_readings(readings_csv(recorded("national/readings_latest_2024-02-29.json")), SEEN).rows
    flags = quality.flags(rows, catalogue, scales)["flag"]
    flagged = {
        (measure, flag)
        for measure, flag in zip(rows["measure_id"].cast(pa.string()).to_pylist(), flags.to_pylist(), strict=True)
        if flag in (SUSPECT, FAIL)
    }
    assert flagged == {
        *((measure, flag) for measure, flag in EXTREMES.items() if flag != PASS),
        # Far below their station's scale, and two to three metres below its zero.
        ("E9510-level-stage-i-15_min-mASD", SUSPECT),
        ("E21968-level-stage-i-15_min-mASD", SUSPECT),
        # No scale is at hand that could show whether this one is a height above the sea.
        ("E4360-level-stage-i-15_min-mASD", SUSPECT),
    }
    assert flags.to_pylist().count(PASS) > 4900


@pytest.mark.parametrize("name", ["readings_value_is_list_2024", "reading_nan_value_omitted"])
def test_a_reading_without_one_value_is_missing(catalogue, scales, name):
    rows = parse_readings(readings_csv(recorded(f"odd/{name}.json")), SEEN).rows
    assert quality.flags(rows, catalogue, scales)["flag"].to_pylist() == [MISSING]


def test_in_real_series_faults_are_found_and_floods_and_tides_left_alone(scales):
    """136 series of levels, flows and tides, and nearly 2,000 gauges with one reading, over one day."""
    measures = parse_measures(envelope(recorded("sample/measures.json")), SEEN).rows
    lines = gzip.decompress(recorded("sample/readings.csv.gz")).decode().splitlines()
    base = "http://environment.data.gov.uk/flood-monitoring/id/measures/"
    # As the lake has it: a correction, which comes later, stands for what was shown before.
    day = {tuple(cells[:2]): cells[2] for cells in csv.reader(lines) if cells[0].startswith("2024-01-01")}
    body = "dateTime,measure,value\r\n" + "".join(
        f"{at},{base}{measure},{value}\r\n" for (at, measure), value in day.items()
    )
    rows = parse_readings(body.encode(), SEEN).rows
    found = quality.flags(rows, measures, scales)
    ids = rows["measure_id"].cast(pa.string())

    def flagged(test: str, *which: int) -> dict[str, int]:
        there = pa.compute.is_in(found[test], pa.array(which, pa.int8()))
        return {each["values"]: each["counts"] for each in ids.filter(there).value_counts().to_pylist()}

    # A tide gauge that stands at -5.5 m while the sea comes and goes.
    dead = flagged("flat_line_flag", FAIL)
    assert set(dead) == {"E4804-level-tidal_level-i-15_min-mAOD"}
    assert set(flagged("flat_line_flag", SUSPECT)) == {*dead, "E43214-level-tidal_level-i-15_min-mAOD"}
    # A difference of two gauges that leaps by 4.6 m for one reading; metre-high needles on seven others.
    assert flagged("spike_flag", FAIL) == {"DIFF_TB3_TB1-level-tidal_level-i-15_min-m": 1}
    assert set(flagged("spike_flag", SUSPECT).values()) == {1}
    assert len(flagged("spike_flag", SUSPECT)) <= 10
    assert len(flagged("rate_of_change_flag", SUSPECT)) <= 10
    assert set(flagged("gross_range_flag", FAIL)) == {
        "2897BTH-level-stage-i-15_min-mASD",
        "E9890-level-stage-i-15_min-mASD",
    }
    # All else, 99 in 100 of 13,700 readings, is as it should be.
    bad = sum(flagged("flag", SUSPECT, FAIL).values())
    assert bad < 0.011 * len(rows)
