"""A lake follows a stream: claims, checkpoints, several consumers, losses, errors, the end."""

import threading
from contextlib import closing
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flood_assets.consume import checkpoint, consumer
from flood_assets.consume.consumer import Consumer
from flood_assets.consume.stream import Position
from flood_assets.errors import LakeError, RefusedError, WrongLakeError
from flood_assets.lake import watermarks
from flood_assets.lake.archive import Archive
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import consumed_key, key_of
from flood_assets.query.status import look
from flood_assets.schemas import READINGS
from flood_assets.sinks.base import SinkError, name_of
from flood_assets_tests.support.following import rows_of
from flood_assets_tests.support.lake_rows import HOUR, NOW, keys, put_raw
from flood_assets_tests.support.memory_stream import URL, Shards
from flood_assets_tests.support.publishing import Trouble

NAME = name_of(URL)


class Calm(Trouble):
    """Late writers and corrections, and no damage: what a damaged lake lost, the one that follows it keeps."""

    def _damage(self) -> None:
        """Leave it."""


@pytest.fixture
def source(tmp_path):
    return Calm(Lake.open(tmp_path / "a"), seed=1)


@pytest.fixture
def lake(tmp_path):
    return Lake.open(tmp_path / "b")


@pytest.fixture
def shards():
    return Shards()


def ticks(source, shards, many=6):
    for _ in range(many):
        source.step()
        shards.publish(source.lake, source.now)


def drained(lake, shards, now, **more):
    with closing(shards.open(**more)) as stream:
        return Consumer(lake, stream, lambda: now).run(once=True), stream


def test_it_goes_on_where_it_was(source, shards, lake):
    for _ in range(5):
        ticks(source, shards, 2)
        before = sum(map(len, shards.shards))
        found, stream = drained(lake, shards, source.now)
        assert rows_of(lake, source.now) == rows_of(source.lake, source.now)
        assert found.records <= before
        assert drained(lake, shards, source.now)[0].records == 0
    (positions,) = stream.sought
    assert positions.keys() <= {"0", "1", "2"}
    assert checkpoint.begin(lake.store, NAME, checkpoint.Checkpoint("memory 1", ""))[0].places.keys() == {"0", "1", "2"}


def test_the_lake_belongs_to_the_stream(lake, shards, source, tmp_path):
    drained(lake, shards, NOW)
    assert lake.source() == URL
    with pytest.raises(WrongLakeError) as error:
        lake.claim("https://example.org/api")
    for part in (URL, "https://example.org/api", f"flood-assets consume {URL}", "FLOOD_LAKE_URL"):
        assert part in str(error.value)
    with pytest.raises(WrongLakeError, match="follows the stream kinesis://memory and is not filled from the API"):
        lake.require_api()
    of_api = Lake.open(tmp_path / "c")
    of_api.claim("https://example.org/api")
    of_api.require_api()
    with pytest.raises(WrongLakeError, match=r"holds readings of https://example.org/api and not of kinesis://memory"):
        drained(of_api, shards, NOW)
    assert [key for key in keys(of_api) if key != "_lake.json"] == []
    Lake.open(tmp_path / "d").require_api()


def test_a_checkpoint_moves_forward_only_and_for_its_own_stream(lake):
    store, fresh = lake.store, checkpoint.Checkpoint("one", "")
    begun, void = checkpoint.begin(store, NAME, fresh)
    assert (begun, void) == (fresh, None)
    assert checkpoint.advance(store, NAME, begun, {"a": Position("10"), "b": Position("9" * 56)})
    assert checkpoint.advance(store, NAME, begun, {"a": Position("9"), "b": Position("1" + "0" * 56)})
    places = checkpoint.begin(store, NAME, fresh)[0].places
    assert (places["a"].after, places["b"].after) == ("10", "1" + "0" * 56)
    assert checkpoint.advance(store, NAME, begun, {"a": Position("10", None, True)})
    assert checkpoint.advance(store, NAME, begun, {"a": Position("11")})
    assert checkpoint.begin(store, NAME, fresh)[0].places["a"].ended
    other, void = checkpoint.begin(store, NAME, checkpoint.Checkpoint("two", ""))
    assert (other.places, void.stream) == ({}, "one")
    assert not checkpoint.advance(store, NAME, begun, {"a": Position("12")})
    assert checkpoint.begin(store, NAME, other)[0].places == {}


def test_a_damaged_checkpoint_says_what_to_do(lake, shards):
    drained(lake, shards, NOW)
    put_raw(lake, consumed_key(NAME), b"{")
    with pytest.raises(LakeError, match=r"_consumed/kinesis-memory-\w+.json is damaged .*: delete it"):
        drained(lake, shards, NOW)


@pytest.mark.parametrize("seed", range(2))
def test_two_consumers_at_once_give_the_same_lake(source, shards, lake, seed):
    """While the one reads, the other consumes everything, and both save their positions over the other's."""
    source._random.seed(seed)
    other = Lake.open(lake.url)
    for _ in range(4):
        ticks(source, shards, 2)
        with closing(shards.open(page=3)) as stream:
            stream.before_read = lambda: drained(other, shards, source.now, page=5)
            Consumer(lake, stream, lambda: source.now).run(once=True)
        assert rows_of(lake, source.now) == rows_of(source.lake, source.now)


def test_consumers_in_threads_give_the_same_lake(source, shards, lake):
    ticks(source, shards, 6)
    faults = []

    def run():
        try:
            drained(Lake.open(lake.url), shards, source.now, page=2)
        except Exception as error:  # noqa: BLE001 - told below
            faults.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert rows_of(lake, source.now) == rows_of(source.lake, source.now)


