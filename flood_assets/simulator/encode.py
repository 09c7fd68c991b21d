"""Encode readings as CSV rows and JSON items, tens of thousands at a time.

A row is assembled from fixed-width columns of bytes (a measure's URI and so on), padded with zeros; then all zeros are
dropped at once. That is some fifty times as fast as formatting row by row, so a national day is answered in a second.
`api` decides which readings an answer holds.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from flood_assets.simulator.arrivals import NONE
from flood_assets.simulator.chance import Bools, Ints
from flood_assets.simulator.country import Rows
from flood_assets.simulator.network import ROOT, Block, Kind

Bytes = npt.NDArray[np.uint8]

HEADER = ("dateTime", "measure", "value")
FULL_HEADER = (
    "dateTime", "date", "measure", "station", "label", "stationReference", "parameter", "qualifier", "datumType",
    "period", "unitName", "valueType", "value",
)  # fmt: skip

_ROWS = 8192  # rows at a time: the columns fit in the processor's cache


def column(texts: Sequence[str]) -> Bytes:
    """Return texts as rows of bytes, padded with zeros."""
    made = np.array([text.encode() for text in texts] or [b""])
    width = max(made.dtype.itemsize, 1)
    return made.astype(f"S{width}").view(np.uint8).reshape(made.size, width)


@lru_cache
def _clock(colon: str) -> Bytes:
    """Return `HH:MM:SSZ` for each second of a day."""
    second = np.arange(86400)
    parts = (second // 36000, second // 3600 % 10, second // 600 % 6, second // 60 % 10, second // 10 % 6, second % 10)
    hours, colons = np.stack(parts, axis=1).astype(np.uint8) + 48, np.full((86400, 1), ord(colon), dtype=np.uint8)
    zone = np.full((86400, 1), ord("Z"), dtype=np.uint8)
    return np.concatenate([hours[:, :2], colons, hours[:, 2:4], colons, hours[:, 4:], zone], axis=1)


def _dates(day: Ints) -> Bytes:
    """Return `YYYY-MM-DD` for days since 1970."""
    days, row = np.unique(day, return_inverse=True)
    return column([str(d) for d in days.astype("datetime64[D]")])[row]


@lru_cache
def _wholes(padded: bool) -> Bytes:
    """Return the integers below 10,000 as text, with or without leading zeros."""
    return column([f"{n:04d}" if padded else str(n) for n in range(10_000)])


@lru_cache
def _decimals(as_json: bool) -> Bytes:
    """Return the fraction as text, indexed by thousandths; from index 1000 on for rain, which CSV rounds to a tenth."""
    if as_json:
        return column([f"{n / 1000}"[1:] for n in range(1000)] * 2)
    return column([f".{n:03d}" for n in range(1000)] + [f".{n // 100}" for n in range(1000)])


def _numbers(value: Ints, coarse: Bools, as_json: bool) -> Bytes:
    """Return values in thousandths as text; empty for `NONE`."""
    size = np.where(value == NONE, 0, np.abs(value))
    whole = size // 1000
    tail = size - whole * 1000 + 1000 * coarse
    sign = np.where(value < 0, ord("-"), 0).astype(np.uint8)[:, None]
    parts = [sign, _wholes(padded=False)[whole % 10_000], _decimals(as_json)[tail]]
    large = np.flatnonzero(whole >= 10_000)
    if large.size:
        parts[1][large] = _wholes(padded=True)[whole[large] % 10_000]
        parts.insert(1, np.where(whole[:, None] >= 10_000, _wholes(padded=False)[whole // 10_000 % 10_000], 0))
    text = np.concatenate(parts, axis=1)
    text[value == NONE] = 0
    return text


@dataclass(frozen=True)
class Texts:
    """Per-measure texts that are the same in every row, for the measures of one block."""

    block: Block

    @cached_property
    def coarse(self) -> Bools:
        """Mask of measures that CSV rounds to a tenth."""
        return np.isin(self.block.signals.kind, (Kind.RAIN, Kind.TIP, Kind.RAIN_TOTAL))

    @cached_property
    def uris(self) -> Bytes:
        """`,URI,` for CSV."""
        return column([f",{m.item['@id']}," for m in self.block.measures])

    @cached_property
    def notations(self) -> Bytes:
        """`,notation,` for truth.csv."""
        return column([f",{m.notation}," for m in self.block.measures])

    @cached_property
    def descriptions(self) -> Bytes:
        """Columns between date and value in the full CSV."""
        return column([f",{_cells(self._description(i))}," for i in range(len(self.block.measures))])

    def _description(self, place: int) -> list[str]:
        measure = self.block.measures[place]
        if self.block.signals.unlisted[place]:
            return [measure.item["@id"], *[""] * 9]
        station = self.block.stations[measure.station].item
        item = {**measure.item, "measure": measure.item["@id"], "label": station["label"]}
        return [str(item.get(name, "")) for name in FULL_HEADER[2:-1]]

    @cached_property
    def ids(self) -> Bytes:
        """Start of a JSON item, up to the time in its `@id`."""
        return column([f',\n{{"@id":"{ROOT}/data/readings/{m.notation}/' for m in self.block.measures])

    @cached_property
    def links(self) -> Bytes:
        """Measure of a JSON item as a URI."""
        return column([f'","measure":"{m.item["@id"]}"' for m in self.block.measures])

    @cached_property
    def objects(self) -> Bytes:
        """Measure of a JSON item as an object."""
        return column([f'","measure":{json.dumps(self._object(i))}' for i in range(len(self.block.measures))])

    def _object(self, place: int) -> dict[str, Any]:
        measure = self.block.measures[place]
        if self.block.signals.unlisted[place]:
            return {"@id": measure.item["@id"]}
        shown = ("@id", "datumType", "parameter", "period", "qualifier")
        station = self.block.stations[measure.station].item
        return {
            **{k: measure.item[k] for k in shown if k in measure.item},
            "station": {"@id": station["@id"], "label": station["label"]},
            **{k: measure.item[k] for k in ("stationReference", "unitName", "valueType")},
        }


def _cells(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def _fixed(text: str) -> Bytes:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def csv_rows(texts: Texts, rows: Rows, full: bool = False) -> Iterator[bytes]:
    """Yield `dateTime,measure,value` rows, or rows of thirteen columns, ending in CRLF."""

    def parts(part: Rows) -> list[Bytes]:
        day = part.time // 86400
        date = _dates(day)
        moment = [date, _fixed("T"), _clock(":")[part.time - day * 86400]]
        if full:
            return [*moment, _fixed(","), date, texts.descriptions[part.measure], *values(texts, part), _fixed("\r\n")]
        return [*moment, texts.uris[part.measure], *values(texts, part), _fixed("\r\n")]

    return _joined(rows, parts)


def truth_rows(texts: Texts, rows: Rows) -> Iterator[bytes]:
    """Yield rows with the measure's notation instead of its URI, ending in LF."""

    def parts(part: Rows) -> list[Bytes]:
        day = part.time // 86400
        moment = [_dates(day), _fixed("T"), _clock(":")[part.time - day * 86400]]
        return [*moment, texts.notations[part.measure], *values(texts, part), _fixed("\n")]

    return _joined(rows, parts)


