"""Encode readings as the Environment Agency's API does, in CSV and JSON. Pure.

Rows are put together from columns of text by Arrow, some ten thousand at a time: half a million readings take a second
and are never in memory at once.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Ints
from flood_assets.serve.dialects.ea_items import Gauges, csv_row
from flood_assets.serve.formats import text_of
from flood_assets.serve.snapshot import Day

HEADER = ("dateTime", "measure", "value")
FULL_HEADER = (
    "dateTime", "date", "measure", "station", "label", "stationReference", "parameter", "qualifier", "datumType",
    "period", "unitName", "valueType", "value",
)  # fmt: skip

_ROWS = 1 << 15


class Texts(NamedTuple):
    """The columns of a day's readings as texts, one for each distinct value; kept with the day.

    Attributes:
        date: of each time, by the codes of `Day.coded`.
        clock: likewise; `HH:MM:SSZ`.
        csv: of each value, by the codes of `Day.coded`.
        json: likewise, with the name before it; empty without a value.
        raw_csv: of each text that stands for a value.
        raw_json: likewise; several values are a list.
        until: they hold as long as the day.
    """

    date: pa.Array
    clock: pa.Array
    csv: pa.Array
    json: pa.Array
    raw_csv: pa.Array
    raw_json: pa.Array
    until: datetime

    @classmethod
    def of(cls, day: Day, until: datetime) -> "Texts":
        """Return the texts of a day."""
        times = [text.strip('"') for text in day.coded["date_time"].texts.tolist()]
        values = ["" if text == "null" else text for text in day.coded["value"].texts.tolist()]
        raws = ["" if text == "null" else json.loads(text) for text in day.coded["raw_value"].texts.tolist()]
        return cls(
            _texts([text[:10] for text in times]),
            _texts([text[11:] for text in times]),
            _texts(values),
            _texts([f',"value":{text}' if text else "" for text in values]),
            _texts([csv_row([text]) for text in raws]),
            _texts([_several(text) for text in raws]),
            until,
        )


@dataclass(frozen=True)
class Readings:
    """Some readings of a day, in the order of the answer.

    Attributes:
        day: the day.
        places: theirs in it.
        texts: those of the day.
        gauges: what is said of their measures.
    """

    day: Day
    places: Ints
    texts: Texts
    gauges: Gauges

    def count(self) -> Ints:
        """Return how many values each has, of which the API's limits count each."""
        coded = self.day.coded["raw_value"]
        several = np.array([1 + json.loads(text).count("|") if text != "null" else 1 for text in coded.texts.tolist()])
        found: Ints = several[coded.codes[self.places]]
        return found

    def csv(self, *, full: bool) -> Iterator[bytes]:
        """Yield rows with a header; the full ones have thirteen columns."""
        yield ",".join(FULL_HEADER if full else HEADER).encode() + b"\r\n"
        between = self.gauges.csv_full if full else self.gauges.csv

        def columns(at: Ints) -> list[pa.Array | str]:
            date, clock = self._moments(at)
            middle = between.take(pa.array(self.day.measure[at]))
            value = self._values(at, self.texts.csv, self.texts.raw_csv)
            return [date, "T", clock, *([",", date] if full else []), middle, value, "\r\n"]

        yield from map(text_of, self._chunks(columns))

    def json(self, *, full: bool) -> Iterator[bytes]:
        """Yield the items of a list, with commas between them."""
        comma = 1
        for chunk in map(text_of, self._items(dated=full, full=full)):
            yield chunk[comma:]
            comma = 0

    def items(self) -> list[str]:
        """Return each as a single item, which has a date."""
        return [text[1:] for chunk in self._items(dated=True, full=False) for text in chunk.to_pylist()]

    def _items(self, *, dated: bool, full: bool) -> Iterator[pa.Array]:
        """Yield items, each preceded by a comma."""
        between = self.gauges.json_full if full else self.gauges.json

        def columns(at: Ints) -> list[pa.Array | str]:
            date, clock = self._moments(at)
            measure = pa.array(self.day.measure[at])
            start, dashed = self.gauges.json_start.take(measure), pc.replace_substring(clock, ":", "-")
            value = self._values(at, self.texts.json, self.texts.raw_json)
            day = ['"date":"', date, '",'] if dated else []
            when = ['"dateTime":"', date, "T", clock, '","measure":']
            return [start, date, "T", dashed, '",', *day, *when, between.take(measure), value, "}"]

        return self._chunks(columns)

    def _moments(self, at: Ints) -> tuple[pa.Array, pa.Array]:
        code = pa.array(self.day.coded["date_time"].codes[at])
        return self.texts.date.take(code), self.texts.clock.take(code)

    def _values(self, at: Ints, plain: pa.Array, raw: pa.Array) -> pa.Array:
        """Return the text of each value; the API's own where a number does not tell it all."""
        number = plain.take(pa.array(self.day.coded["value"].codes[at]))
        codes = self.day.coded["raw_value"]
        code = codes.codes[at]
        has = code < len(codes.texts) - 1
        return pc.if_else(pa.array(has), raw.take(pa.array(code)), number) if has.any() else number

    def _chunks(self, columns: Callable[[Ints], list[pa.Array | str]]) -> Iterator[pa.Array]:
        for start in range(0, len(self.places), _ROWS):
            yield pc.binary_join_element_wise(*columns(self.places[start : start + _ROWS]), "")


def _texts(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.string())


def _several(text: str) -> str:
    """Return the JSON of several values, with their name before it."""
    if not text:
        return ""
    found = [_number(part) for part in text.split("|")]
    return f',"value":{json.dumps(found if len(found) > 1 else found[0])}'


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if np.isfinite(number) else text
