"""What a reader asks for is what filtering the whole window would give, wherever row groups begin and end."""

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets.lake import parquet
from flood_assets.lake.layout import key_of
from flood_assets.lake.parquet import WindowFile, encode, joined, schema_of
from flood_assets.schemas import READINGS
from flood_assets_tests.support import lake_rows
from flood_assets_tests.support.lake_rows import NOW, a_day, at, put_raw, read_window

NAMES = READINGS.schema.names


def readings(counts: dict[str, int]) -> pa.Table:
    """So many readings of each measure in one hour; some have what most have not."""
    rows = [
        {
            "measure_id": measure,
            "date_time": at(8) + timedelta(minutes=i),
            "station_id": measure[:1] or None,
            "value": None if i % 3 else i / 7,
            "raw_value": f"{i}|2" if i % 3 else None,
            "first_seen_at": NOW,
            "changed_at": NOW,
            "previous_value": 0.5 if i % 5 == 1 else None,
            "revision": i % 2,
        }
        for measure in sorted(counts)
        for i in range(counts[measure])
    ]
    return pa.Table.from_pylist(rows, schema=READINGS.schema)


# Of each measure a number of readings; of some measures none.
hours = st.dictionaries(st.sampled_from(["", "a", "b", "b1", "c", "d"]), st.integers(1, 6))


@settings(deadline=None)
@given(
    windows=st.lists(hours, min_size=1, max_size=3),
    wanted=st.sets(st.sampled_from(["", "a", "b", "b1", "bb", "c", "z"])),
    columns=st.lists(st.sampled_from(NAMES), unique=True, min_size=1),
    group=st.integers(1, 7),
    coded=st.booleans(),
)
def test_some_measures_are_those_rows_of_the_whole_windows(windows, wanted, columns, group, coded):
    """Windows of no row group, of one and of many; measures at the borders of groups, in several, and in none."""
    tables = [readings(counts) for counts in windows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "ROW_GROUP_ROWS", group)
        files = [WindowFile(READINGS, "here", pa.py_buffer(encode(READINGS, rows))) for rows in tables]
    schema = schema_of(READINGS, columns, coded=coded)
    pieces = [file.decoded(columns, measure_ids=sorted(wanted), coded=coded) for file in files]
    whole = pa.concat_tables(tables)
    expected = whole.filter(pc.is_in(whole["measure_id"], value_set=pa.array(sorted(wanted), pa.string())))
    found = joined(pieces, schema)
    assert found.schema == schema
    assert found.to_pylist() == expected.select(columns).to_pylist()
    assert joined([file.decoded(columns) for file in files], schema_of(READINGS, columns)) == whole.select(columns)


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("measures", [None, ["a"], ["a", "b"]])
@pytest.mark.parametrize("without", [["previous_value", "raw_value", "station_id"], []])
@pytest.mark.parametrize("arrow_schema", [False, True])
def test_windows_of_several_layouts_are_read_together(folder, coded, measures, without, arrow_schema):
    """Some lack columns, some say in Arrow's words too which types they have."""
    folder.upsert_readings(a_day(["a", "b"]), NOW, NOW, stations=lake_rows.measures(a="S", b="T"))
    before = folder.read(READINGS, now=NOW, measure_ids=measures)
    for hour in (6, 8):
        window = read_window(folder, READINGS, at(hour), now=NOW).drop_columns(without)
        sink = pa.BufferOutputStream()
        pq.write_table(window, sink, store_schema=arrow_schema)
        put_raw(folder, key_of(READINGS, at(hour)), sink.getvalue().to_pybytes())
    rows = folder.read(READINGS, now=NOW, measure_ids=measures, coded=coded)
    assert rows.schema == schema_of(READINGS, NAMES, coded=coded)
    expected = before.to_pylist()
    for row in expected:
        if row["date_time"].hour in (6, 8) and row["date_time"].day == NOW.day:
            row.update(dict.fromkeys(without))
    assert rows.to_pylist() == expected


def test_a_file_is_told_as_its_listing_tells_it(folder):
    """Reading is ours and listing obstore's: if they told different tags, no writer could replace anything."""
    folder.upsert_readings(a_day(["a"]), NOW, NOW)
    listed = folder.store.list(READINGS.name)
    assert len(listed) == 24
    for meta in listed:
        blob = folder.store.get(meta.key)
        assert blob.meta == folder.store.head(meta.key) == meta
        assert len(blob.data) == meta.size
        assert folder.store.get(meta.key, whole_up_to=meta.size - 1) == meta
        assert folder.store.get(meta.key, whole_up_to=meta.size).data.equals(blob.data)
        assert folder.store.get_range(meta, 0, 4) == b"PAR1"
