"""Read Kinesis: all shards, reshardings, closed shards, old iterators, busy shards, trimmed records."""

from datetime import timedelta

import pytest

from flood_assets.consume import kinesis
from flood_assets.consume.kinesis import KinesisStream
from flood_assets.consume.stream import Position
from flood_assets.sinks.base import SinkError
from flood_assets_tests.consume.fake_kinesis import FakeKinesis

URL = "kinesis://flood"


@pytest.fixture
def fake(monkeypatch):
    found = FakeKinesis()
    monkeypatch.setattr(kinesis.aws, "client", lambda _service: found)
    monkeypatch.setattr(kinesis, "LEAST_S", 0.0)
    monkeypatch.setattr(kinesis, "_SHORTEST_S", 0.0)
    return found


def opened(fake, positions=None, *, once=True, newest=False):
    stream = KinesisStream(URL, lambda: fake.now, once=once)
    stream.seek(positions or {}, newest=newest)
    return stream


def drained(stream, most=50):
    """Everything until the stream is drained: (shard, data), and the last positions."""
    found, positions = [], {}
    for _ in range(most):
        portions = stream.read()
        for portion in portions:
            found += [(portion.place, record.data.decode()) for record in portion.records]
            positions[portion.place] = portion.position
        if not portions and stream.drained:
            return found, positions
    raise AssertionError("it does not end")


def test_all_shards_of_all_pages_are_read_in_their_order(fake):
    for shard in "abcde":
        fake.shard(shard)
        fake.put(shard, *(f"{shard}{n}".encode() for n in range(7)))
    found, positions = drained(opened(fake))
    assert sorted(found) == [(shard, f"{shard}{n}") for shard in "abcde" for n in range(7)]
    assert found == sorted(found, key=lambda each: each[1][1] != "" and found.index(each))
    assert drained(opened(fake, positions))[0] == []
    fake.put("c", b"new")
    assert drained(opened(fake, positions))[0] == [("c", "new")]


def test_parents_are_drained_before_their_children(fake):
    fake.shard("a")
    fake.put("a", *(f"a{n}".encode() for n in range(8)))
    fake.shard("b", "a")
    fake.shard("c", "a")
    fake.put("b", b"b0")
    fake.put("c", b"c0")
    fake.shard("d", "b", "c")
    fake.put("d", b"d0")
    found, positions = drained(opened(fake))
    assert [shard for shard, _ in found] == [*"aaaaaaaa", "b", "c", "d"]
    assert {shard: each.ended for shard, each in positions.items()} == {"a": True, "b": True, "c": True, "d": False}
    fake.asked.clear()
    assert drained(opened(fake, positions))[0] == []
    assert [shard for shard, _ in fake.asked] == ["d"], "what has ended is not asked again"


def test_a_shard_that_is_split_while_it_is_read_is_followed(fake):
    fake.shard("a")
    fake.put("a", b"a0")
    stream = opened(fake, once=False)
    assert [portion.place for portion in stream.read()] == ["a"]
    fake.put("a", b"a1")
    fake.shard("b", "a")
    fake.put("b", b"b0")
    assert drained(stream)[0] == [("a", "a1"), ("b", "b0")]


def test_once_reads_what_a_resharding_made_at_last(fake):
    fake.shard("a")
    stream = opened(fake)
    stream.read()
    fake.shard("b", "a")
    fake.put("b", b"b0")
    assert drained(stream)[0] == [("b", "b0")]


def test_an_expired_iterator_is_asked_for_again(fake):
    fake.shard("a")
    fake.put("a", b"a0")
    stream = opened(fake)
    stream.read()
    fake.put("a", b"a1")
    fake.refuse = ["ExpiredIteratorException"]
    assert drained(stream)[0] == [("a", "a1")]
    assert [kind for _, kind in fake.asked] == ["TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER"]
    # Without any record yet, it begins again with the oldest.
    fake.shard("b")
    late = opened(fake)
    late.read()
    fake.put("b", b"b0")
    fake.refuse = ["ExpiredIteratorException"] * 2
    assert ("b", "b0") in drained(late)[0]


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "KMSThrottlingException"])
def test_a_busy_shard_is_asked_again_and_is_not_taken_for_drained(fake, code):
    fake.shard("a")
    fake.put("a", b"a0")
    fake.refuse = [code] * 4
    stream = opened(fake)
    assert stream.read() == []
    assert not stream.drained
    assert drained(stream)[0] == [("a", "a0")]


