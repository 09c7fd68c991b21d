"""What every contestant is: a program that fills a folder with a day of readings, and says what it did.

    python -m benchmarks.contestants.NAME --api URL --out DIR --now ISO [--no-gzip]      fill, and print one JSON line
    python -m benchmarks.contestants.NAME --out DIR --now ISO --rows FILE                give what is in DIR as Parquet

The second is asked after the time was taken. It runs in the contestant's own environment: nothing here or in the head
of a contestant's file imports more than the standard library.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    import pyarrow as pa

MEASURES = "http://environment.data.gov.uk/flood-monitoring/id/measures/"
DAY = timedelta(hours=24)


@dataclass
class Task:
    """One fill.

    Attributes:
        api: root of the API.
        out: folder to fill; it is there, and empty but for what the contestant starts from.
        now: what time it is; the day is `now - 24 h < t <= now`.
        gzip: whether answers may be compressed.
        options: what else the command line says, such as `variant=strings`.
        seconds: how long each phase took.
    """

    api: str
    out: Path
    now: datetime
    gzip: bool
    options: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def days(self) -> list[date]:
        """The UTC days that the last 24 hours touch, newest first."""
        return sorted({(self.now - DAY).date(), self.now.date()}, reverse=True)

    @property
    def control(self) -> str:
        """Root of the simulator's control endpoints."""
        return self.api.replace("/flood-monitoring", "/__simulator")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time that this takes to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def move_clock(self, moment: datetime) -> None:
        """Set the simulator's clock."""
        url = f"{self.control}/clock?now={moment:%Y-%m-%dT%H:%M:%SZ}"
        with urlopen(Request(url, method="PUT")) as answer:
            answer.read()


def main(fill: Callable[[Task], dict[str, Any] | None], rows: Callable[[Path], "pa.Table"]) -> None:
    """Read the command line and do one of the two.

    Args:
        fill: fills `task.out`; gives what it wants to tell beside the time of its phases.
        rows: measure_id, date_time, value of what is in a folder, as the contestant left it: nothing made unique.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--api", default="")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--now", required=True)
    parser.add_argument("--gzip", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--option", action="append", default=[])
    asked = parser.parse_args()
    if asked.rows:
        import pyarrow.parquet as pq  # noqa: PLC0415 - only here

        pq.write_table(rows(asked.out), asked.rows)
        return
    now = datetime.fromisoformat(asked.now).astimezone(UTC)
    options = dict(option.split("=", 1) for option in asked.option)
    task = Task(asked.api, asked.out, now, asked.gzip, options)
    asked.out.mkdir(parents=True, exist_ok=True)
    with task.phase("total"):
        told = fill(task) or {}
    print(json.dumps({"seconds": task.seconds, **told}))
    sys.stdout.flush()


def ask_plainly() -> None:
    """Let everything that uses requests in this process ask for uncompressed answers, whatever it says itself."""
    import requests  # noqa: PLC0415 - not every contestant has it

    send = requests.Session.send

    def plain(self: Any, request: Any, **more: Any) -> Any:
        request.headers["Accept-Encoding"] = "identity"
        return send(self, request, **more)

    requests.Session.send = plain  # type: ignore[method-assign]


def import_what_pyarrow_imports_late() -> None:
    """Let pyarrow import pandas, which it does at its first conversion from Python, a sixth of a second late.

    It is an import like the others: in the time of the process, and not in anybody's own.
    """
    import pyarrow as pa  # noqa: PLC0415 - only who uses it

    pa.scalar(0)


def readings_table(measure: Any, at: Any, value: Any) -> "pa.Table":
    """The three columns as `truth` compares them: ids without their root, times, numbers; null for what is none.

    Args:
        measure: ids or URIs.
        at: timestamps with a zone, or ISO texts.
        value: numbers, or texts: `a|b` and an empty text become null.
    """
    import pyarrow as pa  # noqa: PLC0415 - only here
    import pyarrow.compute as pc  # noqa: PLC0415

    measure, at, value = (_column(column) for column in (measure, at, value))
    if pa.types.is_string(at.type) or pa.types.is_large_string(at.type):
        at = pc.strptime(pc.replace_substring(at, "Z", ""), "%Y-%m-%dT%H:%M:%S", "s").cast(pa.timestamp("s", "UTC"))
    if pa.types.is_string(value.type) or pa.types.is_large_string(value.type):
        number = pc.match_substring_regex(value, r"^-?\d+(\.\d+)?$")
        value = pc.if_else(number, value, None).cast(pa.float64())
    if pa.types.is_timestamp(at.type) and at.type.tz is None:
        at = at.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    measure = pc.replace_substring_regex(measure.cast(pa.string()), f"^{MEASURES.replace('.', '[.]')}", "")
    columns = [measure, at.cast(pa.timestamp("ms", "UTC")), value.cast(pa.float64())]
    return pa.table(columns, names=["measure_id", "date_time", "value"])


def no_rows() -> "pa.Table":
    """What a contestant has that stored nothing."""
    return readings_table([], [], [])


def _column(values: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - only here

    if isinstance(values, list):
        some = next((value for value in values if value is not None), "")
        kind = pa.float64() if isinstance(some, float | int) else pa.string()
        return pa.chunked_array([pa.array(values, kind)])
    return values
