"""How far the lake is complete: watermarks move forward only, whoever moves them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flood_assets.lake import watermarks
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import WATERMARKS_KEY
from flood_assets.lake.parquet import encode
from flood_assets.schemas import READINGS, WATERMARKS
from flood_assets_tests.support.faulty_s3 import in_front_of
from flood_assets_tests.support.lake_rows import HOUR, NOW, QUARTER, at, put_raw
from flood_assets_tests.support.s3 import BUCKET


def table(*rows: tuple[str, datetime, int | None]) -> pa.Table:
    return pa.table([pa.array([row[i] for row in rows], WATERMARKS.field(i).type) for i in range(3)], schema=WATERMARKS)


def known(lake) -> list[tuple]:
    return [tuple(row.values()) for row in watermarks.load(lake.store).rows.to_pylist()]


def test_a_new_lake_has_no_watermarks(lake):
    assert watermarks.load(lake.store) is None


def test_watermarks_are_kept_sorted_with_the_time_of_asking(lake):
    watermarks.advance(lake.store, table(("b", at(8), 900), ("a", at(9), None)), NOW)
    assert known(lake) == [("a", at(9), None), ("b", at(8), 900)]
    stored = watermarks.load(lake.store)
    assert stored.as_of == NOW
    assert stored.rows.schema == WATERMARKS


def test_a_watermark_moves_forward_and_never_back(lake):
    watermarks.advance(lake.store, table(("a", at(8), 900), ("b", at(8), 900)), NOW)
    watermarks.advance(lake.store, table(("a", at(9), 900), ("b", at(7), 900)), NOW - HOUR)
    assert known(lake) == [("a", at(9), 900), ("b", at(8), 900)]
    assert watermarks.load(lake.store).as_of == NOW


def test_a_step_that_is_not_known_leaves_the_one_that_is(lake):
    watermarks.advance(lake.store, table(("a", at(8), 900)), NOW)
    watermarks.advance(lake.store, table(("a", at(9), None)), NOW)
    assert known(lake) == [("a", at(9), 900)]
    watermarks.advance(lake.store, table(("a", at(9), 300)), NOW)
    assert known(lake) == [("a", at(9), 300)]


def test_of_one_measure_twice_the_later_time_counts(lake):
    watermarks.advance(lake.store, table(("a", at(9), 300), ("a", at(8), 900), ("a", at(8, 30), None)), NOW)
    assert known(lake) == [("a", at(9), 900)]


def test_measures_that_are_not_mentioned_stay(lake):
    watermarks.advance(lake.store, table(("a", at(8), 900)), NOW)
    watermarks.advance(lake.store, table(("b", at(8), 900)), NOW)
    assert [row[0] for row in known(lake)] == ["a", "b"]


def test_no_news_still_tells_when_the_api_was_asked(lake):
    watermarks.advance(lake.store, WATERMARKS.empty_table(), NOW)
    assert known(lake) == []
    watermarks.advance(lake.store, WATERMARKS.empty_table(), NOW + QUARTER)
    assert watermarks.load(lake.store).as_of == NOW + QUARTER


def test_what_changes_nothing_is_not_written(lake):
    watermarks.advance(lake.store, table(("a", at(8), 900)), NOW)
    before = lake.store.head(WATERMARKS_KEY)
    watermarks.advance(lake.store, table(("a", at(7), None)), NOW - HOUR)
    assert lake.store.head(WATERMARKS_KEY) == before


@pytest.mark.parametrize("data", [b"", b"not Parquet", b"PAR1 and then nothing"])
def test_damaged_watermarks_count_as_none_and_are_replaced(lake, data, caplog):
    put_raw(lake, WATERMARKS_KEY, data)
    assert watermarks.load(lake.store) is None
    assert WATERMARKS_KEY in caplog.text
    watermarks.advance(lake.store, table(("a", at(8), 900)), NOW)
    assert known(lake) == [("a", at(8), 900)]


def test_a_table_that_is_none_of_watermarks_counts_as_damaged(lake):
    put_raw(lake, WATERMARKS_KEY, encode(READINGS, READINGS.schema.empty_table()))
    assert watermarks.load(lake.store) is None


@pytest.mark.races
def test_writers_at_once_lose_nothing(lake, twin):
    """Each takes its turn at the same measures and at one of its own."""

    def write(number: int) -> None:
        own = (f"own {number}", at(8), 900)
        watermarks.advance(
            (lake, twin)[number % 2].store, table(("all", at(8) + number * timedelta(minutes=1), None), own), NOW
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(12)))
    assert known(lake) == [("all", at(8, 11), None), *sorted((f"own {i}", at(8), 900) for i in range(12))]


def test_a_run_that_began_before_a_loss_moves_no_watermarks(lake):
    """It took for stored what was lost since, and only stored what was newer."""
    watermarks.advance(lake.store, table(("a", at(8), 900), ("b", at(8), 900)), NOW)
    began = watermarks.load(lake.store)
    watermarks.forget(lake.store)
    assert not watermarks.advance(lake.store, table(("a", at(9), None)), NOW, loss=began.loss)
    assert watermarks.load(lake.store).forgotten

    # Nor does it add to what another run has read anew.
    assert watermarks.advance(lake.store, table(("b", at(7), 900)), NOW, loss=watermarks.load(lake.store).loss)
    assert not watermarks.advance(lake.store, table(("a", at(9), None)), NOW, loss=began.loss)
    assert known(lake) == [("b", at(7), 900)]


def test_runs_that_began_from_the_same_watermarks_all_move_them(lake):
    watermarks.advance(lake.store, table(("a", at(8), 900)), NOW)
    began = watermarks.load(lake.store)
    for name in ("a", "b"):
        assert watermarks.advance(lake.store, table((name, at(9), None)), NOW, loss=began.loss)
    assert known(lake) == [("a", at(9), 900), ("b", at(9), None)]


def test_watermarks_are_no_window_of_a_table(lake):
    watermarks.advance(lake.store, table(("a", at(8), 900)), NOW)
    assert lake.windows(READINGS) == []
    assert lake.expire(NOW + 48 * HOUR) == []
    assert known(lake) == [("a", at(8), 900)]


rows = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.integers(0, 50).map(lambda quarters: at(0) + quarters * QUARTER),
        st.sampled_from([None, 300, 900]),
    ),
    max_size=12,
)


@given(rows, rows)
def test_united_watermarks_are_the_newest_time_and_the_last_step_of_each_measure(old, new):
    """And uniting them again changes nothing."""
    united = watermarks.united(table(*old), table(*new))
    expected = {}
    for name, newest, step in [*old, *new]:
        before, known_step = expected.get(name, (newest, None))
        expected[name] = (max(before, newest), step if step is not None else known_step)
    assert [tuple(r.values()) for r in united.to_pylist()] == [(n, *expected[n]) for n in sorted(expected)]
    assert watermarks.united(united, table(*new)).equals(united)


def test_what_the_api_was_asked_for_is_kept_for_a_day(lake):
    watermarks.advance(
        lake.store, WATERMARKS.empty_table(), NOW, watermarks.Asked.once(NOW, polled=True, read=[at(8), at(9)])
    )
    later = NOW + 20 * HOUR
    watermarks.advance(
        lake.store, WATERMARKS.empty_table(), later, watermarks.Asked.once(later, polled=False, read=[at(9)])
    )
    assert watermarks.load(lake.store).asked == watermarks.Asked((NOW,), {at(8): NOW, at(9): later})
    next_day = NOW + 24 * HOUR
    watermarks.advance(lake.store, WATERMARKS.empty_table(), next_day, watermarks.Asked.once(next_day, polled=True))
    assert watermarks.load(lake.store).asked == watermarks.Asked((next_day,), {at(9): later})


def test_what_is_left_behind_is_what_the_latest_poll_says(lake):
    def poll(moment: datetime, **behind: datetime) -> dict:
        watermarks.advance(
            lake.store, WATERMARKS.empty_table(), moment, watermarks.Asked.once(moment, polled=True, behind=behind)
        )
        return dict(watermarks.load(lake.store).asked.behind)

    assert poll(NOW, a=at(8), b=at(9)) == {"a": at(8), "b": at(9)}
    assert poll(NOW - QUARTER, c=at(7)) == {"a": at(8), "b": at(9)}, "an older poll that ended later"
    assert poll(NOW + QUARTER, b=at(9)) == {"b": at(9)}
    read = watermarks.Asked.once(NOW + HOUR, polled=False, read=[at(9)])
    watermarks.advance(lake.store, WATERMARKS.empty_table(), NOW + HOUR, read)
    assert watermarks.load(lake.store).asked.behind == {"b": at(9)}, "a single window says nothing of it"


def test_watermarks_of_a_version_that_did_not_say_what_was_asked_are_kept(lake):
    rows = table(("a", at(8), 900))
    sink = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata({b"as_of_ms": b"1000"}), sink)
    put_raw(lake, WATERMARKS_KEY, sink.getvalue().to_pybytes())
    assert watermarks.load(lake.store) == watermarks.Watermarks(rows, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))


# -- a loss


def test_a_lake_that_lost_readings_is_not_complete_until_the_day_was_read_again(lake):
    watermarks.advance(lake.store, table(("a", at(8), 900)), NOW)
    watermarks.forget(lake.store)
    lost = watermarks.load(lake.store)
    assert (lost.forgotten, len(lost.rows), lost.as_of) == (True, 0, NOW)
    # A run over a few windows says nothing about the rest.
    assert watermarks.advance(lake.store, WATERMARKS.empty_table(), NOW, loss=lost.loss)
    assert watermarks.load(lake.store) == lost
    assert watermarks.advance(lake.store, table(("a", at(9), 900)), NOW, loss=lost.loss)
    assert known(lake) == [("a", at(9), 900)]
    assert not watermarks.load(lake.store).forgotten


@pytest.mark.parametrize("had_watermarks", [True, False])
def test_the_watermarks_of_a_run_that_began_before_a_loss_count_no_longer(lake, twin, had_watermarks):
    """Among what it stored may be what was lost: its watermarks would keep that from being asked for again."""
    if had_watermarks:
        watermarks.advance(lake.store, table(("a", at(8), 900)), NOW)
    watermarks.forget(twin.store)
    lost = watermarks.load(lake.store)
    assert not watermarks.advance(lake.store, table(("a", at(9), 900)), NOW)
    assert watermarks.load(lake.store) == lost
    # Nor after another run has read the day again: what this one stored was lost before, or it knows no better.
    watermarks.advance(twin.store, table(("a", at(9), 900)), NOW, loss=lost.loss)
    assert not watermarks.advance(lake.store, table(("a", at(9, 5), 900)), NOW)
    assert known(lake) == [("a", at(9), 900)]


def test_watermarks_forget_also_when_they_are_damaged(lake):
    put_raw(lake, WATERMARKS_KEY, b"not Parquet")
    watermarks.forget(lake.store)
    assert watermarks.load(lake.store).forgotten


@pytest.mark.parametrize("server", ["s3_server", pytest.param("ceph_server", marks=pytest.mark.s3)])
@pytest.mark.parametrize("there", [True, False])
def test_a_loss_between_reading_and_writing_the_watermarks_counts(server, there, request):
    with in_front_of(request.getfixturevalue(server)) as proxy:
        lake = Lake.open(f"s3://{BUCKET}/{request.node.name}", s3=proxy.server)
        other = Lake.open(lake.url, s3=proxy.behind)
        if there:
            watermarks.advance(other.store, table(("a", at(8), 900)), NOW)
        proxy.on("PUT", WATERMARKS_KEY, times=1).waits_for(lambda: watermarks.forget(other.store))
        assert not watermarks.advance(lake.store, table(("a", at(9), 900)), NOW)
        assert watermarks.load(other.store).forgotten
