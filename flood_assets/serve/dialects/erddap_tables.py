"""The datasets that are served as ERDDAP serves them: their variables, the rows of a query, and their formats."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flood_assets.grouping import Flags, Ints
from flood_assets.query.filters import Span
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets.serve import asked, formats, tables
from flood_assets.serve.dialects import erddap_query
from flood_assets.serve.dialects.erddap_query import Constraint, Query, QueryError
from flood_assets.serve.snapshot import Snapshot

# The standard's names of these columns.
RENAMED = {"date_time": "time", "lat": "latitude", "long": "longitude"}
EPOCH = "seconds since 1970-01-01T00:00:00Z"
FILES = ("csv", "csvp", "csv0", "json", "parquet")

_ROWS = 1 << 15
_OF_STATION, _OF_MEASURE = ("label", "river", "lat", "long"), ("parameter", "qualifier", "unit")
# Columns that each reading has for itself; all others are its gauge's.
_OWN = ("date_time", "value", "raw_value", "first_seen_at", "changed_at", "previous_value", "revision")
_UNITS = {"time": "UTC", "latitude": "degrees_north", "longitude": "degrees_east"}


class Variable(NamedTuple):
    """A variable: its name, ERDDAP's and DAP's type, meaning and units, and the column that it is."""

    name: str
    kind: str
    dap: str
    meaning: str
    units: str
    column: str

    @property
    def is_time(self) -> bool:
        """True for a time, which is text in CSV and JSON, and seconds since 1970 for constraints."""
        return self.units == "UTC"


@dataclass(frozen=True)
class Dataset:
    """A dataset: its title, summary, and the places of its readings among those of some measures."""

    title: str
    summary: str
    places: Callable[[Snapshot, Ints | None, datetime], tuple[Ints, datetime | None]]


def _newest(snapshot: Snapshot, codes: Ints | None, now: datetime) -> tuple[Ints, datetime | None]:
    found = tables.newest(snapshot, now)
    if codes is not None:
        found = found[np.isin(snapshot.day.measure[found], codes)]
    return found, tables.latest(snapshot, asked.Joined(), now).until


DATASETS = {
    "flood_readings": Dataset(
        "River, tide, rain and groundwater readings of the last 24 hours, England",
        "Every reading of the last 24 hours of every gauge in England. This uses Environment Agency flood and river "
        "level data from the real-time data API (Beta).",
        lambda snapshot, codes, now: tables.retained(snapshot, codes, Span(), now),
    ),
    "flood_latest": Dataset(
        "Newest river, tide, rain and groundwater readings, England",
        "The newest reading of each gauge in England that has one in the last 24 hours. This uses Environment Agency "
        "flood and river level data from the real-time data API (Beta).",
        _newest,
    ),
}


def _variables() -> dict[str, Variable]:
    columns = {each.name: each for each in (*STATIONS.columns, *MEASURES.columns, *READINGS.columns)}
    names = ("measure_id", "station_id", *_OF_STATION, *_OF_MEASURE, *_OWN)
    found = {}
    for each in (columns[name] for name in names):
        name = RENAMED.get(each.name, each.name)
        kind, dap = ("String", "String")
        if pa.types.is_floating(each.type) or pa.types.is_timestamp(each.type):
            kind, dap = "double", "Float64"
        elif pa.types.is_integer(each.type):
            kind, dap = "int", "Int32"
        units = "UTC" if pa.types.is_timestamp(each.type) else _UNITS.get(name, "")
        found[name] = Variable(name, kind, dap, each.meaning, units, each.name)
    return found


VARIABLES = _variables()


@dataclass(frozen=True)
class Rows:
    """The rows of an answer, part by part.

    Attributes:
        variables: of the columns.
        count: how many rows.
        part: gives the rows from one to another.
        until: until when the same query has them, as long as the snapshot stays the same.
    """

    variables: Sequence[Variable]
    count: int
    part: Callable[[int, int], pa.Table]
    until: datetime | None

    def parts(self) -> Iterator[pa.Table]:
        """Yield all rows, some ten thousand at a time."""
        for start in range(0, self.count, _ROWS):
            yield self.part(start, min(start + _ROWS, self.count))


def rows(snapshot: Snapshot, name: str, query: Query, now: datetime) -> Rows:
    """Return the rows of a dataset that a query asks for; QueryError if it has unknown variables or values."""
    known = [known_variable(each) for each in query.names] or [*VARIABLES.values()]
    gauges = snapshot.kept("erddap gauges", snapshot.taken_at, lambda: _Gauges.of(snapshot)).rows
    places, until = _matching(snapshot, gauges, name, query, now)

    def taken(which: Ints, variables: Sequence[Variable]) -> pa.Table:
        return _taken(snapshot, gauges, which, variables)

    if query.distinct:
        if all(each.column not in _OWN for each in known):
            # One row of each gauge is enough.
            places = places[np.unique(snapshot.day.measure[places], return_index=True)[1]]
        found = taken(places, known)
        found = found.group_by(found.column_names).aggregate([]).select(found.column_names)
        found = found.sort_by([(each, "ascending") for each in found.column_names])
        if query.order is not None:
            keys = found.select([each.name for each in _ordering(query, known)])
            found = found.take(_ordered(keys, query.order[0]))
        return Rows(known, len(found), lambda start, end: found.slice(start, end - start), until)
    if query.order is not None:
        places = places[_ordered(taken(places, _ordering(query, known)), query.order[0]).to_numpy()]
    return Rows(known, len(places), lambda start, end: taken(places[start:end], known), until)


def _matching(
    snapshot: Snapshot, gauges: pa.Table, name: str, query: Query, now: datetime
) -> tuple[Ints, datetime | None]:
    """Return the places of the readings that meet all constraints, and until when they are these."""
    own, of_gauge = list[Constraint](), list[Constraint]()
    for each in query.constraints:
        (own if known_variable(each.name).column in _OWN else of_gauge).append(each)

    def extreme(which: str, of: str) -> float:
        """Return the least or the greatest value of a variable in the dataset."""
        variable = known_variable(of)
        if variable.kind == "String":
            raise QueryError(f"{which}({of}) is no number: {of} is a text")
        every = DATASETS[name].places(snapshot, None, now)[0]
        found = pc.min_max(_taken(snapshot, gauges, every, [variable])[of])[which].as_py()
        return math.nan if found is None else found.timestamp() if isinstance(found, datetime) else float(found)

    fits: Flags = np.ones(len(gauges), np.bool_)
    for each in of_gauge:
        fits &= _fits(gauges[known_variable(each.name).column], each, now, extreme)
    places, until = DATASETS[name].places(snapshot, np.flatnonzero(fits) if of_gauge else None, now)
    for each in own:
        column = snapshot.day.rows[known_variable(each.name).column].take(pa.array(places))
        places = places[_fits(column, each, now, extreme)]
    return places, now if query.is_relative else until


class _Gauges(NamedTuple):
    rows: pa.Table
    until: datetime

    @classmethod
    def of(cls, snapshot: Snapshot) -> "_Gauges":
        """Return what is known of each measure, by code."""
        listed, station = (pa.array(each, mask=each < 0) for each in (snapshot.listed, snapshot.station))
        columns = {"measure_id": snapshot.ids, "station_id": pa.array(snapshot.station_ids, pa.string())}
        columns |= {name: snapshot.stations[name].take(station) for name in _OF_STATION}
        columns |= {name: snapshot.measures[name].take(listed) for name in _OF_MEASURE}
        return cls(pa.table(columns).combine_chunks(), tables.FOREVER)


def _taken(snapshot: Snapshot, gauges: pa.Table, places: Ints, variables: Sequence[Variable]) -> pa.Table:
    at, measure = pa.array(places), pa.array(snapshot.day.measure[places])
    columns = {}
    for each in variables:
        own = each.column in _OWN
        columns[each.name] = (snapshot.day.rows if own else gauges)[each.column].take(at if own else measure)
    return formats.plain(pa.table(columns))


def known_variable(name: str) -> Variable:
    """Return a variable; QueryError for an unknown one."""
    found = VARIABLES.get(name)
    if found is None:
        raise QueryError(f'Unrecognized variable="{name[:80]}": there are {", ".join(VARIABLES)}')
    return found


def _ordering(query: Query, known: Sequence[Variable]) -> list[Variable]:
    name, names = query.order or ("", ())
    for each in names:
        if known_variable(each) not in known:
            raise QueryError(f"{name} variable={each} isn't in the list of results variables")
    return [known_variable(each) for each in names]


def _ordered(keys: pa.Table, how: str) -> pa.Array:
    """Return the places of rows in order; with orderByMax, for each of all variables but the last, its greatest row."""
    direction = "descending" if how == "orderByDescending" else "ascending"
    order = pc.sort_indices(keys, sort_keys=[(name, direction) for name in keys.column_names])
    if how in ("orderBy", "orderByDescending"):
        return order
    # Nothing is neither the greatest nor the least.
    order = order.filter(keys.columns[-1].take(order).is_valid())
    begins = np.ones(len(order), np.bool_)
    begins[1:] = False
    for column in keys.columns[:-1]:
        code = column.combine_chunks().dictionary_encode(null_encoding="encode").indices.take(order).to_numpy()
        begins[1:] |= code[1:] != code[:-1]
    first = np.flatnonzero(begins)
    at = np.append(first[1:], len(order))[: len(first)] - 1 if how == "orderByMax" else first
    return order.take(pa.array(at))


def _fits(column: Any, each: Constraint, now: datetime, extreme: Callable[[str, str], float]) -> Flags:
    """Return a mask of the rows that meet a constraint; nothing is NaN, and of texts the empty one."""
    variable = known_variable(each.name)
    if variable.kind == "String":
        if not each.quoted:
            raise QueryError(
                "For constraints of String variables, the right-hand-side value must be surrounded by double quotes. "
                f"Bad constraint: {each.shown}"
            )
        text = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        return np.asarray(_compared(pc.fill_null(text, ""), each), np.bool_)
    if each.operator == "=~":
        raise QueryError(f"=~ is for String variables: {each.shown}")
    if variable.is_time:
        wanted = erddap_query.moment(each, now, extreme)
        numbers = column.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy() / 1000
    else:
        wanted = erddap_query.number(each, extreme)
        numbers = column.cast(pa.float64()).to_numpy()
    if math.isnan(wanted):
        nothing = np.isnan(numbers)
        if each.operator in ("=", "!="):
            return np.asarray(nothing if each.operator == "=" else ~nothing, np.bool_)
        return np.zeros(len(numbers), np.bool_)
    return np.asarray(_NUMERIC[each.operator](numbers, wanted), np.bool_)


_NUMERIC: dict[str, Callable[[Any, float], Any]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_TEXTUAL: dict[str, Callable[[Any, str], Any]] = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def _compared(texts: Any, each: Constraint) -> Any:
    if each.operator != "=~":
        return _TEXTUAL[each.operator](texts, each.value)
    try:
        return pc.match_substring_regex(texts, f"^(?:{each.value})$")
    except pa.ArrowInvalid as error:
        raise QueryError(f"Invalid regular expression in {each.shown}: {str(error)[:120]}") from None


# ---- formats


def csv(found: Rows, form: str) -> Iterator[bytes]:
    """Yield CSV; `csv` has a second line with units, `csvp` has them beside the names, `csv0` has no names."""
    names, units = [each.name for each in found.variables], [each.units for each in found.variables]
    if form == "csv":
        yield f"{','.join(names)}\n{','.join(units)}\n".encode()
    elif form == "csvp":
        titles = [f"{name} ({unit})" if unit else name for name, unit in zip(names, units, strict=True)]
        yield f"{','.join(titles)}\n".encode()
    for part in found.parts():
        lines = pc.binary_join_element_wise(*(_csv_texts(column) for column in part.columns), ",")
        yield formats.text_of(pc.binary_join_element_wise(lines, "\n", ""))


def _csv_texts(column: pa.ChunkedArray) -> pa.Array:
    """Return cells as text; each distinct one is written once."""
    coded = column.combine_chunks().dictionary_encode()
    values = coded.dictionary
    if pa.types.is_timestamp(values.type):
        texts, nothing = formats.times(pa.chunked_array([values])), ""
    elif pa.types.is_string(values.type):
        texts, nothing = [quoted(text) for text in values.to_pylist()], ""
    else:
        texts, nothing = [repr(value) for value in values.to_pylist()], "NaN"
    return pc.fill_null(pa.array(texts, pa.string()).take(coded.indices), nothing)


def quoted(text: str) -> str:
    """Return a cell of CSV, between quotes where it needs them."""
    return '"{}"'.format(text.replace('"', '""')) if any(each in text for each in '",\n\r') else text


def json_table(found: Rows) -> Iterator[bytes]:
    """Yield the rows as ERDDAP's JSON: names, types, units and a list of lists."""
    said = {
        "columnNames": [each.name for each in found.variables],
        "columnTypes": ["String" if each.is_time else each.kind for each in found.variables],
        "columnUnits": [each.units or None for each in found.variables],
    }
    yield f'{{"table":{json.dumps(said)[:-1]},"rows":['.encode()
    comma = ""
    for part in found.parts():
        coded = [formats.Coded.of(column) for column in part.columns]
        cells = zip(*(each.texts[each.codes].tolist() for each in coded), strict=True)
        yield (comma + ",\n".join(f"[{','.join(row)}]" for row in cells)).encode()
        comma = ",\n"
    yield b"]}}\n"


def parquet(found: Rows) -> bytes:
    """Return the rows as a Parquet file, in which times are times."""
    sink, first = pa.BufferOutputStream(), found.part(0, 0)
    with pq.ParquetWriter(sink, first.schema, compression="zstd") as writer:
        for part in found.parts():
            writer.write_table(part)
    data: bytes = sink.getvalue().to_pybytes()
    return data