def test_other_errors_are_told_with_a_remedy(fake):
    fake.shard("a")
    fake.refuse = ["AccessDeniedException"]
    with pytest.raises(SinkError, match="kinesis://flood: AccessDeniedException: later: check the credentials"):
        opened(fake).read()


def test_records_that_were_kept_too_short_are_told_and_it_goes_on(fake):
    fake.shard("a")
    fake.put("a", b"a0", b"a1")
    _, positions = drained(opened(fake))
    since = fake.now
    fake.pass_time(timedelta(hours=20))
    fake.put("a", b"a2")
    fake.pass_time(timedelta(hours=30))
    fake.trim("a", 3)
    fake.put("a", b"a3")
    stream = opened(fake, positions)
    (told,) = stream.take_lost()
    assert f"{URL} keeps records for 24 h, and a was last read at {since:%Y-%m-%d %H:%M}Z" in told
    assert stream.take_lost() == []
    assert drained(stream)[0] == [("a", "a3")]


def test_a_stream_that_is_read_all_the_time_without_records_has_lost_nothing(fake):
    fake.shard("a")
    fake.put("a", b"a0")
    positions = {}
    for _ in range(30):
        stream = opened(fake, positions, once=False)
        for _ in range(3):
            positions |= {each.place: each.position for each in stream.read()}
        assert stream.take_lost() == []
        fake.pass_time(timedelta(hours=2))


def test_a_shard_that_is_gone_before_its_end_is_told(fake):
    fake.shard("b")
    stream = opened(fake, {"a": Position("5", fake.now), "z": Position("7", fake.now, True)})
    assert [told for told in stream.take_lost() if "no shard a any more" in told]


def test_a_position_of_another_stream_begins_with_the_oldest_record(fake):
    fake.shard("a")
    fake.put("a", b"a0")
    stream = opened(fake, {"a": Position("9" * 56, fake.now)})
    assert drained(stream)[0] == [("a", "a0")]
    assert "has no record 999" in stream.take_lost()[0]


def test_a_stream_that_is_made_anew_has_another_identity(fake):
    one = opened(fake).identity
    assert opened(fake).identity == one
    fake.made += timedelta(days=1)
    assert opened(fake).identity != one


def test_following_from_now_on_leaves_out_what_was(fake):
    fake.shard("a")
    fake.put("a", b"old")
    stream = opened(fake, newest=True, once=False)
    assert [portion.records for portion in stream.read()] == [[]]
    fake.put("a", b"new")
    assert [record.data for portion in stream.read() for record in portion.records] == [b"new"]


def test_moto_reshards_too(aws, name, monkeypatch):
    monkeypatch.setattr(kinesis, "LEAST_S", 0.0)
    client = aws("kinesis")
    client.create_stream(StreamName=name, ShardCount=2)

    def put(*texts):
        client.put_records(StreamName=name, Records=[{"Data": t.encode(), "PartitionKey": t} for t in texts])

    put(*"abcdefgh")
    client.split_shard(StreamName=name, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**126))
    put(*"ijklmnop")
    still = [
        shard
        for shard in client.list_shards(StreamName=name)["Shards"]
        if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
    ]
    one, two = sorted(still, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))[-2:]
    client.merge_shards(StreamName=name, ShardToMerge=one["ShardId"], AdjacentShardToMerge=two["ShardId"])
    put(*"qrstuvwx")
    stream = KinesisStream(f"kinesis://{name}", lambda: FakeKinesis().now, once=True)
    stream.seek({})
    found, positions = drained(stream)
    assert {data for _, data in found} == set("abcdefghijklmnopqrstuvwx")
    assert sum(each.ended for each in positions.values()) == 3
    stream.seek(positions)
    assert drained(stream)[0] == []
    stream.close()


def test_a_stream_that_is_not_there_is_named(aws):
    with pytest.raises(SinkError, match=r"kinesis://nowhere: ResourceNotFoundException: .* create it"):
        KinesisStream("kinesis://nowhere", lambda: FakeKinesis().now)
