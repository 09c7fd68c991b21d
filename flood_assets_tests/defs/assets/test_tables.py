"""Columns as the Dagster UI shows them."""

import pytest

from flood_assets.defs.assets.tables import column_schema
from flood_assets.schemas import TABLES


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_ui_shows_every_column_with_type_description_and_unit(table):
    schema = column_schema(table)
    assert [column.name for column in schema.columns] == table.schema.names
    for column, given, field in zip(schema.columns, table.columns, table.schema, strict=True):
        assert column.type == str(field.type)
        assert column.constraints.nullable == field.nullable
        assert given.meaning
        assert given.meaning in column.description
        assert column.description.startswith(f"[{given.unit}] ") == bool(given.unit)
    assert ", ".join(table.key) in schema.constraints.other[0]
