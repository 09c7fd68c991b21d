"""A station and a river in the terminal."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flood_assets.cli import show
from flood_assets.cli.show import NotFoundError
from flood_assets.lake.current import Present
from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.places import folder_of
from flood_assets.schemas import MEASURES, STATIONS, TIMELINESS, WARNING_AREAS, WARNINGS
from flood_assets_tests.support.lake_rows import HOUR, QUARTER, fetched, snapshot
from flood_assets_tests.support.quick_dagster import copy_folder
from flood_assets_tests.support.seven_gauges import NOW, STATION_ROWS, measure_rows

LATEST = NOW.replace(minute=0, second=0)
RANGE = {"typical_low": 0.2, "typical_high": 1.2, "highest_recent": 2.0, "max_on_record": 3.0, "rloi_id": "7388"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> str:
    """The seven gauges: Kingston is in flood, its flow stands still, one rain gauge has a gap, Manor Farm is silent."""
    lake = Lake.open(tmp_path_factory.mktemp("shown").as_uri())
    stations = [row | (RANGE if row["station_id"] == "K1" else {}) for row in STATION_ROWS]
    stations.append({"station_id": "M1", "label": "River Thames at Molesey"})
    lake.put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW, *stations))
    gauges = snapshot(MEASURES, NOW, *({**row, "value_type": "total"} for row in measure_rows()))
    lake.put_snapshots(MEASURES, [window_of(NOW)], gauges)
    rows = [("K1-level", LATEST - i * QUARTER, 2.5 - 0.02 * i) for i in range(96)]
    rows += [("K1-flow", LATEST - i * QUARTER, 40.0) for i in range(96)]
    rows += [("R1-rain", LATEST - i * QUARTER, 0.2) for i in range(96) if not 8 <= i < 16]
    lake.upsert_readings(fetched(*rows), NOW, NOW, stations=gauges)
    due = {
        "uploads": 9,
        "interval_s": 900,
        "due_after_s": 1200,
        "newest_at": LATEST,
        "next_due_at": LATEST + timedelta(minutes=35),
    }
    told = [{"measure_id": measure, **due} for measure in ("K1-level", "R1-rain")]
    lake.put_snapshots(TIMELINESS, [window_of(NOW)], snapshot(TIMELINESS, NOW, *told))
    return lake.url


def shown(lake, capsys, name: str) -> str:
    show.show(lake, name, NOW)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert all(line == line.rstrip() for line in printed.splitlines())
    return printed


@pytest.mark.parametrize("name", ["K1", "kingston"])
def test_a_station_has_its_place_and_each_measure_with_what_is_known(lake, capsys, name):
    printed = shown(lake, capsys, name)
    assert printed.startswith("Kingston (K1, page 7388 on 'check for flooding')\nRiver Thames, 51.4100 N 0.3100 W\n")
    level = printed[printed.index("level Stage") :]
    assert "2.5 mASD at Mon 10:00 BST (09:00Z); current, next due Mon 10:35 BST (09:35Z)" in level
    assert "ABOVE the typical range (typical 0.2 to 1.2 mASD)" in level
    assert "↑ rising, +0.080 mASD an hour" in level
    assert "▁▁▂▂▂▃▃▃▃▄▄▄▅▅▅▆▆▆▆▇▇▇██" in level
    assert "0.6 to 2.5 in 24 hours" in level
    assert "→ steady" in printed[printed.index("flow Logged") :].split("level Stage")[0]


def test_rain_comes_with_its_share_of_readings(lake, capsys):
    printed = shown(lake, capsys, "R1")
    assert "rain of  1 h: 0.8 mm (100% of the readings)" in printed
    assert "rain of  6 h: 3.2 mm (67% of the readings)" in printed
    assert "rain of 24 h: 17.6 mm (92% of the readings)" in printed
    assert re.search(r"[▁█ ]{20,}", printed)


def test_a_silent_station_says_so_and_shows_no_number(lake, capsys):
    printed = shown(lake, capsys, "Manor Farm")
    assert "no usable reading in the last 24 hours" in printed


def test_a_river_has_a_line_for_each_measure_within_80_columns(lake, capsys):
    printed = shown(lake, capsys, "river thames")
    assert printed.startswith("River Thames: 2 stations\n")
    assert max(map(len, printed.splitlines())) <= 80
    (level,) = [line for line in printed.splitlines() if line.startswith("Kingston           level")]
    assert re.search(r"2\.5 mASD above ↑ 10:00  ▁▁▂", level)
    assert "Teddington" in printed
    assert printed.endswith("times are those of BST (2026-10-05 09:07Z is now)\n")


def test_a_river_s_whole_name_comes_before_stations_that_have_its_words(lake, capsys):
    """Many stations are labelled "River Thames at ..."."""
    assert shown(lake, capsys, "River Thames").startswith("River Thames: 2 stations\n")
    printed = shown(lake, capsys, "thames")
    assert "by its words it matches 'River Thames at Molesey'" in printed
    assert "River Thames at Molesey (M1)" in printed


def test_of_several_stations_only_the_names_are_shown(lake, capsys):
    printed = shown(lake, capsys, "Rainfall station")
    assert printed.splitlines() == [
        "2 stations are called 'Rainfall station': give the id of one",
        "  R1           Rainfall station: 52.0000 N 1.0000 W",
        "  R2           Rainfall station: place not known",
    ]


def test_an_unknown_name_and_an_absent_lake_are_errors_with_a_remedy(lake, tmp_path):
    with pytest.raises(NotFoundError, match="no station is called 'Kingstom'; there is 'Kingston'"):
        show.show(lake, "Kingstom", NOW)
    with pytest.raises(NotFoundError, match="`flood-assets refresh` makes and fills it"):
        show.show((tmp_path / "none").as_uri(), "Kingston", NOW)


def test_the_sparkline_leaves_a_blank_for_an_hour_without_a_reading():
    day = [(NOW - i * HOUR, float(i)) for i in range(24) if i != 5]
    assert show._spark(day, NOW)[18] == " "
    assert show._spark([], NOW) == ""


def warned(lake: str, at: datetime, *rows: dict) -> None:
    """Put a list of warnings at areas around Kingston into the lake."""
    opened = Lake.open(lake)
    areas = [{"flood_area_id": row["flood_area_id"], "lat": 51.42, "long": -0.32} for row in rows]
    opened.put_snapshots(WARNING_AREAS, [window_of(at)], snapshot(WARNING_AREAS, at, *areas))
    listed = snapshot(WARNINGS, at, *rows)
    opened.put_snapshots(WARNINGS, [window_of(at)], listed, Present(listed, at))


ALERT = {
    "flood_area_id": "061WAF",
    "severity_level": 3,
    "severity": "Flood alert",
    "label": "River Thames from Datchet to Shepperton Green",
    "message": "\nRiver levels are high at the Kingston, Teddington and Molesey river gauges, and rise. \n\nMore.",
    "severity_changed_at": datetime(2026, 10, 3, 16, 43, tzinfo=UTC),
}


@pytest.fixture
def own(lake, tmp_path) -> str:
    """The same lake for a test that puts warnings into it."""
    copy_folder(Path(folder_of(lake)), tmp_path / "lake")
    return (tmp_path / "lake").as_uri()


@pytest.mark.parametrize("name", ["K1", "River Thames"])
def test_warnings_near_by_have_severity_area_time_and_the_first_line_of_the_message(own, capsys, name):
    severe = ALERT | {
        "flood_area_id": "2",
        "severity_level": 1,
        "severity": "Severe flood warning",
        "label": "Kingston",
    }
    warned(own, NOW, ALERT, severe)
    printed = shown(own, capsys, name)
    told = printed[printed.index("Warnings within 8 km: 2\n") :].splitlines()[:7]
    assert told[1:] == [
        "  Severe flood warning: Kingston (1.3 km)",
        "    since Sat 3 Oct 2026 17:43 BST (16:43Z)",
        "    River levels are high at the Kingston, Teddington and Molesey river gauges,…",
        "  Flood alert: River Thames from Datchet to Shepperton Green (1.3 km)",
        "    since Sat 3 Oct 2026 17:43 BST (16:43Z)",
        "    River levels are high at the Kingston, Teddington and Molesey river gauges,…",
    ]
    assert max(map(len, told)) <= 80


def test_of_many_warnings_the_most_severe_are_shown_and_the_rest_is_counted(own, capsys):
    warned(own, NOW, *(ALERT | {"flood_area_id": str(number)} for number in range(8)))
    printed = shown(own, capsys, "K1")
    assert printed.count("Flood alert: ") == 5
    assert printed.endswith("  and 3 more\n")


def test_no_warning_and_no_list_of_warnings_are_told_apart(own, capsys):
    assert "Warnings within 8 km: none\n  the lake file" in shown(own, capsys, "K1")
    warned(own, NOW, ALERT)
    printed = shown(own, capsys, "K2")
    assert (
        "Warnings within 8 km: none\n  no such flood warning is in force, by the list of 2026-10-05 09:07Z\n" in printed
    )
    assert "the API gives no position of the station 'G1'" in shown(own, capsys, "G1")


def test_a_warning_without_text_or_time_is_shown(own, capsys):
    warned(own, NOW, {"flood_area_id": "061WAF"})
    assert shown(own, capsys, "K1").endswith(
        "Warnings within 8 km: 1\n  Warning of unknown severity: 061WAF (1.3 km)\n"
    )
