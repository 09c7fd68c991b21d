"""Each question has the same answer over four shards as over one lake with the same rows; what is away is said."""

import shutil
from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flood_assets import query
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.lake.united import United, reading
from flood_assets.partitions import window_of
from flood_assets.query.alerts import Alerts, stored_alerts, update_alerts
from flood_assets.query.status import look
from flood_assets.query.status_json import content
from flood_assets.schemas import MEASURES, READINGS, STATIONS, TABLES, TIMELINESS
from flood_assets_tests.support.bucketlike import bucketlike
from flood_assets_tests.support.filled_once import filled_once
from flood_assets_tests.support.lake_rows import HOUR, fetched, put_raw, snapshot
from flood_assets_tests.support.quick_dagster import copy_folder
from flood_assets_tests.support.seven_gauges import MEASURE_IDS, NOW
from flood_assets_tests.support.sharded import SHARDS, fill_both, shard_of
from flood_assets_tests.support.split_lake import split

WINDOW = window_of(NOW - 3 * HOUR)
QUESTIONS = ("readings", "changes", "completeness", "timeliness", "conditions", "stations", "measures", "station_areas")
OF_AREAS = ("warnings", "warning_areas")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return filled_once(tmp_path_factory, "one and shards", fill_both)


@pytest.fixture
def shards(both, tmp_path):
    """Shards that a test may change."""
    copy_folder(both / "shards", tmp_path / "shards")
    return tmp_path / "shards"


def asked(lake, name, **wanted):
    if name == "changes":
        wanted.setdefault("since", "2h")
    return getattr(query, name)(lake, NOW, **wanted)


GAUGES = {
    "station": st.sampled_from(["Kingston", "K1", "Rainfall station", "Teddington", "nowhere", ("G1", "R2")]),
    "river": st.sampled_from(["River Thames", "Thames", "river hull", "Nile"]),
    "parameter": st.sampled_from(["level", "rainfall", "flow", "Tidal Level", "wind", ("level", "flow")]),
    "measure": st.lists(st.sampled_from([*MEASURE_IDS, "no such measure"]), unique=True),
}
WANTED = {
    "readings": {"last": st.sampled_from(["1h", "90min", "7h"]), "joined": st.just(True), "flags": st.just(True)},
    "changes": {"joined": st.just(True), "since": st.sampled_from(["10min", "30h"])},
    "completeness": {"last": st.sampled_from(["2h", "30h"]), "joined": st.just(True)},
    "timeliness": {"joined": st.just(True)},
    "conditions": {"joined": st.just(True), "freshness": st.just("current"), "trend": st.just("falling")},
    "stations": {"columns": st.just(["label", "lat"])},
    "measures": {},
    "station_areas": {"area": st.just("Kingston")},
}


@st.composite
def questions(draw):
    name = draw(st.sampled_from(QUESTIONS))
    return name, draw(st.fixed_dictionaries({}, optional={**GAUGES, **WANTED[name]}))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(questions())
def test_shards_answer_as_one_lake_does(both, question):
    name, wanted = question
    one, several = (asked(both / place, name, **wanted) for place in ("one", "shards"))
    assert several.rows.equals(one.rows)
    assert [note.replace("/shards", "/one") for note in several.notes] == one.notes
    assert several.missing == ()


@pytest.mark.parametrize("wanted", [{}, {"near": "Kingston"}, {"county": "Surrey"}, {"area": "nothing"}])
@pytest.mark.parametrize("name", OF_AREAS)
def test_warnings_and_areas_are_those_of_the_shard_that_lists_them(both, name, wanted):
    one, several = (asked(both / place, name, **wanted) for place in ("one", "shards"))
    assert several.rows.equals(one.rows)
    assert [note.replace("/shards", "/one") for note in several.notes] == one.notes


def test_a_bucket_answers_as_a_folder_does(both):
    for name in (*QUESTIONS, *OF_AREAS):
        several = asked(bucketlike(both / "shards"), name)
        assert several.rows.equals(asked(both / "one", name).rows), name
        assert len(several.rows) > 0, name


