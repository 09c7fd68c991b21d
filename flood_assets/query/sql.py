"""Answer SQL over the lake with DuckDB in memory, whose views are the answers of `query`.

A view is read when a statement scans it, through the lake's own store: folder or bucket, DuckDB opens no file. The same
views for DuckDB's own shell are written by `sql_script`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from flood_assets import query
from flood_assets.errors import FloodAssetsError, SettingsError
from flood_assets.lake.lake import Lake
from flood_assets.query.names import suggestions
from flood_assets.schemas import ALERTS, TABLES

_Question = Callable[[Lake, datetime], query.Result]
_QUESTIONS: Mapping[str, _Question] = {
    "readings": query.readings,
    "stations": query.stations,
    "measures": query.measures,
    "conditions": query.conditions,
    "completeness": query.completeness,
    "timeliness": query.timeliness,
    "warnings": query.warnings,
    "warning_areas": query.warning_areas,
    "alerts": query.alerts,
}
SHOWN = {**TABLES, ALERTS.name: ALERTS}
VIEWS = ("readings", "latest", *(name for name in _QUESTIONS if name != "readings"))

# The newest reading of each measure, from the view `readings`; a measure has one reading for each time.
LATEST = (
    "SELECT readings.* FROM readings SEMI JOIN "
    "(SELECT measure_id, max(date_time) AS date_time FROM readings GROUP BY measure_id) USING (measure_id, date_time)"
)

_SETTINGS: dict[str, Any] = {
    # A statement can neither read nor write files, nor load code.
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # `FROM x` is no variable of this program.
    "python_enable_replacements": False,
    # DuckDB would make the folder .tmp here for a large sort.
    "temp_directory": "",
}

# PIVOT is MULTI: it looks up the columns first.
_ANSWERED = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)
_UNKNOWN_VIEW = re.compile(r"Table with name \"?(.+?)\"? does not exist")


class StatementError(SettingsError):
    """Statement that cannot be answered."""


def moment_macros(now: datetime) -> Iterator[str]:
    """Yield statements that stop DuckDB's clock: `now()`, `current_timestamp`, `today()` and `current_date`."""
    for name in ("now", "get_current_timestamp", "transaction_timestamp"):
        yield f"CREATE OR REPLACE MACRO {name}() AS TIMESTAMPTZ '{now.isoformat()}'"
    for name in ("today", "current_date"):
        yield f"CREATE OR REPLACE MACRO {name}() AS DATE '{now.date().isoformat()}'"


class Views:
    """The views of a lake at a moment, in a DuckDB of their own, which `close` ends.

    Attributes:
        notes: what the questions behind the views said so far.
    """

    def __init__(self, lake: Lake, now: datetime) -> None:
        self.notes: list[str] = []
        self._failures: list[FloodAssetsError] = []
        self._worker = ThreadPoolExecutor(1)
        self._connection = duckdb.connect(config=_SETTINGS)
        self._connection.execute("SET TimeZone = 'UTC'")
        # After two seconds DuckDB would write it among the rows.
        self._connection.execute("SET enable_progress_bar = false")
        for statement in moment_macros(now):
            self._connection.execute(statement)
        for name in _QUESTIONS:
            self._connection.register(name, _Answer(name, lake, now, self.notes, self._failures))
        self._connection.execute(f"CREATE TEMP VIEW latest AS {LATEST}")
        self._connection.execute("SET lock_configuration = true")

    def close(self) -> None:
        """End DuckDB."""
        self._worker.shutdown()
        self._connection.close()

    def select(self, statement: str) -> duckdb.DuckDBPyRelation:
        """Return the answer to one SELECT, which is not read yet.

        Raises:
            StatementError: it is no SELECT, or has a fault; the message is one line.
            LakeError: the lake could not be read.
        """
        with self._explained():
            statements = duckdb.extract_statements(statement)
            if len(statements) != 1:
                raise StatementError(f"expected one statement, and not {len(statements)}")
            if statements[0].type not in _ANSWERED:
                raise StatementError(f"{statements[0].type.name} is refused: the lake is only read here, with SELECT")
            found: duckdb.DuckDBPyRelation = self._run(self._connection.sql, statement)
            return found

    def read(self, answer: duckdb.DuckDBPyRelation, rows: int = 50_000) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Return the schema of an answer and its rows, so many at a time; the errors of `select` may come with any."""
        with self._explained():
            reader = self._run(answer.to_arrow_reader, rows)

        def batches() -> Iterator[pa.RecordBatch]:
            with self._explained():
                while (batch := self._run(next, reader, None)) is not None:
                    yield batch

        return reader.schema, batches()

    def _run(self, work: Callable[..., Any], *given: object) -> Any:
        """Return what DuckDB's work gives, and end it on Ctrl-C: DuckDB itself does not look for that in a stream."""
        coming = self._worker.submit(work, *given)
        try:
            return coming.result()
        except KeyboardInterrupt:
            while not coming.done():
                # Work that has not begun is not interrupted.
                self._connection.interrupt()
                wait([coming], 0.1)
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of DuckDB into ours: of the lake if it could not be read, else of the statement."""
        try:
            yield
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            # After the first batch Arrow tells what DuckDB said, as an OSError.
            raise (self._failures.pop() if self._failures else StatementError(_said(error))) from None


class _Answer:
    """The answer of a question as an Arrow stream, which is asked when DuckDB scans it for the first time."""

    def __init__(
        self, name: str, lake: Lake, now: datetime, notes: list[str], failures: list[FloodAssetsError]
    ) -> None:
        self._name, self._lake, self._now = name, lake, now
        self._notes, self._failures = notes, failures
        self._rows: pa.Table | None = None

    def __arrow_c_schema__(self) -> object:
        return SHOWN[self._name].schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        if self._rows is None:
            try:
                found = _QUESTIONS[self._name](self._lake, self._now)
            except FloodAssetsError as error:
                # DuckDB would tell it in its own words.
                self._failures.append(error)
                raise
            self._rows = found.rows
            self._notes.extend(note for note in found.notes if note not in self._notes)
        return self._rows.__arrow_c_stream__(requested_schema)


def _said(error: Exception) -> str:
    """Return what DuckDB says of a statement as one line, with the views or the remedy where it knows neither."""
    message = str(error).partition("\n\nLINE ")[0]
    unknown = _UNKNOWN_VIEW.search(message)
    if unknown and unknown[1] not in VIEWS:
        (note,) = suggestions("view", [unknown[1]], VIEWS)
        return f"{note}; the views are {', '.join(VIEWS)}"
    message = " ".join(message.split())
    if isinstance(error, duckdb.PermissionException):
        return f"{message}: join files of your own in DuckDB's shell, with the views of `flood-assets sql --init FILE`"
    return message
