"""Format values for the page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.harness import Figure, in_common, ratio


def times(figure: Figure) -> str:
    """Format a ratio and its range over the rounds."""
    return f"{figure.median:.2f} x{between(figure, '.2f')}"


def compared(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Format a ratio of seconds and the two medians it is made of."""
    mine, other = in_common(ours, theirs)
    return f"{times(ratio(ours, theirs))}: {seconds(mine)} and {seconds(other)}"


def seconds(values: Sequence[float]) -> str:
    """Format a median in s, or in ms if it is short."""
    median = Figure.of(values).median
    return f"{median:.2f} s" if median >= 0.1 else f"{1000 * median:.1f} ms"


def milliseconds(values: Sequence[float]) -> str:
    """Format a median and its range in ms."""
    return f"{spread(Figure.of(1000 * value for value in values), '.0f')} ms"


def spread(figure: Figure, form: str) -> str:
    """Format a median and, if there is more than one value, its range."""
    return f"{figure.median:{form}}{between(figure, form)}"


def between(figure: Figure, form: str) -> str:
    """Format the range; empty for a single value."""
    return f" ({figure.low:{form}} to {figure.high:{form}})" if figure.values > 1 else ""


def recall(right: Mapping[str, Any]) -> str:
    """Format recall as a percentage that reaches 100 only if nothing is lost."""
    if right["had"] == right["shown"]:
        return "100 %"
    return f"{min(99.99, 100 * right['recall']):.2f} %"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    return "\n".join(lines)