@pytest.mark.parametrize("name", [*QUESTIONS, *OF_AREAS])
def test_a_bucket_without_shards_is_not_asked_for_any(both, name):
    lake = bucketlike(both / "one")
    asked(lake, name)
    assert lake.store.asked
    assert not [each for each in lake.store.asked if "_network.json" in each or "shard=" in each]


def test_a_bucket_is_asked_for_its_shards_again_only_if_something_was_not_there(both):
    lake = bucketlike(both / "shards")
    windows = [each.window for each in Lake.open(both / "shards" / "shard=level").windows(READINGS)]
    whole = [w for w in windows if all((both / f"shards/shard={s}" / key_of(READINGS, w)).exists() for s in SHARDS)]
    assert len(whole) > 5
    for _ in reading(lake).each(READINGS, whole, now=NOW, columns=["value"]):
        pass
    assert [each for each in lake.store.asked if "_network.json" in each] == ["get _network.json"]
    asked(lake, "conditions", joined=True, river="River Thames")
    assert len([each for each in lake.store.asked if "_network.json" in each]) <= 5


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_shard_that_is_away_is_the_first_note(both, name):
    lake = bucketlike(both / "shards")
    lake.store.away = ("shard=rainfall/",)
    found, whole = asked(lake, name), asked(both / "one", name)
    assert found.notes[0].startswith("the shard rainfall of the network england cannot be read: ")
    assert "access denied" in found.notes[0]
    assert [*found.missing] == found.notes[:1]
    column = "measure_id" if "measure_id" in whole.rows.column_names else "station_id"
    there = [each for each in whole.rows[column].to_pylist() if not each.startswith("R")]
    assert found.rows[column].to_pylist() == there
    assert len(there) < len(whole.rows) or name == "station_areas"


def test_a_folder_that_is_no_longer_one_is_away(shards):
    shutil.rmtree(shards / "shard=tide")
    (shards / "shard=tide").write_text("no folder")
    found = asked(shards, "readings")
    assert "the shard tide of the network england" in found.notes[0]
    assert "K2-tide" not in found.rows["measure_id"].to_pylist()


def test_all_shards_away_is_no_empty_answer_without_a_reason(both):
    lake = bucketlike(both / "shards")
    lake.store.away = ("shard=",)
    found = asked(lake, "readings")
    assert len(found.rows) == 0
    assert {note.split()[2] for note in found.missing} == {*SHARDS}


@pytest.mark.parametrize("name", ["readings", "stations", "measures", "conditions", "completeness"])
def test_a_shard_that_was_never_filled_is_told(shards, name):
    shutil.rmtree(shards / "shard=flow")
    found = asked(shards, name)
    assert found.notes[0].startswith("the shard flow of the network england holds no ")
    assert "flood-assets refresh" in found.notes[0]
    assert len(found.rows) > 0


def test_the_day_of_a_gauge_is_read_of_its_shard_only(both):
    for wanted in ({"measure": "K2-tide"}, {"station": "Kingston upon Hull"}):
        lake = bucketlike(both / "shards")
        found = asked(lake, "readings", **wanted)
        assert found.rows.equals(asked(both / "one", "readings", **wanted).rows)
        assert {each.split("/")[0] for each in lake.store.asked if "/readings/" in each} == {"get shard=tide"}
    lake = bucketlike(both / "shards")
    asked(lake, "readings", measure=["K2-tide", "listed nowhere"])
    assert len({each.split("/")[0] for each in lake.store.asked if "/readings/" in each}) == len(SHARDS)


def damage(shards, shard):
    put_raw(Lake.open(shards / f"shard={shard}"), key_of(READINGS, WINDOW), b"no Parquet")


