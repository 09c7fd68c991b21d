"""Load readings, conditions, warnings and every other table as pandas tables, in one line.

    from flood_assets.notebook import load_readings
    load_readings(river="River Thames", parameter="level", last="3h", joined=True)

No Dagster needs to run or to be set up. Each loader asks the question of the same name in `flood_assets.query`, which
explains its arguments and answers in Arrow. All arguments are keywords, and two may be left out here: `lake` (a URL, a
path, an open `Lake` or a `LakeResource`), which is then $FLOOD_LAKE_URL, else ./lake; and `now`, which is then
$FLOOD_NOW, else this machine's time.

In pandas times are datetime64[ms, UTC], dates datetime64, text is `str`, whole numbers that may be missing are Int32,
and quality flags int8.

An answer that is empty, or not quite what was asked for, is no error: it has its columns, and a `NothingFoundWarning`
says why and what to do. Wrong arguments are errors.
"""

import inspect
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from flood_assets import query, settings
from flood_assets.query.filters import FILTERS, Moment, Texts
from flood_assets.query.place import LakePlace

if TYPE_CHECKING:
    import pandas as pd


class NothingFoundWarning(UserWarning):
    """The answer is empty, holds less than was asked for, or was found by words; the message says so and what to do."""


def to_pandas(rows: pa.Table) -> "pd.DataFrame":
    """Return the rows in pandas: text as `str`, dates as datetime64, whole numbers that may be missing as Int32."""
    import pandas as pd  # noqa: PLC0415 - a run of the assets never needs it

    frame: pd.DataFrame = rows.to_pandas(date_as_object=False)
    for column in rows.schema:
        if column.type == pa.int32() and column.nullable:
            frame[column.name] = rows[column.name].to_pandas(types_mapper={pa.int32(): pd.Int32Dtype()}.get)
    return frame


def _loader(question: Callable[..., query.Result]) -> "Callable[..., pd.DataFrame]":
    """Return a loader that asks a question with the defaults of the settings, warns of its notes and gives pandas."""

    def load(*, lake: LakePlace | None = None, now: Moment | None = None, **wanted: Any) -> "pd.DataFrame":
        result = question(lake or settings.lake_url(), settings.now() if now is None else now, **wanted)
        for note in result.notes:
            warnings.warn(note, NothingFoundWarning, stacklevel=2)
        return to_pandas(result.rows)

    load.__name__ = load.__qualname__ = f"load_{question.__name__}"
    load.__doc__ = question.__doc__
    # For help() and completion: the question's keywords, each gauge filter by its name, then what may be left out.
    signature = inspect.signature(load)
    *defaults, _ = signature.parameters.values()
    _, _, *own = inspect.signature(question).parameters.values()
    of_gauges = bool(own) and own[-1].kind is inspect.Parameter.VAR_KEYWORD
    own = own[:-1] if of_gauges else own
    chosen = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Texts | None)
        for name in (FILTERS if of_gauges else ())
    ]
    load.__signature__ = signature.replace(parameters=[*own, *chosen, *defaults])  # type: ignore[attr-defined]
    return load


load_readings = _loader(query.readings)
load_changes = _loader(query.changes)
load_completeness = _loader(query.completeness)
load_timeliness = _loader(query.timeliness)
load_conditions = _loader(query.conditions)
load_stations = _loader(query.stations)
load_measures = _loader(query.measures)
load_alerts = _loader(query.alerts)
load_warnings = _loader(query.warnings)
load_warning_areas = _loader(query.warning_areas)
load_station_areas = _loader(query.station_areas)
