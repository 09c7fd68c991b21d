"""The snapshot follows the lake, and stays where the lake cannot be reached."""

from datetime import timedelta

import pyarrow as pa
import pytest

from flood_assets.errors import LakeError
from flood_assets.lake import watermarks
from flood_assets.lake.frozen import Frozen
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import WATERMARKS_KEY, key_of
from flood_assets.lake.objects import Blob
from flood_assets.lake.store import Store
from flood_assets.partitions import window_of
from flood_assets.schemas import READINGS, TIME, WATERMARKS
from flood_assets.serve.api import RESOURCES
from flood_assets_tests.support.lake_rows import QUARTER, fetched, put_raw
from flood_assets_tests.support.served import served
from flood_assets_tests.support.seven_gauges import NOW, fill


@pytest.fixture
def lake(tmp_path):
    found = Lake.open(tmp_path / "lake")
    fill(found)
    return found


def later(lake, minutes, *rows):
    now = NOW + timedelta(minutes=minutes)
    lake.upsert_readings(fetched(*rows), now, now)
    return now


def test_a_new_reading_is_served_after_the_next_look(lake):
    with served(lake, NOW) as api:
        before = api.rows("latest", measure_id="K1-level")
        api.now = later(lake, 10, ("K1-level", NOW.replace(minute=15, second=0), 7.5))
        assert api.rows("latest", measure_id="K1-level") == before
        api.watcher.look()
        (row,) = api.rows("latest", measure_id="K1-level")
        assert (row["value"], row["date_time"]) == (7.5, "2026-10-05T09:15:00Z")


def test_only_what_changed_is_read_again(lake, monkeypatch):
    with served(lake, NOW) as api:
        read = []
        original = type(lake.store).read
        monkeypatch.setattr(type(lake.store), "read", lambda self, key: read.append(key) or original(self, key))
        api.watcher.look()
        assert read == []
        first = api.watcher.snapshot
        api.now = later(lake, 10, ("K1-level", NOW.replace(minute=15, second=0), 7.5))
        read.clear()
        api.watcher.look()
        assert read == [key_of(READINGS, window_of(NOW))]
        assert api.watcher.snapshot is not first
        # Who holds the old one still has it whole.
        assert len(first.day.rows) == 7 * 96


def test_a_frozen_lake_stays_as_it_was(lake):
    frozen = Frozen.of(lake.store)
    rows = lake.read(READINGS, now=NOW)
    later(lake, 10, ("K1-level", NOW - QUARTER, 99.0))
    lake.store.delete([key_of(READINGS, window_of(NOW - timedelta(hours=3)))])
    assert Lake(frozen).read(READINGS, now=NOW).equals(rows)
    with pytest.raises(LakeError, match="could not be written: this is a copy in memory"):
        Lake(frozen).upsert_readings(fetched(("K1-level", NOW, 1.0)), NOW, NOW)


def test_watermarks_are_never_newer_than_the_windows(lake, monkeypatch):
    """A refresh commits between the listing and the reading; it replaces the watermarks last."""
    window = key_of(READINGS, window_of(NOW))

    def refresh(minutes: int, *, found: bool = True) -> None:
        now = NOW + timedelta(minutes=minutes)
        if found:
            later(lake, minutes, ("K1-level", NOW, float(minutes)))
        marks = pa.table([["K1-level"], pa.array([now], TIME), pa.array([900], pa.int32())], schema=WATERMARKS)
        watermarks.advance(lake.store, marks, now)

    refresh(1)
    frozen = Frozen.of(lake.store)
    # What is listed now is that the watermarks alone have changed.
    refresh(2, found=False)
    original, coming = type(lake.store).read, [3]

    def read(store: Store, key: str) -> Blob | None:
        if coming and key == WATERMARKS_KEY:
            monkeypatch.undo()
            refresh(coming.pop(0))
            monkeypatch.setattr(type(lake.store), "read", read)
        return original(store, key)

    monkeypatch.setattr(type(lake.store), "read", read)
    frozen = Frozen.of(lake.store, frozen)
    monkeypatch.undo()
    assert not coming
    assert {key: frozen.e_tag(key) for key in (window, WATERMARKS_KEY)} == {
        meta.key: meta.e_tag for meta in lake.store.list("") if meta.key in (window, WATERMARKS_KEY)
    }
    # Found in the first pass, if nobody commits meanwhile.
    assert Frozen.of(lake.store, frozen) is frozen


def test_no_message_says_where_the_lake_is(tmp_path, lake):
    put_raw(lake, key_of(READINGS, window_of(NOW)), b"damaged")
    lake.store.delete([meta.key for meta in lake.store.list("") if "stations" in meta.key])
    with served(lake, NOW) as api:
        for name in (*RESOURCES, "status"):
            query = "?since=1h" if name == "changes" else ""
            answer = api.client.get(f"/api/v1/{name}{query}")
            assert answer.status_code in (200, 503), answer.text
            assert tmp_path.name not in answer.text
            assert lake.url not in answer.text
            assert "FLOOD_LAKE_URL" not in answer.text
        assert "damaged" in api.get("status").text


def test_a_lake_that_cannot_be_reached_is_served_as_it_was_with_its_age(lake, monkeypatch, caplog):
    with served(lake, NOW) as api:
        rows = api.rows("latest")

        def unreachable(_self, _prefix):
            raise LakeError(f"{lake.url} does not answer: check the network")

        monkeypatch.setattr(type(lake.store), "list", unreachable)
        api.now = NOW + timedelta(minutes=2)
        api.watcher.look()
        response = api.get("latest")
        assert response.json()["latest"] == rows
        assert response.headers["age"] == "120"
        assert api.client.get("/readyz").status_code == 200
        api.now = NOW + timedelta(minutes=6)
        unready = api.client.get("/readyz")
        assert unready.status_code == 503
        assert "the server's log says why" in unready.json()["detail"]
        assert lake.url not in unready.text
        assert f"{lake.url} does not answer: check the network" in caplog.text
        assert api.client.get("/healthz").status_code == 200
        monkeypatch.undo()
        api.watcher.look()
        assert api.client.get("/readyz").status_code == 200
        assert "age" not in api.get("latest").headers


def test_without_a_lake_the_answer_says_what_to_do(tmp_path):
    with served(Lake.open(tmp_path / "lake"), NOW) as api:
        assert api.get("stations").json()["notes"] == [
            "the lake has no stations of the last 24 hours: run `flood-assets refresh`"
        ]


def test_a_damaged_window_is_left_out_and_the_rest_is_served(lake):
    put_raw(lake, key_of(READINGS, window_of(NOW - timedelta(hours=2))), b"PAR1 no more")
    with served(lake, NOW) as api:
        rows = api.rows("readings", measure_id="K1-level")
        assert len(rows) == 96 - 4
        assert api.get("status").json()["tables"]["readings"]["damaged"]


def test_a_measure_that_no_list_has_is_served(lake):
    now = later(lake, 1, ("-odd-measure", NOW - QUARTER, 1.0))
    with served(lake, now) as api:
        (row,) = api.rows("latest", measure_id="-odd-measure", joined=True)
        assert (row["value"], row["station_id"], row["label"]) == (1.0, None, None)


def test_several_values_are_null_with_their_text(lake):
    rows = pa.table(fetched(("K1-level", NOW - QUARTER, None, "2.796|2.922")))
    lake.upsert_readings(rows, NOW, NOW)
    with served(lake, NOW) as api:
        found = [row for row in api.rows("readings", measure_id="K1-level") if row["raw_value"]]
        assert [(row["value"], row["raw_value"]) for row in found] == [(None, "2.796|2.922")]
