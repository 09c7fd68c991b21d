"""Tables and wrapped prose of one width for the commands, the same in a terminal and in a pipe."""

import textwrap

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

# No wider in a wide terminal: the tables are not.
WIDTH = 80


def plain_table(*headings: str, left: int = 0) -> Table:
    """Return a table without an edge; the first `left` columns hold text, the others numbers and times."""
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < left else "right", overflow="fold")
    return table


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print prose, wrapped with a hanging indent.

    In a pipe a word that is longer than the line, such as a URL, stays whole.
    """
    width = min(console.width, WIDTH)
    for paragraph in text.splitlines() or [""]:
        lines = textwrap.wrap(
            paragraph, width, subsequent_indent="  ", break_long_words=console.is_terminal, break_on_hyphens=False
        )
        for line in lines or [""]:
            console.print(line, style=style, markup=False, highlight=False, emoji=False, soft_wrap=True)
