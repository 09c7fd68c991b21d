"""Load readings, conditions, warnings and every other table as pandas tables, in one line.

    from flood_assets.notebook import load_readings
    load_readings(river="River Thames", parameter="level", last="3h", joined=True)

No Dagster needs to run or to be set up. Each loader asks the question of the same name in `flood_assets.query`, which
explains its arguments and answers in Arrow. All arguments are keywords, and two may be left out here: `lake` (a URL, a
path, an open `Lake` or a `LakeResource`), which is then $FLOOD_LAKE_URL, else ./lake; and `now`, which is then
$FLOOD_NOW, else this machine's time.

In pandas times are datetime64[ms, UTC], dates datetime64, text is `str`, whole numbers that may be missing are Int32,
and quality flags int8.

What does not fit into memory is a dask DataFrame: `load_readings(engine="dask")` has the same columns and dtypes, and
each partition, some hours of one shard (with `flags`, the whole shard), is read when it is computed. Partitions are in
order of time, and those of several shards unordered among each other. What is damaged or away by then is an error: it
is found by the process that computes, which opens the lake by its URL, and a bucket with credentials of its own.

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
from flood_assets.query.parts import Part, Parts, readings_in_parts
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


def _loader(
    question: Callable[..., query.Result], in_parts: Callable[..., Parts] | None = None
) -> "Callable[..., pd.DataFrame]":
    """Return a loader that asks a question with the defaults of the settings, warns of its notes and gives pandas.

    With `in_parts`, which gives its answer in parts, the loader takes `engine="dask"`.
    """

    def load(
        *, lake: LakePlace | None = None, now: Moment | None = None, engine: str = "pandas", **wanted: Any
    ) -> "pd.DataFrame":
        here, at = lake or settings.lake_url(), settings.now() if now is None else now
        if (in_parts is None and engine != "pandas") or engine not in ("pandas", "dask"):
            known = "'pandas'" if in_parts is None else "'pandas' or 'dask'"
            raise ValueError(f"engine is '{engine}': expected {known}")
        found = question(here, at, **wanted) if in_parts is None or engine == "pandas" else in_parts(here, at, **wanted)
        for note in found.notes:
            warnings.warn(note, NothingFoundWarning, stacklevel=2)
        return _with_dask(found) if isinstance(found, Parts) else to_pandas(found.rows)

    load.__name__ = load.__qualname__ = f"load_{question.__name__}"
    load.__doc__ = question.__doc__
    # For help() and completion: the question's keywords, each gauge filter by its name, then what may be left out.
    signature = inspect.signature(load)
    *defaults, engine, _ = signature.parameters.values()
    _, _, *own = inspect.signature(question).parameters.values()
    of_gauges = bool(own) and own[-1].kind is inspect.Parameter.VAR_KEYWORD
    own = own[:-1] if of_gauges else own
    chosen = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Texts | None)
        for name in (FILTERS if of_gauges else ())
    ]
    last = [*defaults, engine] if in_parts is not None else defaults
    load.__signature__ = signature.replace(parameters=[*own, *chosen, *last])  # type: ignore[attr-defined]
    return load


def _with_dask(found: Parts) -> "pd.DataFrame":
    """Return a dask DataFrame, which reads each part when it is computed."""
    try:
        import dask  # noqa: PLC0415 - few need it
        import dask.dataframe as dd  # noqa: PLC0415
    except ImportError as error:
        raise ImportError('engine="dask" needs dask: run `pip install "flood-assets[dask]"`') from error
    make: Any = dd
    nothing = to_pandas(found.schema.empty_table())
    # Text would be of another dtype than in pandas.
    with dask.config.set({"dataframe.convert-string": False}):
        frame: pd.DataFrame = (
            make.from_map(_part, found.parts, meta=nothing, label="readings")
            if found.parts
            else make.from_pandas(nothing, npartitions=1)
        )
    return frame


def _part(part: Part) -> "pd.DataFrame":
    return to_pandas(part.rows())


load_readings = _loader(query.readings, in_parts=readings_in_parts)
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
