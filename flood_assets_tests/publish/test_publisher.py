"""What is published, and what is read for it."""

import json
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from flood_assets.lake import cursor
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import cursor_key, key_of
from flood_assets.lake.read import windows
from flood_assets.partitions import window_of
from flood_assets.publish.events import Events
from flood_assets.publish.publisher import publish
from flood_assets.schemas import READINGS
from flood_assets.sinks.base import Sent, Sink, SinkError
from flood_assets_tests.support.lake_rows import HOUR, NOW, QUARTER, a_day, at, fetched, put_raw
from flood_assets_tests.support.receiving import newest

MINUTE = timedelta(minutes=1)


class Kept(Sink):
    """Keeps what it is sent; `fails` decides what it does not take."""

    def __init__(self, name="kept"):
        super().__init__(f"kinesis://{name}")
        self.events, self.batches, self.fails = [], 0, None

    def send(self, events: Events) -> Sent:
        self.batches += 1
        taken = np.ones(len(events), np.bool_)
        if self.fails:
            taken = self.fails(events)
        documents = events.documents()
        self.events += [json.loads(d) for d, t in zip(documents, taken, strict=True) if t]
        return Sent(taken, "" if taken.all() else "some failed")


@pytest.fixture
def lake(tmp_path):
    return Lake.open(tmp_path)


@pytest.fixture
def sink():
    return Kept()


def put(lake, *rows, seen=NOW):
    lake.upsert_readings(fetched(*rows), seen, max(seen, NOW))


def sent(sink):
    found = [(e["data"]["measure_id"], e["data"]["value"]) for e in sink.events]
    sink.events = []
    return sorted(found)


@contextmanager
def counting(lake, monkeypatch):
    """Count what is asked of the store."""
    counts = Counter()
    with monkeypatch.context() as patch:

        def counted(name, asked):
            def ask(*args, **more):
                counts[name] += 1
                return asked(*args, **more)

            return ask

        for name in ("list", "get", "put", "head", "get_range"):
            patch.setattr(lake.store, name, counted(name, getattr(lake.store, name)))
        yield counts


def test_a_new_sink_gets_the_day_and_then_only_what_changed(lake, sink):
    put(lake, ("a", at(8), 1.0), ("b", at(7), 2.0))
    first = publish(lake, sink, NOW)
    assert (first.events, first.waiting, first.lag_s(NOW)) == (2, 0, 0.0)
    assert sent(sink) == [("a", 1.0), ("b", 2.0)]
    assert publish(lake, sink, NOW).events == 0
    put(lake, ("a", at(8), 1.0), ("b", at(7), 3.0), ("c", at(7), 4.0), seen=NOW + QUARTER)
    assert publish(lake, sink, NOW + QUARTER).events == 2
    assert sent(sink) == [("b", 3.0), ("c", 4.0)]


def test_an_event_says_what_the_row_says(lake, sink):
    lake.claim("https://user:secret@example.org/api")
    put(lake, ("a", at(8), 1.0))
    put(lake, ("a", at(8), None, "1.5|1.6"), seen=NOW + MINUTE)
    publish(lake, sink, NOW + MINUTE)
    (event,) = sink.events
    event_id = event.pop("id")
    assert event_id.startswith("a@2026-11-21T08:00:00Z#1-")
    assert event == {
        "specversion": "1.0",
        "source": "https://example.org/api",
        "type": "flood_assets.reading.revised",
        "subject": "a",
        "time": "2026-11-21T09:08:30Z",
        "datacontenttype": "application/json",
        "data": {
            "measure_id": "a",
            "date_time": "2026-11-21T08:00:00Z",
            "station_id": None,
            "value": None,
            "raw_value": "1.5|1.6",
            "first_seen_at": "2026-11-21T09:07:30Z",
            "changed_at": "2026-11-21T09:08:30Z",
            "previous_value": 1.0,
            "revision": 1,
        },
    }


def test_what_a_slower_writer_stores_later_with_an_earlier_time_is_published(lake, sink):
    put(lake, ("a", at(8), 1.0))
    publish(lake, sink, NOW)
    put(lake, ("slow", at(8), 2.0), seen=NOW - 3 * HOUR)
    assert publish(lake, sink, NOW).events == 1
    assert sent(sink)[-1] == ("slow", 2.0)