@pytest.mark.parametrize("name", ["readings", "conditions", "changes"])
def test_a_damaged_window_takes_nothing_from_other_shards(shards, both, name):
    damage(shards, "level")
    found = asked(shards, name, **({"since": "30h"} if name == "changes" else {}))
    assert found.notes[0].startswith("the shard level of the network england lacks what is in a window: ")
    assert "no Parquet" not in found.notes[0]
    assert f"{WINDOW:date=%Y-%m-%d/hour=%H}" in found.notes[0]
    if name == "readings":
        whole = asked(both / "one", name).rows
        lost = [
            row for row in whole.to_pylist()
            if shard_of(row["measure_id"]) == "level" and window_of(row["date_time"]) == WINDOW
        ]  # fmt: skip
        assert len(lost) > 0
        assert found.rows.to_pylist() == [row for row in whole.to_pylist() if row not in lost]


def test_the_ledger_counts_a_damaged_window_in_its_shard_only(shards, both):
    damage(shards, "level")
    found = asked(shards, "completeness")
    assert any("1 damaged window" in note for note in found.notes)
    whole = asked(both / "one", "completeness").rows.to_pylist()
    for row, before in zip(found.rows.to_pylist(), whole, strict=True):
        hurt = shard_of(row["measure_id"]) == "level" and row["window_start"] == WINDOW
        assert (row["not_fetched"] > before["not_fetched"]) == (hurt and before["expected"] > 0), row


def test_a_station_in_two_shards_has_the_row_that_was_asked_for_last(shards):
    later = NOW + timedelta(minutes=1)
    renamed = snapshot(STATIONS, later, {"station_id": "K1", "label": "Kingston Bridge"})
    Lake.open(shards / "shard=flow").put_snapshots(STATIONS, [window_of(NOW)], renamed)
    found = asked(shards, "stations", station="K1")
    assert found.rows["label"].to_pylist() == ["Kingston Bridge"]
    assert asked(shards, "stations", columns=["label"], station="K1").rows["label"].to_pylist() == ["Kingston Bridge"]


@pytest.mark.parametrize("columns", [None, ["value"]])
def test_a_gauge_that_moved_to_another_shard_is_there_once(shards, both, columns):
    """Its old shard keeps what it had until that is a day old."""
    moved = asked(both / "one", "readings", measure="T-level").rows
    flow = Lake.open(shards / "shard=flow")
    flow.follow_readings(moved, NOW)
    listed = [asked(both / "one", "measures", measure=each).rows for each in ("K1-flow", "T-level")]
    flow.put_snapshots(MEASURES, [window_of(NOW)], pa.concat_tables(listed))
    later = NOW + timedelta(minutes=5)
    flow.upsert_readings(fetched(("T-level", moved["date_time"][-1].as_py(), 42.0)), later, later)
    found = query.readings(shards, later, measure="T-level", columns=columns).rows
    assert found["value"].to_pylist() == [*moved["value"].to_pylist()[:-1], 42.0]
    counted = query.completeness(shards, later, measure="T-level").rows
    assert len(counted) == len(query.completeness(both / "one", later, measure="T-level").rows)


def test_the_status_is_that_of_one_lake_with_a_status_for_each_shard(both):
    one, several = (look(reading(Lake.open(both / place)), NOW) for place in ("one", "shards"))
    assert [*several.shards] == [*SHARDS]
    same = ("now", "missing", "past", "as_of", "freshness", "completeness", "warnings", "api", "failure")
    assert {name: getattr(several, name) for name in same} == {name: getattr(one, name) for name in same}
    for name, table in one.tables.items():
        other = several.tables[name]
        assert (other.windows, other.oldest, other.newest) == (table.windows, table.oldest, table.newest), name
        assert other.rows == table.rows or (name == "stations" and other.rows > table.rows), name
    assert several.faults == one.faults == []
    assert {*content(several)["shards"]} == {*SHARDS}


