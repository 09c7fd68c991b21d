"""Command line shared by all contestants: fill a folder with a day of readings and report on it.

    python -m benchmarks.contestants.NAME --api URL --out DIR --now ISO [--no-gzip]      fill, and print one JSON line
    python -m benchmarks.contestants.NAME --out DIR --now ISO --rows FILE                export DIR's rows as Parquet

The second command runs after the measurement. Both run in the contestant's own environment, so this module and the top
of a contestant's module import only the standard library.
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
        out: folder to fill; exists, and is empty except for the lake the contestant starts from.
        now: the present; the day is `now - 24 h < t <= now`.
        gzip: true if answers may be compressed.
        options: further options of the command line, such as `variant=strings`.
        seconds: seconds of each phase.
    """

    api: str
    out: Path
    now: datetime
    gzip: bool
    options: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def days(self) -> list[date]:
        """UTC days that the last 24 hours touch, newest first."""
        return sorted({(self.now - DAY).date(), self.now.date()}, reverse=True)

    @property
    def control(self) -> str:
        """Root of the simulator's control endpoints."""
        return self.api.replace("/flood-monitoring", "/__simulator")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time spent inside the context to a phase."""
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
    """Parse the command line, then fill a folder or export its rows.

    Args:
        fill: fills `task.out`; returns values to report besides the seconds of its phases.
        rows: returns measure_id, date_time, value of a filled folder as it is, without removing duplicates.
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
    """Make every use of requests in this process ask for uncompressed answers, whatever headers it sets."""
    import requests  # noqa: PLC0415 - not every contestant has it

    send = requests.Session.send

    def plain(self: Any, request: Any, **more: Any) -> Any:
        request.headers["Accept-Encoding"] = "identity"
        return send(self, request, **more)

    requests.Session.send = plain  # type: ignore[method-assign]


def import_what_pyarrow_imports_late() -> None:
    """Trigger pyarrow's late import of pandas, which happens at its first conversion from Python (0.15 s).

    Like other imports it counts as time of the process, not as processing time.
    """
    import pyarrow as pa  # noqa: PLC0415 - only who uses it

    pa.scalar(0)


def readings_table(measure: Any, at: Any, value: Any) -> "pa.Table":
    """Return the three columns that `truth` compares: ids without their root, times, numbers or null.

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
    """Return the empty table of a contestant that stores nothing."""
    return readings_table([], [], [])


def _column(values: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - only here

    if isinstance(values, list):
        some = next((value for value in values if value is not None), "")
        kind = pa.float64() if isinstance(some, float | int) else pa.string()
        return pa.chunked_array([pa.array(values, kind)])
    return values