def test_a_damaged_window_has_the_stream_read_again(source, shards, lake):
    ticks(source, shards)
    drained(lake, shards, source.now)
    window = lake.windows(READINGS)[-1].window
    put_raw(lake, key_of(READINGS, window), b"damaged")
    found, stream = drained(lake, shards, source.now)
    assert stream.sought[-1] == {}
    assert found.lost == ()
    assert rows_of(lake, source.now) == rows_of(source.lake, source.now)
    # The story begins in the middle of a day.
    assert [fault for fault in look(lake, source.now).faults if "missing window" not in fault] == []
    assert drained(lake, shards, source.now)[0].records == 0


def test_a_window_that_is_damaged_meanwhile_has_the_stream_read_again(source, shards, lake):
    ticks(source, shards)
    drained(lake, shards, source.now)
    ticks(source, shards, 1)
    before = lake.windows(READINGS)

    def damage():
        stream.before_read = lambda: None
        for stored in before:
            put_raw(lake, stored.key, b"damaged")

    with closing(shards.open()) as stream:
        stream.before_read = damage
        Consumer(lake, stream, lambda: source.now).run(once=True)
    # Some are found by whoever writes them, the others when the next one begins.
    drained(lake, shards, source.now)
    assert rows_of(lake, source.now) == rows_of(source.lake, source.now)


def test_what_a_queue_cannot_give_again_is_told(source, shards, lake):
    ticks(source, shards)
    drained(lake, shards, source.now, rereads=False)
    put_raw(lake, lake.windows(READINGS)[-1].key, b"damaged")
    found, _ = drained(lake, shards, source.now, rereads=False)
    (told,) = found.lost
    assert "a queue cannot be read again" in told
    assert "flood-assets publish --to URL --from 24h" in told


def test_a_stream_that_was_made_anew_is_read_from_its_beginning(source, shards, lake):
    ticks(source, shards)
    drained(lake, shards, source.now)
    again = Shards()
    again.made = 2
    again.publish(source.lake, source.now)
    found, stream = drained(lake, again, source.now)
    assert "was made anew (memory 2, before memory 1)" in found.lost[0]
    assert stream.sought == [{}]
    assert rows_of(lake, source.now) == rows_of(source.lake, source.now)


def test_what_is_a_day_old_goes(source, shards, lake):
    ticks(source, shards)
    drained(lake, shards, source.now)
    later = source.now + 20 * HOUR
    drained(lake, shards, later)
    assert lake.expired(later) == []
    assert rows_of(lake, later) == rows_of(source.lake, later)
    drained(lake, shards, source.now + 26 * HOUR)
    assert lake.windows(READINGS) == []
    assert [key for key in keys(lake) if key.startswith(("receipts", "landing"))] != []


def test_what_is_a_day_old_is_archived_first(source, shards, lake):
    ticks(source, shards)
    drained(lake, shards, source.now)
    held = rows_of(lake, source.now)
    archive = Archive.beside(lake.store, "archive")
    with closing(shards.open()) as stream:
        Consumer(lake, stream, lambda: source.now + 26 * HOUR, archive=archive).run(once=True)
    assert lake.windows(READINGS) == []
    days = [meta.key for meta in lake.store.list("archive")]
    rows = [row for key in days for row in pq.read_table(pa.BufferReader(lake.store.read(key).data)).to_pylist()]
    assert {(row["measure_id"], row["date_time"]): row for row in rows} == held


def test_the_watermarks_say_when_the_other_lake_asked(source, shards, lake):
    ticks(source, shards, 4)
    drained(lake, shards, source.now + timedelta(minutes=3))
    found = watermarks.load(lake.store)
    assert found.as_of == source.now
    assert found.asked.polls == (source.now,)
    newest = {}
    for measure, at in rows_of(source.lake, source.now):
        newest[measure] = max(at, newest.get(measure, at))
    assert dict(zip(found.rows["measure_id"].to_pylist(), found.rows["newest"].to_pylist(), strict=True)) == newest


def test_errors_that_pass_are_tried_again_and_those_of_once_are_raised(source, shards, lake, monkeypatch):
    monkeypatch.setattr(consumer, "SHORTEST_S", 0.0)
    ticks(source, shards)
    trouble = [SinkError("kinesis://memory: no answer"), LakeError("the store is in trouble"), SinkError("once more")]
    stop = threading.Event()

    def fail():
        if trouble:
            raise trouble.pop(0)
        if stream.drained:
            stop.set()

    with closing(shards.open()) as stream:
        stream.before_read = fail
        Consumer(lake, stream, lambda: source.now, stop=stop).run(once=False)
    assert rows_of(lake, source.now) == rows_of(source.lake, source.now)
    for error, once in ((SinkError("away"), True), (RefusedError("the disk is full"), False)):
        trouble = [error]
        stream = shards.open()
        stream.before_read = fail
        with pytest.raises(type(error)):
            Consumer(lake, stream, lambda: source.now).run(once=once)


def test_it_stops_after_the_batch_and_waits_without_work(source, shards, lake):
    ticks(source, shards)
    stop, reads = threading.Event(), []

    def read():
        reads.append(1)
        if len(reads) == 2:
            stop.set()

    with closing(shards.open(page=1)) as stream:
        stream.before_read = read
        found = Consumer(lake, stream, lambda: source.now, stop=stop).run(once=False)
    assert len(reads) == 2
    assert found.records == found.added + found.revised + found.unchanged + found.expired == 6
    assert len(rows_of(lake, source.now)) == found.added
    assert [key for key in keys(lake) if key.startswith("landing")] == []
