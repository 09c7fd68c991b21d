"""Records become landing batches: the same records give the same batch, and what is no reading is kept and told."""

import json
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flood_assets.consume.stream import Portion, Record
from flood_assets.consume.taking import batch_of, take
from flood_assets.lake.lake import Lake
from flood_assets.landing import batches
from flood_assets.landing.objects import Place, decode_batch, encode_batch
from flood_assets.publish.events import Events
from flood_assets.schemas import READINGS, REJECTS
from flood_assets_tests.support.following import rows_of
from flood_assets_tests.support.lake_rows import HOUR, NOW, QUARTER, at, fetched

STREAM = "kinesis-test-00000000"


@pytest.fixture
def lake(tmp_path):
    return Lake.open(tmp_path / "b")


@pytest.fixture
def published(tmp_path):
    """A lake that publishes, with corrections, and all events that it ever had."""
    source, found = Lake.open(tmp_path / "a"), []
    for tick, values in enumerate([(1.0, 2.0), (1.5, 2.0), (1.0, 2.5), (1.0, 2.5)]):
        seen = NOW + tick * QUARTER
        rows = [(m, at(8, minute), value) for m, value in zip("ab", values, strict=True) for minute in (0, 15)]
        source.upsert_readings(fetched(*rows, ("c", at(9), None, "1|2")), seen, seen)
        found += Events(source.read(READINGS, now=seen), "https://example.org/api").documents()
    return source, found


def portion(documents, place="shard-1", first=0):
    return Portion(place, [Record(str(first + n), data) for n, data in enumerate(documents)])


def later(tick=4):
    return NOW + tick * QUARTER


def test_a_lake_equals_the_one_that_published_in_every_column(lake, published):
    source, documents = published
    found = take(lake, STREAM, [portion(documents)], later())
    assert rows_of(lake, later()) == rows_of(source, later())
    (receipt,) = found.receipts
    assert (receipt.rows, receipt.accepted, receipt.rejected) == (len(documents), len(documents), 0)
    assert receipt.added + receipt.revised == len(rows_of(source, later()))


@pytest.mark.parametrize("seed", range(4))
def test_any_order_repetition_and_portions_give_the_same_lake(lake, published, seed):
    source, documents = published
    chance = random.Random(seed)
    given = [*documents, *chance.choices(documents, k=8)]
    chance.shuffle(given)
    first = 0
    while given:
        some, given = given[: (size := chance.randrange(1, 12))], given[size:]
        for _ in range(chance.randrange(1, 3)):
            take(lake, STREAM, [portion(some, first=first)], later())
        first += size
    assert rows_of(lake, later()) == rows_of(source, later())


def test_the_same_records_are_one_batch_whoever_takes_them(lake, published):
    _, documents = published
    one, two = (batch_of(STREAM, portion(documents), now) for now in (NOW, later()))
    assert (one.id, one.digest) == (two.id, two.digest)
    assert batch_of(STREAM, portion(documents, first=1), NOW).id != one.id
    assert batch_of(STREAM, portion(documents[:-1]), NOW).id != one.id
    take(lake, STREAM, [portion(documents)], later())
    assert take(lake, STREAM, [portion(documents)], later()).receipts == []
    assert batches.find(lake.store, Place.of(STREAM, one.id)).state == "ingested"


def test_ids_of_any_place_can_be_those_of_objects():
    for place, first in (("shardId-000000000000", "4" * 56), ("0", "0"), ("queue", "3f0c-..;/ü"), ("x" * 200, "y")):
        batch = batch_of(STREAM, Portion(place, [Record(first, b"x")]), NOW)
        assert Place.of(STREAM, batch.id)
        assert decode_batch(encode_batch(batch)) == batch


GOOD = {
    "measure_id": "a",
    "date_time": "2026-11-21T08:00:00Z",
    "station_id": None,
    "value": 1.5,
    "raw_value": None,
    "first_seen_at": "2026-11-21T08:10:00.123Z",
    "changed_at": "2026-11-21T08:10:00.123Z",
    "previous_value": None,
    "revision": 0,
}


