"""How values are written in the page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.harness import Figure


def times(figure: Figure) -> str:
    """A ratio, and its spread over the rounds."""
    return f"{figure.median:.2f} x{between(figure, '.2f')}"


def seconds(values: Sequence[float]) -> str:
    """A median in s, or in ms when it is short."""
    median = Figure.of(values).median
    return f"{median:.2f} s" if median >= 0.1 else f"{1000 * median:.1f} ms"


def milliseconds(values: Sequence[float]) -> str:
    """A median and its spread."""
    return f"{spread(Figure.of(1000 * value for value in values), '.0f')} ms"


def spread(figure: Figure, form: str) -> str:
    """A median and, where there is more than one value, its spread."""
    return f"{figure.median:{form}}{between(figure, form)}"


def between(figure: Figure, form: str) -> str:
    """The spread; nothing of one value."""
    return f" ({figure.low:{form}} to {figure.high:{form}})" if figure.values > 1 else ""


def recall(right: Mapping[str, Any]) -> str:
    """As a percentage that says 100 only where nothing is lost."""
    if right["had"] == right["shown"]:
        return "100 %"
    return f"{min(99.99, 100 * right['recall']):.2f} %"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    return "\n".join(lines)
