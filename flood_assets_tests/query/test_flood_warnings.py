"""Questions about flood warnings and areas: which are in force, where, and how well that is known."""

from datetime import UTC, datetime, timedelta

import pytest

from flood_assets import query
from flood_assets.lake.current import Present
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.partitions import window_of
from flood_assets.schemas import STATIONS, WARNING_AREAS, WARNINGS
from flood_assets.warnings import in_force
from flood_assets_tests.support.lake_rows import HOUR, put_raw, snapshot
from flood_assets_tests.support.seven_gauges import NOW, STATION_ROWS

MORNING = datetime(2026, 10, 5, 6, 12, tzinfo=UTC)
AREA_ROWS = [
    {
        "flood_area_id": "061WAF",
        "label": "Lower Thames",
        "description": "The Thames from Datchet to Teddington",
        "county": "Greater London, Surrey",
        "river_or_sea": "River Thames, River Wey",
        "lat": 51.43,
        "long": -0.32,
    },
    {
        "flood_area_id": "061FWF",
        "label": "River Thames at Kingston",
        "county": "Surrey",
        "river_or_sea": "River Thames",
        "lat": 51.411,
        "long": -0.31,
    },
    {
        "flood_area_id": "122FWF",
        "label": "River Hull at Beverley",
        "county": "East Riding of Yorkshire",
        "river_or_sea": "River Hull",
        "lat": 53.8,
        "long": -0.35,
    },
    {"flood_area_id": "9", "label": "Nowhere", "county": "Kent"},
]


def warned(area: str, level: int | None = 3, **more) -> dict:
    named = next((row for row in AREA_ROWS if row["flood_area_id"] == area), {})
    common = {name: named[name] for name in ("label", "county", "river_or_sea") if name in named}
    times = {"first_seen_at": MORNING, "changed_at": MORNING, "severity_changed_at": MORNING, "revision": 0}
    return {"flood_area_id": area, "severity_level": level, "message": f"{area}.", **common, **times, **more}


FIVE = [
    warned("061FWF", 2, previous_severity_level=1, revision=1),
    warned("061WAF"),
    warned("122FWF", 1),
    warned("new", 2, river_or_sea="River New", description="A new place", county="Kent"),
    warned("9", 4, left_at=NOW - HOUR, previous_severity_level=3, revision=1),
]