def test_two_writers_of_the_same_millisecond_are_told_apart(lake, sink):
    put(lake, ("a", at(8), 1.0))
    publish(lake, sink, NOW)
    put(lake, ("b", at(8), 2.0))
    put(lake, ("a", at(8), 3.0))
    assert publish(lake, sink, NOW).events == 2
    assert sent(sink) == [("a", 1.0), ("a", 3.0), ("b", 2.0)]


def test_a_correction_that_is_withdrawn_is_published_though_its_revision_begins_again(lake, sink):
    put(lake, ("a", at(8), 1.0))
    publish(lake, sink, NOW)
    put(lake, ("a", at(8), 2.0), seen=NOW + MINUTE)
    publish(lake, sink, NOW + MINUTE)
    put_raw(lake, key_of(READINGS, at(8)), b"no window")
    found = publish(lake, sink, NOW + MINUTE)
    assert (found.events, found.damaged) == (0, 1)
    lake.quarantine(READINGS, at(8))
    put(lake, ("a", at(8), 1.0), seen=NOW + 2 * MINUTE)
    assert publish(lake, sink, NOW + 2 * MINUTE).events == 1
    assert len({event["id"] for event in sink.events}) == 3
    assert newest(sink.events) == {("a", "2026-11-21T08:00:00Z"): 1.0}


def test_what_is_older_than_a_day_is_not_published(lake, sink):
    put(lake, ("a", NOW - 23 * HOUR - 50 * MINUTE, 1.0), ("b", at(8), 2.0))
    publish(lake, sink, NOW + QUARTER)
    assert sent(sink) == [("b", 2.0)]


def test_a_reading_that_is_only_given_its_station_is_no_event(lake, sink):
    put(lake, ("a", at(8), 1.0))
    publish(lake, sink, NOW)
    stations = pa.table({"measure_id": ["a"], "station_id": ["s"]})
    lake.upsert_readings(fetched(("a", at(8), 1.0)), NOW + MINUTE, NOW + MINUTE, stations=stations)
    assert publish(lake, sink, NOW + MINUTE).events == 0
    assert lake.read(READINGS, now=NOW)["station_id"].to_pylist() == ["s"]


def test_a_tick_without_changes_costs_one_listing_and_a_look_at_the_cursor(lake, sink, monkeypatch):
    put(lake, *zip(*a_day(["a", "b"]).to_pydict().values(), strict=True))
    publish(lake, sink, NOW)
    batches = sink.batches
    with counting(lake, monkeypatch) as counts:
        publish(lake, sink, NOW + QUARTER)
    assert counts == {"list": 1, "get": 1}
    assert sink.batches == batches


def test_only_windows_that_changed_are_read(lake, sink, monkeypatch):
    put(lake, *zip(*a_day(["a", "b"]).to_pydict().values(), strict=True))
    publish(lake, sink, NOW)
    put(lake, ("c", at(5), 1.0), seen=NOW + MINUTE)
    with counting(lake, monkeypatch) as counts:
        assert publish(lake, sink, NOW + MINUTE).events == 1
    # The cursor when it is looked at and when it moves, the one window, and which API the lake is of.
    assert counts == {"list": 1, "get": 4, "put": 1}


def test_nothing_that_failed_counts_as_published(lake, sink):
    put(lake, ("a", at(8), 1.0), ("b", at(8), 2.0), ("c", at(7), 3.0))
    sink.fails = lambda events: np.array([measure != "b" for measure in events.keys])
    found = publish(lake, sink, NOW)
    assert (found.events, found.waiting, found.oldest, found.trouble) == (2, 1, NOW, "some failed")
    assert found.lag_s(NOW + HOUR) == 3600
    sink.fails = None
    later = NOW + 3 * HOUR
    put(lake, ("d", at(8), 4.0), seen=later)
    assert publish(lake, sink, later).events == 2
    assert sent(sink) == [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)]


