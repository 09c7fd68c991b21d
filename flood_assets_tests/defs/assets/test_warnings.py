"""Warnings and flood areas as the real jobs list, follow and store them."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flood_assets import query
from flood_assets.lake.layout import QUARANTINE, current_key, key_of
from flood_assets.partitions import window_of
from flood_assets.query.status import look
from flood_assets.schemas import READINGS, REJECTS, WARNING_AREAS, WARNINGS
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place, failure_of
from flood_assets_tests.ea.test_warnings import ROOT, body, warning
from flood_assets_tests.support import api_server
from flood_assets_tests.support.lake_rows import put_raw
from flood_assets_tests.support.recordings import recorded

# A wet week of the simulated country.
WET = datetime(2026, 10, 29, 9, 7, tzinfo=UTC)


def listed(place: Place, asset: str = "warnings") -> dg.ExecuteInProcessResult:
    return place.run("refresh_job", asset_selection=[dg.AssetKey(asset)])


def present(place: Place, table=WARNINGS) -> pa.Table:
    """The present as a stranger reads it."""
    return pq.read_table(pa.BufferReader(place.lake.store.read(current_key(table)).data))


def known(place: Place) -> dict[str, dict]:
    return {row["flood_area_id"]: row for row in place.lake.newest_snapshot(WARNINGS, place.now).to_pylist()}


def truth(place: Place) -> dict[str, dict]:
    now = int(place.now.timestamp())
    return {each["floodAreaID"]: each for each in place.server.simulator.floods.warnings(now)}


def told(place: Place, asset: str = "warnings") -> dict:
    (record,) = place.instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
    return {name: entry.value for name, entry in record.asset_materialization.metadata.items()}


def check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = result.get_asset_check_evaluations()
    assert (found.check_name, found.severity) == ("warnings_listed", dg.AssetCheckSeverity.WARN)
    return found


@pytest.fixture
def api(place: Place) -> Iterator[api_server.Server]:
    """An API that says what the test wants."""
    with api_server.Server() as server:
        place.api_url = server.url
        yield server


def says(api: api_server.Server, content: bytes, **more) -> None:
    api.answer(api_server.whole(content, kind="application/json", **more))


# -- ticks


def test_the_first_tick_lists_areas_and_then_the_warnings_last_of_all_with_one_request(ticked):
    asked = {name: count["requests"] for name, count in ticked.server.stats().items()}
    assert (asked["/id/floods"], asked["/id/floodAreas"]) == (1, 1)
    areas = {row["flood_area_id"]: row for row in present(ticked, WARNING_AREAS).to_pylist()}
    assert len(areas) == told(ticked, "warning_areas")["dagster/row_count"] == 1200
    rows, real = known(ticked), truth(ticked)
    assert {area: row["severity_level"] for area, row in rows.items()} == {
        area: each["severityLevel"] for area, each in real.items()
    }
    assert all(row["label"] == areas[area]["label"] for area, row in rows.items())
    in_force = {area for area, each in real.items() if each["severityLevel"] < 4}
    assert 0 < len(in_force) < len(real)
    assert set(present(ticked)["flood_area_id"].to_pylist()) == in_force


def test_metadata_counts_severities_and_changes(filled):
    levels = Counter(each["severityLevel"] for each in truth(filled).values())
    metadata = told(filled)
    counts = [metadata[name] for name in ("severe_flood_warnings", "flood_warnings", "flood_alerts")]
    assert counts == [levels[1], levels[2], levels[3]]
    assert metadata["in_force"] == sum(counts)
    assert metadata["listed_as_ended"] == levels[4]
    assert (metadata["new"], metadata["changed"], metadata["left"]) == (len(truth(filled)), 0, 0)
    without = sum("riverOrSea" not in each["floodArea"] for each in truth(filled).values())
    assert (metadata["incomplete"], metadata["rejected"]) == (without, 0)
    assert metadata["preview"].count("| Flood alert |") == min(levels[3], 10)


def test_changes_of_severity_re_issues_and_ends_are_followed_over_ticks(place):
    place.at(WET)
    assert place.tick(snapshot=True).success
    before, rows = truth(place), known(place)
    assert {row["revision"] for row in rows.values()} == {0}
    seen = Counter()
    for hours in (1, 2, 8):
        place.at(WET + hours * HOUR)
        assert place.tick().success
        now, after, first = truth(place), known(place), Counter()
        for area, row in after.items():
            old, new, was = rows.get(area), now.get(area), before.get(area)
            if new is None and was is not None:
                assert (row["left_at"], row["severity_level"], row["changed_at"]) == (place.now, 4, place.now)
                first["left"] += 1
            elif new is None:
                assert (row["left_at"], row["revision"]) == (old["left_at"], old["revision"])
            elif old is None:
                assert (row["first_seen_at"], row["revision"]) == (place.now, 0)
                first["new"] += 1
            elif new == was:
                assert row["changed_at"] == old["changed_at"]
            else:
                assert (row["changed_at"], row["revision"]) == (place.now, old["revision"] + 1)
                first["changed"] += 1
                if new["severityLevel"] != was["severityLevel"]:
                    assert row["previous_severity_level"] == was["severityLevel"]
                    seen["ended" if new["severityLevel"] == 4 else "another severity"] += 1
                else:
                    assert row["message"] == new["message"]
                    seen["re-issued"] += 1
        metadata = told(place)
        assert {name: metadata[name] for name in ("new", "changed", "left")} == {
            name: first[name] for name in ("new", "changed", "left")
        }
        in_force = {area for area, each in now.items() if each["severityLevel"] < 4}
        assert set(present(place)["flood_area_id"].to_pylist()) == in_force
        seen, before, rows = seen + first, now, after
    assert all(seen[what] > 5 for what in ("another severity", "ended", "left", "re-issued"))
    assert [stored.window for stored in place.lake.windows(WARNINGS)] == [
        window_of(WET) + hours * HOUR for hours in (0, 1, 2, 8)
    ]


def test_a_list_that_cannot_be_had_fails_no_readings_and_is_seen_in_the_check_and_in_status(filled):
    before = known(filled), filled.lake.store.head(current_key(WARNINGS)).e_tag
    filled.at(NOW + 2 * HOUR).server.set_faults([{"kind": "status", "status": 503, "match": "/id/floods", "times": 0}])
    result = filled.tick()
    assert result.success
    assert filled.lake.contents(READINGS, [window_of(filled.now)])[window_of(filled.now)].rows > 0
    (failed,) = [found for found in result.get_asset_check_evaluations() if found.check_name == "warnings_listed"]
    assert not failed.passed
    assert failed.severity == dg.AssetCheckSeverity.WARN
    assert "503" in failed.metadata["reason"].value
    assert (known(filled), filled.lake.store.head(current_key(WARNINGS)).e_tag) == before
    filled.lake.expire(filled.now)
    (fault,) = look(filled.lake, filled.now).faults
    assert fault.startswith("the last list of flood warnings is of 2026-10-15 09:07Z, over an hour ago: `flood-assets")


# -- answers


def test_metadata_counts_times_that_a_wrong_zone_would_put_ahead(place, api):
    place.now = datetime(2026, 7, 2, 9, 30, tzinfo=UTC)
    ten = "2026-07-02T10:17:00"
    says(api, body(warning(timeRaised=ten, timeMessageChanged=ten)))
    assert check(listed(place)).passed
    # In summer a message of the last hour would be of the next one, if its time were in UTC.
    assert (told(place)["times_ahead_if_london"], told(place)["times_ahead_if_utc"]) == (0, 2)


def test_all_recorded_warnings_are_stored(place, api):
    says(api, recorded("national/floods_2024-03-02.json"))
    place.now = datetime(2024, 3, 2, 12, 5, tzinfo=UTC)
    result = listed(place)
    assert check(result).passed
    assert len(known(place)) == 202
    assert len(present(place)) == 194
    shown = [query.warnings(place.lake, place.now, in_force=only).rows for only in (True, False)]
    assert [len(rows) for rows in shown] == [194, 202]
    metadata = told(place)
    assert [metadata[name] for name in ("severe_flood_warnings", "flood_warnings", "flood_alerts")] == [0, 36, 158]
    # In winter both readings of the zone agree.
    assert (metadata["times_ahead_if_london"], metadata["times_ahead_if_utc"]) == (0, 0)
    assert (metadata["listed_as_ended"], metadata["incomplete"]) == (8, 1)


def test_an_empty_list_is_a_calm_day_that_replaces_what_was_in_force(place, api):
    says(api, body(warning()))
    assert listed(place).success
    place.now += QUARTER
    says(api, body())
    assert check(listed(place)).passed
    (row,) = known(place).values()
    assert (row["left_at"], row["severity_level"], row["previous_severity_level"]) == (place.now, 4, 3)
    assert len(present(place)) == 0
    # A day later nothing is known of it, and each hour has its calm list.
    for _ in range(2):
        place.now += timedelta(hours=13)
        assert check(listed(place)).passed
    assert [len(place.lake.read(WARNINGS, w, w + HOUR, now=place.now)) for w in [window_of(place.now)]] == [0]
    assert told(place)["in_force"] == 0
    place.lake.expire(place.now)
    assert current_key(WARNINGS) in [meta.key for meta in place.lake.store.list("current")]


def test_a_calm_first_day_is_stored_too(place, api):
    says(api, body())
    assert check(listed(place)).passed
    assert [stored.window for stored in place.lake.windows(WARNINGS)] == [window_of(NOW)]
    assert present(place).num_rows == 0
    assert look(place.lake, NOW).warnings.in_force == 0


@pytest.mark.parametrize(
    "broken",
    [
        {"content": body(warning())[:-200]},
        {"content": b'{"items": {}}'},
        {"content": b"<html>Bad gateway</html>"},
        {"content": body(warning(), warning(floodAreaID="2")), "cut": 150},
    ],
    ids=["cut JSON", "no list", "a page", "a cut connection"],
)
def test_a_cut_or_garbled_answer_ends_no_warning(place, api, broken):
    says(api, body(warning()))
    assert listed(place).success
    before = known(place), place.lake.store.head(current_key(WARNINGS)).e_tag
    place.now += QUARTER
    says(api, **broken)
    result = listed(place)
    assert result.success
    assert not check(result).passed
    assert (known(place), place.lake.store.head(current_key(WARNINGS)).e_tag) == before


def test_an_item_that_names_no_area_ends_no_warning_and_is_kept(place, api):
    says(api, body(warning(), warning(**{"@id": f"{ROOT}/floods/2"})))
    assert listed(place).success
    place.now += QUARTER
    nameless = {name: value for name, value in warning().items() if name not in {"@id", "floodAreaID"}}
    says(api, body(warning(severityLevel=2), nameless))
    result = listed(place)
    assert not check(result).passed
    assert "name no area" in check(result).metadata["reason"].value
    assert {area: (row["severity_level"], row["left_at"]) for area, row in known(place).items()} == {
        "112WAF": (2, None),
        "2": (3, None),
    }
    (reject,) = place.lake.read(REJECTS, now=place.now).to_pylist()
    assert json.loads(reject["line"]) == nameless
    assert told(place)["rejected"] == 1


def test_an_item_without_its_uri_is_known_by_its_area(place, api):
    says(api, body({name: value for name, value in warning().items() if name != "@id"}))
    assert check(listed(place)).passed
    assert [*known(place)] == ["112WAF"]


def test_missing_fields_are_kept_as_nulls_and_counted(place, api):
    bare = {"@id": f"{ROOT}/floods/1"}
    says(api, body(bare, warning()))
    assert check(listed(place)).passed
    metadata = told(place)
    assert (metadata["incomplete"], metadata["severity_unknown"], metadata["in_force"]) == (1, 1, 2)
    assert set(present(place)["flood_area_id"].to_pylist()) == {"1", "112WAF"}


# -- the lake


def test_a_damaged_hour_is_replaced_with_the_next_hours_list(place, api):
    says(api, body(warning()))
    assert listed(place).success
    put_raw(place.lake, key_of(WARNINGS, window_of(NOW)), b"not parquet")
    place.now = NOW + HOUR
    assert listed(place).success
    assert place.lake.damaged(WARNINGS) == []
    assert len(place.lake.store.list(QUARANTINE)) == 1
    assert len(place.lake.windows(WARNINGS)) == 2


def test_warnings_leave_after_a_day_with_their_present(place, api):
    says(api, body(warning()))
    assert listed(place).success
    assert place.lake.expire(NOW + 24 * HOUR) == []
    gone = place.lake.expire(NOW + 25 * HOUR)
    assert Counter(each.table for each in gone) == {"warnings": 2}
    assert place.lake.windows(WARNINGS) == place.lake.store.list("current") == []


# -- areas


def test_a_much_shorter_list_of_areas_is_refused_and_the_old_one_stays(place, api):
    def area(number: int) -> dict:
        return {"@id": f"{ROOT}/floodAreas/{number}", "label": f"Area {number}", "lat": 51.0, "long": -1.0}

    says(api, body(*map(area, range(20))))
    assert listed(place, "warning_areas").success
    place.now += QUARTER
    says(api, body(*map(area, range(10))))
    told_by_failure = failure_of(listed(place, "warning_areas"))
    assert "the API lists 10 warning_areas, the previous snapshot has 20: the list was cut short" in told_by_failure
    assert len(present(place, WARNING_AREAS)) == 20
    says(api, body())
    assert "the list of flood areas is empty" in failure_of(listed(place, "warning_areas"))


def test_the_name_of_an_area_stays_while_the_list_of_areas_cannot_be_had(filled):
    before = {area: row["label"] for area, row in known(filled).items()}
    filled.lake.store.delete([stored.key for stored in filled.lake.windows(WARNING_AREAS)])
    filled.at(NOW + QUARTER)
    assert listed(filled).success
    assert {area: row["label"] for area, row in known(filled).items() if area in before} == before
