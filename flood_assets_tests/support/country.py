"""Run a simulated country in a process of its own, control its clock and faults, and compare lakes with its truth."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.request import Request, urlopen

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from flood_assets.lake.lake import Lake
from flood_assets.partitions import RETENTION
from flood_assets.schemas import READINGS, TIME

KEY = ["measure_id", "date_time"]


@dataclass(frozen=True)
class Difference:
    """Difference between a lake's retained day and the API.

    Attributes:
        rows: readings in the lake.
        missing: readings that the API shows and the lake lacks.
        wrong: readings with a different value.
        extra: readings in the lake that the API does not show.
        twice: duplicate rows of one measure and time.
    """

    rows: int
    missing: int
    wrong: int
    extra: int
    twice: int

    @property
    def none(self) -> bool:
        return not (self.missing or self.wrong or self.extra or self.twice)


class Country:
    """Client of the server's control endpoints."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._control = url.replace("/flood-monitoring", "/__simulator")

    def set_clock(self, now: datetime) -> None:
        self._put(f"clock?now={now:%Y-%m-%dT%H:%M:%SZ}")

    def set_faults(self, faults: Sequence[dict[str, Any]]) -> None:
        self._put("faults", json.dumps(faults).encode())

    def take_requests(self) -> int:
        """Return the number of requests since the last call."""
        with urlopen(f"{self._control}/stats") as answer:
            counted = sum(endpoint["requests"] for endpoint in json.load(answer).values())
        self._put("reset")
        return counted

    def compare(self, lake: Lake, now: datetime) -> Difference:
        """Compare the lake with the truth of the day before the clock's time, which must be `now`."""
        shown, held = self._truth(now), _held(lake, now)
        distinct = len(held.group_by(KEY).aggregate([]))
        both = shown.join(held, KEY, join_type="inner")
        same = pc.or_kleene(
            pc.equal(both["shown"], both["held"]), pc.and_(pc.is_null(both["shown"]), pc.is_null(both["held"]))
        )
        return Difference(
            rows=len(held),
            missing=len(shown.join(held, KEY, join_type="left anti")),
            wrong=len(both) - (pc.sum(same).as_py() or 0),
            extra=len(held.join(shown, KEY, join_type="left anti")),
            twice=len(held) - distinct,
        )

    def _truth(self, now: datetime) -> pa.Table:
        span = f"from={now - RETENTION:%Y-%m-%dT%H:%M:%SZ}&to={now:%Y-%m-%dT%H:%M:%SZ}"
        with urlopen(f"{self._control}/truth.csv?{span}") as answer:
            rows = pa.csv.read_csv(
                io.BytesIO(answer.read()),
                convert_options=pa.csv.ConvertOptions(
                    column_types={"measure": pa.string(), "value": pa.string(), "dateTime": pa.string()}
                ),
            )
        ids = pc.replace_substring_regex(rows["measure"], r"^.*/id/measures/", "")
        times = pc.strptime(rows["dateTime"], "%Y-%m-%dT%H:%M:%SZ", "s").cast(pa.timestamp("ms")).cast(TIME)
        return pa.table({"measure_id": ids, "date_time": times, "shown": _comparable(rows["value"].to_pylist())})

    def _put(self, what: str, content: bytes | None = None) -> None:
        urlopen(Request(f"{self._control}/{what}", data=content, method="PUT")).close()


def _held(lake: Lake, now: datetime) -> pa.Table:
    rows = lake.read(READINGS, now=now, columns=[*KEY, "value", "raw_value"])
    raw = rows["raw_value"].to_pylist()
    values = [text if text is not None else number for text, number in zip(raw, rows["value"].to_pylist(), strict=True)]
    return rows.select(KEY).append_column("held", _comparable(values))


def _comparable(values: Sequence[str | float | None]) -> pa.Array:
    """Normalise values so that equal ones are equal texts, whatever the number format or the order of several."""
    return pa.array(
        [
            None if value is None or value == "" else "|".join(sorted(map(_number, str(value).split("|"))))
            for value in values
        ],
        pa.string(),
    )


def _number(text: str) -> str:
    try:
        return repr(float(text))
    except ValueError:
        return text


@contextmanager
def simulated_country(stations: int, seed: int = 1) -> Iterator[Country]:
    """Start the simulator on a free port; end it with the context."""
    command = [sys.executable, "-m", "flood_assets.simulator", "--port", "0"]
    with subprocess.Popen(
        [*command, "--stations", str(stations), "--seed", str(seed)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield Country(process.stdout.readline().split()[-1])
        finally:
            process.terminate()
