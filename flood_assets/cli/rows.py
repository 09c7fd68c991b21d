"""Lay out rows of any columns as text: a table if it fits the width of the terminal, else a paragraph for each row."""

import re
import textwrap
from collections.abc import Iterator, Sequence

import pyarrow as pa
from rich.console import Console
from rich.text import Text

from flood_assets.cli.printing import plain_table

# Rows that are shown at most.
MOST = 1000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def table(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> tuple[str, int]:
    """Return rows as text, and how many more there are that are not in it."""
    rows, more = list[list[str]](), 0
    for batch in batches:
        shown = batch.slice(0, MOST - len(rows))
        rows += [[_text(cell) for cell in row] for row in zip(*(c.to_pylist() for c in shown.columns), strict=True)]
        more += len(batch) - len(shown)
    names = [_text(name) for name in schema.names]
    console = Console(highlight=False, markup=False, emoji=False)
    made = plain_table(*names)
    for column, field in zip(made.columns, schema, strict=True):
        is_number = (
            pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        )
        column.justify = "right" if is_number else "left"
    for row in rows:
        made.add_row(*map(Text, row))
    if made.__rich_measure__(console, console.options.update(max_width=1_000_000)).maximum > console.width:
        return "".join(f"{line}\n" for line in _paragraphs(names, rows, console)), more
    with console.capture() as printed:
        console.print(made)
    return "".join(f"{line.rstrip()}\n" for line in printed.get().splitlines()), more


def _paragraphs(names: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> Iterator[str]:
    """Yield a line for each cell, and an empty one after each row."""
    indent = " " * min(max(map(len, names)) + 2, console.width // 2)
    for row in rows:
        for name, cell in zip(names, row, strict=True):
            yield from textwrap.wrap(
                cell,
                console.width if console.is_terminal else 1_000_000,
                initial_indent=name.ljust(len(indent) - 2) + "  ",
                subsequent_indent=indent,
                break_on_hyphens=False,
            ) or [name]
        yield ""


def _text(cell: object) -> str:
    """Return a cell as text in which nothing moves the cursor; NULL for null."""
    return "NULL" if cell is None else _CONTROL.sub(lambda found: repr(found[0])[1:-1], str(cell))