def event(drop=(), kind="flood_assets.reading.new", version="1.0", **more):
    data = {name: cell for name, cell in {**GOOD, **more}.items() if name not in drop}
    return json.dumps({"specversion": version, "id": "1", "source": "x", "type": kind, "data": data}).encode()


FOREIGN = [
    (b"", "no event of a reading"),
    (b"\xff\xfe", "no event of a reading"),
    (b"null", "Expected `object`, got `null`"),
    (b'{"temperature": 12}', "missing required field `specversion`"),
    (b"[" * 100_000, "no event of a reading"),
    (event(kind="com.example.order"), r"Invalid enum value 'com.example.order' - at `\$.type`"),
    (event(version="0.3"), r"\$.specversion"),
    (event(drop=["revision"]), "missing required field `revision`"),
    (event(value="1.5"), r"Expected `float \| null`, got `str` - at `\$.data.value`"),
    (event(measure_id=""), "length >= 1"),
    (event(measure_id=None), r"\$.data.measure_id"),
    (event(revision=-1), ">= 0"),
    (event(revision=2**31), "<= 2147483647"),
    (event(date_time="2026-11-21T08:00:00"), r"timezone component - at `\$.data.date_time`"),
    (event(date_time="2026-11-23T08:00:00Z"), "over a day after this machine's clock"),
    (event(changed_at="2999-01-01T00:00:00Z"), "changed_at is 2999-01-01T00:00:00Z, over a day after"),
    (event().replace(b"1.5", b"1e999"), "no event of a reading|finite"),
    (event().replace(b"1.5", b"NaN"), "no event of a reading"),
    (event().replace(b'"a"', b'"\\ud800"'), "no event of a reading"),
]


@pytest.mark.parametrize(("data", "reason"), FOREIGN, ids=[str(n) for n in range(len(FOREIGN))])
def test_what_is_no_reading_is_refused_with_its_reason(data, reason):
    batch = batch_of(STREAM, portion([data, event()]), NOW)
    (refused,) = batch.refused
    assert batch.refused_rows == refused.row == 1
    with pytest.raises(ValueError, match=reason):
        raise ValueError(refused.reason)
    assert batch.readings.measure_id == ["a"]


def test_what_is_no_reading_is_kept_and_counted_and_stops_nothing(lake):
    given = [data for data, _ in FOREIGN]
    found = take(lake, STREAM, [portion(given), portion([event()], first=99)], NOW)
    assert found.count("rejected") == len(given)
    assert found.count("added") == 1
    kept = lake.read(REJECTS, now=NOW + HOUR).to_pylist()
    assert len(kept) == len(given)
    assert any('{"temperature": 12}' in row["line"] and STREAM in row["line"] for row in kept)


def test_fields_that_are_to_come_are_left_out(lake):
    document = json.loads(event(added_in_2030=1)) | {"traceparent": "x"}
    assert batch_of(STREAM, portion([json.dumps(document).encode()]), NOW).refused == []


def test_readings_of_any_age_expire_and_are_counted(lake):
    given = [event(date_time=text) for text in ("0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2026-11-20T09:07:30Z")]
    found = take(lake, STREAM, [portion([*given, event()])], NOW)
    assert (found.count("expired"), found.count("added"), found.count("rejected")) == (3, 1, 0)
    assert len(rows_of(lake, NOW)) == 1


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), st.integers(0, 400), st.integers(0, 3))
@example(b"\x00", 3, 0)
@settings(max_examples=40)
def test_no_record_stops_a_batch(patch, place, size):
    good = event()
    data = good[:place] + patch + good[place + size :]
    batch = batch_of(STREAM, portion([data, event(measure_id="b")]), NOW)
    assert batch.readings.measure_id[-1] == "b" or "b" in batch.readings.measure_id
    assert len(batch.readings.measure_id) + batch.refused_rows + batch.repeated == 2
    assert decode_batch(encode_batch(batch)) == batch