def values(texts: Texts, rows: Rows) -> list[Bytes]:
    """Return the value column of CSV: a number, nothing, or two numbers separated by a bar."""
    first = _numbers(rows.value, texts.coarse[rows.measure], as_json=False)
    two = rows.second != NONE
    if not two.any():
        return [first]
    second = _numbers(rows.second, texts.coarse[rows.measure], as_json=False)
    return [first, np.where(two, ord("|"), 0).astype(np.uint8)[:, None], second]


def json_items(texts: Texts, rows: Rows, full: bool = False) -> Iterator[bytes]:
    """Yield the items of a list, each preceded by a comma and a line feed."""

    def parts(part: Rows) -> list[Bytes]:
        day = part.time // 86400
        second = part.time - day * 86400
        date = _dates(day)
        between = [_fixed('","date":"'), date, _fixed('","dateTime":"')] if full else [_fixed('","dateTime":"')]
        measure = (texts.objects if full else texts.links)[part.measure]
        return [
            texts.ids[part.measure], date, _fixed("T"), _clock("-")[second], *between,
            date, _fixed("T"), _clock(":")[second], measure, *_json_values(part), _fixed("}"),
        ]  # fmt: skip

    return _joined(rows, parts)


def _json_values(rows: Rows) -> list[Bytes]:
    """Return `,"value":1.2`, a list of two values, or nothing."""
    even = np.zeros(rows.value.size, dtype=np.bool_)
    name = np.tile(_fixed(',"value":'), (rows.value.size, 1))
    name[rows.value == NONE] = 0
    first = _numbers(rows.value, even, as_json=True)
    two = rows.second != NONE
    if not two.any():
        return [name, first]
    watermarks = {watermark: np.where(two, ord(watermark), 0).astype(np.uint8)[:, None] for watermark in "[,]"}
    return [name, watermarks["["], first, watermarks[","], _numbers(rows.second, even, as_json=True), watermarks["]"]]


def _joined(rows: Rows, parts: Callable[[Rows], list[Bytes]]) -> Iterator[bytes]:
    for start in range(0, rows.time.size, _ROWS):
        some = rows.take(slice(start, start + _ROWS))
        columns = parts(some)
        matrix = np.empty((some.time.size, sum(c.shape[-1] for c in columns)), dtype=np.uint8)
        at = 0
        for each in columns:
            matrix[:, at : at + each.shape[-1]] = each
            at += each.shape[-1]
        yield matrix[matrix != 0].tobytes()


def moment(time: int) -> str:
    """Format a time as the API writes it."""
    return str(np.datetime64(time, "s")) + "Z"


def reading(notation: str, time: int, value: int, second: int) -> dict[str, Any]:
    """Return one reading as a list item, with its date."""
    at = moment(time)
    item: dict[str, Any] = {
        "@id": f"{ROOT}/data/readings/{notation}/{at.replace(':', '-')}",
        "date": at[:10],
        "dateTime": at,
        "measure": f"{ROOT}/id/measures/{notation}",
    }
    if value != NONE:
        item["value"] = value / 1000 if second == NONE else [value / 1000, second / 1000]
    return item


def table(names: Sequence[str], items: Sequence[dict[str, Any]]) -> bytes:
    """Yield items other than readings as CSV rows; several values of a cell are joined with a bar."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for item in items:
        cells = [item.get(name, "") for name in names]
        writer.writerow(["|".join(map(str, c)) if isinstance(c, list) else c for c in cells])
    return out.getvalue().encode()