def test_the_status_of_a_shard_that_is_away_or_damaged_is_a_fault(shards):
    damage(shards, "level")
    lake = bucketlike(shards)
    lake.store.away = ("shard=tide/",)
    found = look(reading(lake), NOW)
    assert any("the shard tide of the network england cannot be read" in fault for fault in found.faults)
    assert any(fault.startswith("shard level: 1 window cannot be read") for fault in found.faults)
    assert WINDOW in found.tables["readings"].damaged


def test_a_union_is_not_written_but_for_the_alerts_of_all(shards):
    lake = reading(Lake.open(shards))
    assert isinstance(lake, United)
    with pytest.raises(Exception, match="unites the shards level, flow, rainfall, tide of the network england"):
        lake.upsert_readings(fetched(("a", NOW)), NOW, NOW)
    with pytest.raises(Exception, match="write the lake of one of them"):
        lake.expire(NOW)
    update_alerts(lake, lambda _: (Alerts(judged_at=NOW, rules=("a rule",)), None))
    assert stored_alerts(reading(Lake.open(shards)), NOW).rules == ("a rule",)
    assert not (shards / "readings").exists()


def test_a_lake_that_gives_way_to_shards_is_read_from_these_as_soon_as_it_lacks_a_window(both, tmp_path):
    """A bucket: who reads it while the old lake is deleted finds all readings, of the old lake or of the shards."""
    copy_folder(both / "one", tmp_path / "lake")
    one = bucketlike(tmp_path / "lake")
    split(one, tmp_path / "lake", shard_of, SHARDS)
    whole = asked(both / "one", "readings").rows
    assert asked(one, "readings").rows.equals(whole)
    for stored in one.windows(READINGS)[4:12:4]:
        one.store.delete([stored.key])
        for wanted in ({}, {"last": "20h"}):
            found = asked(one, "readings", **wanted).rows
            assert found.equals(asked(both / "one", "readings", **wanted).rows)
    each = [
        (window, len(rows))
        for window, rows in reading(one).each(
            READINGS, [w.window for w in Lake.open(both / "one").windows(READINGS)], now=NOW
        )
    ]
    assert sum(rows for _, rows in each) == len(whole)
    assert len({window for window, _ in each}) == len(each)


def test_windows_and_footers_are_those_of_all_shards(both):
    one, several = Lake.open(both / "one"), reading(Lake.open(both / "shards"))
    for table in TABLES.values():
        windows = [each.window for each in one.windows(table)]
        assert [each.window for each in several.windows(table)] == windows
        if table is not STATIONS:
            rows = {window: each.rows for window, each in one.contents(table, windows).items()}
            assert {window: each.rows for window, each in several.contents(table, windows).items()} == rows
    marks = several.watermarks()
    assert marks == one.watermarks()


def test_the_e_tag_of_a_window_changes_with_each_shard(shards):
    def tag():
        return {each.window: each.e_tag for each in reading(Lake.open(shards)).windows(READINGS)}[WINDOW]

    seen = {tag()}
    for number, measure in enumerate(MEASURE_IDS):
        lake = Lake.open(shards / f"shard={shard_of(measure)}")
        lake.upsert_readings(fetched((measure, WINDOW, 100.0 + number)), NOW, NOW)
        seen.add(tag())
    assert len(seen) == 1 + len(MEASURE_IDS)


def test_rows_are_coded_alike(both):
    one, several = Lake.open(both / "one"), reading(Lake.open(both / "shards"))
    for columns in (None, ["value"], ["measure_id", "date_time"]):
        kwargs = {"now": NOW, "columns": columns, "coded": True}
        plain = [
            lake.read(READINGS, **kwargs).cast(lake.read(READINGS, now=NOW, columns=columns).schema)
            for lake in (one, several)
        ]
        assert plain[0].equals(plain[1])
    assert several.newest_snapshot(TIMELINESS, NOW).equals(one.newest_snapshot(TIMELINESS, NOW))
    assert several.newest_snapshot(MEASURES, NOW).equals(one.newest_snapshot(MEASURES, NOW))
