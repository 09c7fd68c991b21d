"""Columns of the lake's tables as the Dagster UI shows them."""

import dagster as dg

from flood_assets.schemas import Table


def column_schema(table: Table) -> dg.TableSchema:
    """Return a table's columns with type, unit and description; the unit stands in front of the description."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.type),
                description=f"[{column.unit}] {column.meaning}" if column.unit else column.meaning,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ],
        constraints=dg.TableConstraints(other=[f"unique within a window: {', '.join(table.key)}"]),
    )
