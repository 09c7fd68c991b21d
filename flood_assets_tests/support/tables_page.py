"""The lists of columns in docs/tables.md, written from the schemas.

python -m flood_assets_tests.support.tables_page
"""

from pathlib import Path

from flood_assets.schemas import ALERTS, TABLES, Table

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
BEGIN, END = "<!-- tables -->\n", "<!-- end -->\n"


def columns_of(table: Table) -> str:
    """Return the section of one table: its key and a row for each column."""
    lines = [
        f"## {table.name}",
        "",
        f"Key: {', '.join(f'`{name}`' for name in table.key)}",
        "",
        "| column | type | unit | meaning |",
        "|---|---|---|---|",
    ]
    for column in table.columns:
        null = "" if column.nullable else ", never null"
        meaning = column.meaning.replace("|", "\\|")
        lines.append(f"| `{column.name}` | {column.type}{null} | {column.unit} | {meaning} |")
    return "\n".join([*lines, ""])


def written(page: str) -> str:
    """Return the page with its lists written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    lists = "\n".join(columns_of(table) for table in (*TABLES.values(), ALERTS))
    return f"{before}{BEGIN}\n{lists}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