def test_a_sink_that_was_away_for_hours_catches_up(lake, sink):
    def away(_events):
        raise SinkError("away")

    put(lake, ("a", at(8), 1.0))
    publish(lake, sink, NOW)
    sink.fails = away
    for quarter in range(1, 20):
        now = NOW + quarter * QUARTER
        put(lake, ("a", now, float(quarter)), seen=now)
        found = publish(lake, sink, now)
        assert (found.waiting, found.oldest, found.trouble) == (quarter, NOW + QUARTER, "away")
    sink.fails = None
    assert publish(lake, sink, now).events == 19
    assert sorted(value for _, value in sent(sink)) == [1.0, *map(float, range(1, 20))]


def test_a_batch_ends_when_it_is_large_and_each_is_saved(lake, sink, monkeypatch):
    monkeypatch.setattr("flood_assets.publish.publisher.BATCH", 10)
    put(lake, *zip(*a_day(["a", "b"]).to_pydict().values(), strict=True))
    taken = 0

    def three_batches(events):
        nonlocal taken
        taken += 1
        return np.full(len(events), taken <= 3)

    sink.fails = three_batches
    found = publish(lake, sink, NOW)
    stored = len(lake.read(READINGS, now=NOW))
    # Eight readings an hour, so each batch is two windows.
    assert (found.events, found.waiting, sink.batches) == (3 * 16, stored - 3 * 16, 4)
    sink.fails = None
    assert publish(lake, sink, NOW).events == stored - 3 * 16
    assert len(sink.events) == stored


def test_a_publication_ends_when_its_time_is_over_and_says_so(lake, sink):
    put(lake, ("a", at(8), 1.0))
    found = publish(lake, sink, NOW, budget_s=-1)
    assert (found.events, found.waiting) == (0, 1)
    assert found.trouble == "stopped after -1 s: the next tick goes on"
    assert publish(lake, sink, NOW).events == 1


def test_since_sends_again_what_is_known_and_what_is_missing_too(lake, sink):
    put(lake, ("old", at(8), 1.0), seen=NOW - HOUR)
    publish(lake, sink, NOW)
    put(lake, ("new", at(8), 2.0), seen=NOW)
    put(lake, ("late", at(8), 3.0), seen=NOW - HOUR)
    publish(lake, sink, NOW)
    sink.events = []
    put(lake, ("later", at(8), 4.0), seen=NOW - 2 * HOUR)
    assert publish(lake, sink, NOW, since=NOW - MINUTE).events == 2
    assert sent(sink) == [("later", 4.0), ("new", 2.0)]
    assert publish(lake, sink, NOW).events == 0


def test_a_new_sink_that_is_told_since_gets_nothing_older_later_either(lake, sink):
    put(lake, ("old", at(8), 1.0), seen=NOW - HOUR)
    put(lake, ("new", at(8), 2.0))
    assert publish(lake, sink, NOW, since=NOW - MINUTE).events == 1
    put(lake, ("newer", at(8), 3.0), seen=NOW + MINUTE)
    assert publish(lake, sink, NOW + MINUTE).events == 1
    assert sent(sink) == [("new", 2.0), ("newer", 3.0)]


def test_each_sink_has_a_cursor_of_its_own(lake):
    put(lake, ("a", at(8), 1.0))
    one, two = Kept("one"), Kept("two")
    assert [publish(lake, each, NOW).events for each in (one, two, one)] == [1, 1, 0]


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no parquet at all"])
def test_a_damaged_cursor_publishes_the_day_again(lake, sink, damage, caplog):
    put(lake, ("a", at(8), 1.0))
    publish(lake, sink, NOW)
    put_raw(lake, cursor_key(sink.name), damage)
    assert publish(lake, sink, NOW).events == 1
    assert "all of the last 24 hours is published again" in caplog.text
    assert publish(lake, sink, NOW).events == 0


def test_a_cursor_holds_the_ids_of_half_an_hour_and_no_expired_window(lake, sink):
    for hour in range(30):
        now = NOW + hour * HOUR
        put(lake, *[("m", now - i * QUARTER, float(hour)) for i in range(4)], seen=now)
        publish(lake, sink, now)
        lake.expire(now)
    found = cursor.load(lake.store, sink.name)
    kept = {w.window for w in windows(lake.store, READINGS)}
    assert set(found.windows) <= kept | {window_of(now - 25 * HOUR)}
    assert sum(len(part.ids) for part in found.windows.values()) <= 4
    assert lake.store.head(cursor_key(sink.name)).size < 20_000
