"""Ask the questions of `flood_assets.query`: answers come in pandas, and each note must be expected."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from flood_assets import query
from flood_assets.notebook import to_pandas
from flood_assets_tests.support.seven_gauges import NOW

# The lake that is asked unless a test names another; the conftest of `flood_assets_tests.query` fills it.
DEFAULT: list[Path] = []
_notes: list[str] | None = None


@contextmanager
def told(*expected: str) -> Iterator[None]:
    """Exactly one note for each of the given texts, which it contains."""
    global _notes  # noqa: PLW0603 - questions are asked one after the other
    _notes = []
    try:
        yield
        assert len(_notes) == len(expected), _notes
        for note, text in zip(_notes, expected, strict=True):
            assert text in note
    finally:
        _notes = None


def _asking(question: Callable[..., query.Result]) -> Callable[..., Any]:
    def ask(*, lake: Any = None, now: Any = NOW, arrow: bool = False, **wanted: Any) -> Any:
        result = question(lake or DEFAULT[0], now, **wanted)
        if _notes is None:
            assert result.notes == []
        else:
            _notes.extend(result.notes)
        return result.rows if arrow else to_pandas(result.rows)

    return ask


ask_readings = _asking(query.readings)
ask_changes = _asking(query.changes)
ask_completeness = _asking(query.completeness)
ask_timeliness = _asking(query.timeliness)
ask_conditions = _asking(query.conditions)
ask_stations = _asking(query.stations)
ask_measures = _asking(query.measures)


def ids(frame: pd.DataFrame, name: str = "measure_id") -> set[str]:
    return set(frame[name])