def put(lake: Lake, at: datetime, *warnings: dict) -> Lake:
    rows = snapshot(WARNINGS, at, *warnings)
    lake.put_snapshots(WARNINGS, [window_of(at)], rows, Present(in_force(rows), at))
    return lake


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Five warnings of some minutes ago; one has left the list, and the area of one is in no list of areas."""
    lake = Lake.open(tmp_path)
    lake.put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW, *STATION_ROWS))
    lake.put_snapshots(WARNING_AREAS, [window_of(MORNING)], snapshot(WARNING_AREAS, MORNING, *AREA_ROWS))
    return put(lake, NOW - timedelta(minutes=5), *FIVE)


def found(lake: Lake, *notes: str, now: datetime = NOW, **wanted) -> list[str]:
    """Return the areas of the warnings that match; there are notes that contain just these texts."""
    answer = query.warnings(lake, now, **wanted)
    assert len(answer.notes) == len(notes), answer.notes
    assert all(text in note for text, note in zip(notes, answer.notes, strict=True)), answer.notes
    return answer.rows["flood_area_id"].to_pylist()


def test_what_is_in_force_comes_the_most_severe_first(lake):
    assert found(lake) == ["122FWF", "061FWF", "new", "061WAF"]
    assert query.warnings(lake, NOW).rows.schema == WARNINGS.schema


def test_what_was_known_of_the_day_comes_on_request_and_no_longer_than_a_day(lake):
    assert found(lake, in_force=False) == ["122FWF", "061FWF", "new", "061WAF", "9"]
    later = NOW + 23 * HOUR
    assert "9" not in found(lake, "over an hour ago", now=later, in_force=False)


@pytest.mark.parametrize(
    ("severity", "areas"),
    [
        ("severe", ["122FWF"]),
        ("Flood Warning", ["061FWF", "new"]),
        (3, ["061WAF"]),
        (["1", "alert"], ["122FWF", "061WAF"]),
    ],
)
def test_severities_by_word_or_level(lake, severity, areas):
    assert found(lake, severity=severity) == areas


def test_a_severity_that_there_is_not_is_an_error_and_one_that_is_not_in_force_a_note(lake):
    with pytest.raises(ValueError, match="severity has no 'orange': choose from severe, warning, alert, ended"):
        query.warnings(lake, NOW, severity="orange")
    assert found(lake, "no such flood warning is in force, by the list of 2026-10-05 09:02Z", severity="ended") == []
    assert found(lake, severity="ended", in_force=False) == ["9"]


@pytest.mark.parametrize(
    ("wanted", "areas"),
    [
        ({"area": "061FWF"}, ["061FWF"]),
        ({"area": "lower thames"}, ["061WAF"]),
        ({"area": "A new place"}, ["new"]),
        ({"county": "Surrey"}, ["061FWF", "061WAF"]),
        ({"county": "Greater London"}, ["061WAF"]),
        ({"river": "River Wey"}, ["061WAF"]),
        ({"river": ["River New", "River Hull"]}, ["122FWF", "new"]),
        ({"county": "Surrey", "severity": "warning"}, ["061FWF"]),
    ],
)
def test_areas_counties_and_rivers_are_matched_whole(lake, wanted, areas):
    assert found(lake, **wanted) == areas


def test_names_are_matched_by_words_and_that_is_told(lake):
    note = "no river is called 'Hull'; by its words it matches 'River Hull'"
    assert found(lake, note, river="Hull") == ["122FWF"]
    note = "no river is called 'River Weye'; there is 'River Wey', 'River New', "
    assert found(lake, note, river="River Weye") == [], "each river of an area has its own name"


def test_a_river_without_a_warning_is_known_all_the_same(lake):
    put(lake, NOW - timedelta(minutes=4), warned("122FWF", 1))
    assert found(lake, "no such flood warning is in force, by the list of 2026-10-05 09:03Z", river="River Wey") == []


def test_near_a_station_are_areas_within_8_km_the_nearest_first_of_each_severity(lake):
    rows = query.warnings(lake, NOW, near="Kingston").rows.to_pylist()
    assert [(row["flood_area_id"], round(row["distance_km"], 1)) for row in rows] == [("061FWF", 0.1), ("061WAF", 2.3)]
    assert found(lake, near="K2", columns=["flood_area_id", "distance_km"]) == ["122FWF"]
    assert found(lake, "no such flood warning is in force", near="R1") == []
    assert found(lake, "no station is called 'Atlantis'", near="Atlantis") == []
    assert found(lake, "the API gives no position of the station 'G1'", near="G1") == []


def test_what_is_near_is_not_known_without_the_list_of_areas(lake):
    lake.store.delete([key_of(WARNING_AREAS, window_of(MORNING))])
    assert found(lake, "it is not known what is near: the lake", near="K1") == []
    assert found(lake, river="River Thames") == ["061FWF", "061WAF"], "names are those of the warnings"


def test_a_calm_day_says_so_and_an_old_list_too(lake, tmp_path):
    calm = put(Lake.open(tmp_path / "calm"), NOW)
    assert found(calm, "no such flood warning is in force, by the list of 2026-10-05 09:07Z") == []
    notes = ("the last list of flood warnings is of 2026-10-05 09:07Z, over an hour ago: run", "no such flood warning")
    assert found(calm, *notes, now=NOW + 2 * HOUR) == []
    assert found(lake, "of 2026-10-05 09:02Z, over an hour ago", now=NOW + 2 * HOUR) != []


def test_no_list_is_no_calm_day(tmp_path):
    assert found(tmp_path / "none", "there is no lake at") == []
    empty = Lake.open(tmp_path / "empty")
    assert found(empty, "has no warnings yet: run") == []
    put(empty, NOW - 26 * HOUR, warned("9"))
    assert found(empty, "the newest warnings in the lake") == []
    put_raw(empty, key_of(WARNINGS, window_of(NOW)), b"not parquet")
    with pytest.raises(DamagedWindowError):
        query.warnings(empty, NOW)


def test_columns_are_chosen_and_a_distance_needs_a_place(lake):
    rows = query.warnings(lake, NOW, columns=["label", "severity_level"]).rows
    assert rows.column_names == ["label", "severity_level"]
    with pytest.raises(ValueError, match=r"no column 'distance_km': there are .*others come with near=True"):
        query.warnings(lake, NOW, columns="distance_km")


def test_the_areas_by_name_and_near_a_station(lake):
    def areas(*notes: str, **wanted) -> list[str]:
        answer = query.warning_areas(lake, NOW, **wanted)
        assert len(answer.notes) == len(notes), answer.notes
        assert all(text in note for text, note in zip(notes, answer.notes, strict=True)), answer.notes
        return answer.rows["flood_area_id"].to_pylist()

    assert areas() == ["061FWF", "061WAF", "122FWF", "9"]
    assert areas(county="Surrey", river="River Wey") == ["061WAF"]
    assert areas("no flood area matches all of that", county="Kent", river="River Wey") == []
    assert areas(near="Kingston") == ["061FWF", "061WAF"]
    assert query.warning_areas(lake, NOW).rows.schema == WARNING_AREAS.schema


def test_a_station_knows_its_areas_and_an_area_its_stations(lake):
    pairs = query.station_areas(lake, NOW).rows.to_pylist()
    assert [(row["station_id"], row["flood_area_id"]) for row in pairs] == [
        ("K1", "061FWF"),
        ("K1", "061WAF"),
        ("K2", "122FWF"),
    ]
    (hull,) = query.station_areas(lake, NOW, area="122FWF").rows.to_pylist()
    assert (hull["station"], hull["area"]) == ("Kingston upon Hull", "River Hull at Beverley")
    assert 6.7 < hull["distance_km"] < 6.9
    near = query.station_areas(lake, NOW, station="Kingston", columns="area").rows.to_pylist()
    assert near == [{"area": "River Thames at Kingston"}, {"area": "Lower Thames"}]
    assert query.station_areas(lake, NOW, station="R1").notes == [
        "no flood area has its centre within 8 km of such a station"
    ]
