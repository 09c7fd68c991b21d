"""Tables as they are written."""

import pyarrow as pa
import pytest

from flood_assets.schemas import READINGS, REJECTS, TABLES, TIME, WATERMARKS

each_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)


@each_table
def test_no_key_is_null_or_a_number(table):
    assert table.key
    for name in table.key:
        field = table.schema.field(name)
        assert not field.nullable
        assert field.type in {pa.string(), TIME}


@each_table
def test_the_time_that_decides_the_window_is_never_null(table):
    if table.time:
        assert table.schema.field(table.time) == pa.field(table.time, TIME, nullable=False)


@each_table
def test_names_are_unique_and_every_measured_number_has_a_unit(table):
    assert len(set(table.schema.names)) == len(table.schema.names)
    for column in table.columns:
        assert not column.unit or column.type in {pa.float64(), pa.int32()}
        if column.type == pa.float64():
            assert column.unit


@each_table
def test_every_time_is_in_utc(table):
    for field in table.schema:
        if pa.types.is_timestamp(field.type):
            assert field.type == TIME


def test_tables_are_found_by_name_and_readings_and_rejects_by_time():
    assert {name: table.name for name, table in TABLES.items()} == {name: name for name in TABLES}
    assert {table for table in TABLES.values() if table.time} == {READINGS, REJECTS}
    assert READINGS.key == ("measure_id", "date_time")


def test_a_watermark_always_has_its_measure_and_time():
    assert [field.nullable for field in WATERMARKS] == [False, False, True]
