"""Publish to a PostgreSQL database: readings, stations, measures and conditions as tables, one transaction a batch.

A reader sees the tables as they are after a publication, never in the middle of one. Rows arrive by COPY in a temporary
table and are upserted from there, so late, repeated and reordered batches do no harm. What is a day old is deleted in
the same transaction, row by row: a reader of a replica is disturbed by a TRUNCATE or a dropped partition.

Nothing outlives a transaction but the connection, so a pooler such as pgbouncer may stand in between.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from flood_assets.errors import SettingsError
from flood_assets.partitions import cutoff, utc
from flood_assets.schemas import CONDITIONS, MEASURES, READINGS, STATIONS, Table
from flood_assets.schemas import TABLES as ALL
from flood_assets.sinks import postgresql_tables as sql
from flood_assets.sinks.base import TRIES, Sent, Sink, SinkError, only_readings
from flood_assets.sinks.events import CloudEvents, ReadingEvents

if TYPE_CHECKING:
    import psycopg

CONNECT_S = 5
# Seconds after which a batch is given up: a server may take the connection and say nothing.
ANSWER_S = 240.0
# Rows that are refused one by one; if it is more, no single row is the reason.
MOST_REFUSED = 100
# Rows that are written as CSV at once.
_ROWS = 20_000
# A publisher that vanished without a word lets go of its lock after a minute.
_SETTINGS = (
    "SET LOCAL timezone TO 'UTC'; SET LOCAL datestyle TO 'ISO, YMD'; SET LOCAL lock_timeout TO '20s'; "
    "SET LOCAL idle_in_transaction_session_timeout TO '60s'"
)
# Of sqlstates the class, or the whole: what is wrong with rows, and what passes by itself.
_CONTENT = ("22", "23", "44", "54", "P0001")
_PASSES = ("08", "40", "55P03", "57P01", "57P02", "25P03")
_REMEDIES = (
    ("42501", "give its user the rights that docs/publishing.md names"),
    ("25006", "that is a read replica: name the primary"),
    ("3F000", "its tables were dropped: the next publication makes them anew"),
    ("42P01", "its tables were dropped: the next publication makes them anew"),
    ("53", "the server has no room left: free some"),
)

logger = logging.getLogger("flood_assets.publish")


class _Found(NamedTuple):
    """A database as it is found.

    Attributes:
        encoding: of its text.
        there: True if it has the tables.
        postgis: the schema of PostGIS, if that is installed.
        pointless: True if the stations are ours and have no points.
    """

    encoding: str
    there: bool
    postgis: str | None
    pointless: bool


class PostgreSql(Sink):
    """`postgresql://user@host:port/database`, as libpq reads it; `?schema=` names the schema of the tables.

    Args:
        url: as in `FLOOD_PUBLISH`.
        clock: the current time, which decides what is a day old.
        pause_s: as of `Sink`.
    """

    tables = (STATIONS, MEASURES, CONDITIONS)

    def __init__(self, url: str, clock: Callable[[], datetime], *, pause_s: float = 0.5) -> None:
        super().__init__(url, pause_s=pause_s)
        try:
            import psycopg  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SinkError(f"{self.name} needs psycopg ({error}): pip install 'flood-assets[postgresql]'") from None
        self._psycopg, self._clock = psycopg, clock
        self._address, self._schema = address(url)
        self._connection: psycopg.Connection[Any] | None = None

    def send(self, events: CloudEvents) -> Sent:  # noqa: D102
        refused = self._tried(partial(self._commit, only_readings(events, self.name)))
        return Sent(np.ones(len(events), np.bool_), refused=refused)

    def is_empty(self) -> bool:  # noqa: D102
        def never_published(connection: "psycopg.Connection[Any]") -> bool:
            row = connection.execute(sql.state(self._schema).encode()).fetchone()
            return row is None or row[1] is None

        return self._tried(never_published)

    def close(self) -> None:  # noqa: D102
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _tried(self, work: "Callable[[psycopg.Connection[Any]], Any]") -> Any:
        """Return the result of work with a connection; again after what passes, as a deadlock does."""
        for attempt in range(1, TRIES + 1):
            try:
                connection = self._connected()
                with self._no_longer_than(ANSWER_S, connection):
                    return work(connection)
            except self._psycopg.Error as error:
                # The error of a connection that was lost has no sqlstate.
                lost = isinstance(error, self._psycopg.OperationalError) and error.sqlstate is None
                passes = lost or _is(error, _PASSES)
                self.close()
                if not passes or attempt == TRIES:
                    raise SinkError(f"{self.name}: {_said(error)}: {_remedy(error)}") from None
            self.pause(attempt)
        raise AssertionError

    def _connected(self) -> "psycopg.Connection[Any]":
        """Return the connection; a new one has found the tables, or made them."""
        if self._connection is None:
            try:
                # Not prepared: a pooler may send the next statement to another server.
                self._connection = self._psycopg.connect(self._address, autocommit=True, prepare_threshold=None)
            except self._psycopg.Error as error:
                raise SinkError(
                    f"{self.name}: {_said(error)}: is the server running, and are its address, the user, the password "
                    "(in the URL, PGPASSWORD or ~/.pgpass) and the database right?"
                ) from None
            try:
                with self._no_longer_than(ANSWER_S, self._connection):
                    self._prepare(self._connection)
            except BaseException:
                self.close()
                raise
        return self._connection

    @contextmanager
    def _no_longer_than(self, seconds: float, connection: "psycopg.Connection[Any]") -> Iterator[None]:
        """Cut the connection if what is done with it takes longer; libpq has no such limit."""
        late = threading.Event()

        def cut() -> None:
            late.set()
            # By a copy of the descriptor: the connection closes its own.
            with (
                suppress(OSError, self._psycopg.Error),
                closing(socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)) as line,
            ):
                line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except self._psycopg.Error:
            if not late.is_set():
                raise
            self.close()
            raise SinkError(
                f"{self.name} has not finished in {seconds:.0f} s: is the server busy, or does somebody hold a lock?"
            ) from None
        finally:
            timer.cancel()

    # -- the tables

    def _prepare(self, connection: "psycopg.Connection[Any]") -> None:
        """Make the tables if there are none, and the stations' points if there is PostGIS and there are none.

        Raises:
            SinkError: they are of another version, or the database is not in UTF-8.
        """
        found = self._found(connection)
        if found.encoding != "UTF8":
            raise SinkError(f"{self.name}: the database is in {found.encoding}: publish to one that is in UTF8")
        if not found.there:
            with connection.transaction():
                self._lock(connection)
                if not self._found(connection).there:
                    self._create(connection)
            found = self._found(connection)
        if found.postgis and found.pointless:
            # Readers queue behind this, so not for long: while one is busy, the next publication tries again.
            with suppress(self._psycopg.errors.LockNotAvailable), connection.transaction():
                self._lock(connection)
                _execute(connection, "SET LOCAL lock_timeout TO '2s'")
                if self._found(connection).pointless:
                    _execute(connection, *sql.pointed(self._schema, found.postgis))
        row = connection.execute(sql.state(self._schema).encode()).fetchone()
        version = "none" if row is None else row[0]
        if version != sql.version():
            raise SinkError(
                f"{self.name}: the tables of schema {self._schema} have version {version}, not {sql.version()}: "
                f"{sql.removal(self._schema)}, and the next publication makes them anew and sends the last 24 "
                "hours; or name another schema with ?schema="
            )

    def _found(self, connection: "psycopg.Connection[Any]") -> _Found:
        row = connection.execute(
            b"""
            SELECT current_setting('server_encoding'), to_regclass(%(publication)s) IS NOT NULL,
                (SELECT nspname::text FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace
                 WHERE extname = 'postgis'),
                EXISTS (SELECT FROM pg_class AS c WHERE c.oid = to_regclass(%(stations)s)
                        AND pg_has_role(c.relowner, 'USAGE') AND NOT EXISTS (
                            SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = %(point)s
                            AND NOT attisdropped))
            """,
            {
                "publication": sql.place(self._schema, sql.PUBLICATION),
                "stations": sql.place(self._schema, STATIONS.name),
                "point": sql.POINT,
            },
        ).fetchone()
        assert row is not None  # noqa: S101 - for the type checker: it has no FROM
        return _Found(*row)

    def _create(self, connection: "psycopg.Connection[Any]") -> None:
        if connection.execute(b"SELECT to_regnamespace(%s)", [sql.quoted(self._schema)]).fetchone() == (None,):
            _execute(connection, f"CREATE SCHEMA {sql.quoted(self._schema)}")
        try:
            _execute(connection, *sql.creation(self._schema))
        except self._psycopg.errors.DuplicateTable as error:
            raise SinkError(
                f"{self.name}: schema {self._schema} has tables of somebody else ({_said(error)}): name another schema "
                "with ?schema="
            ) from None
        # Once: whoever may not add it finds one error in the server's log, and not one each tick.
        with suppress(self._psycopg.Error), connection.transaction():
            _execute(connection, "CREATE EXTENSION IF NOT EXISTS postgis")

    def _lock(self, connection: "psycopg.Connection[Any]") -> None:
        """Let one publisher at a time work in a schema, until its transaction ends."""
        _execute(connection, _SETTINGS)
        connection.execute(b"SELECT pg_advisory_xact_lock(hashtext('flood_assets'), hashtext(%s))", [self._schema])

    # -- a batch

    def _commit(self, events: ReadingEvents, connection: "psycopg.Connection[Any]") -> dict[int, str]:
        """Do all that a batch asks for in one transaction; return the reasons of the events that were refused."""
        now = self._clock()
        with connection.transaction():
            self._lock(connection)
            refused = self._upsert(connection, READINGS, events.rows)
            connection.execute(sql.expiry(self._schema).encode(), [cutoff(now)])
            for name, rows in events.present.items():
                self._replace(connection, ALL[name], rows)
            connection.execute(sql.state_set(self._schema).encode(), [events.source, utc(now)])
        return refused

    def _replace(self, connection: "psycopg.Connection[Any]", table: Table, rows: pa.Table) -> None:
        """Replace a table by its present, unless what is there was asked for later."""
        (there,) = connection.execute(sql.asked_at(self._schema, table).encode()).fetchone() or (None,)
        if len(rows) and there is not None and there > utc(pc.max(rows["observed_at"]).as_py()):
            return
        (key,) = table.key
        for number, reason in self._upsert(connection, table, rows).items():
            logger.error("%s refused %r of %s: %s", self.name, rows[key][number].as_py(), table.name, reason)
        keys = [text for text in rows[key].to_pylist() if "\0" not in text]
        connection.execute(sql.departure(self._schema, table).encode(), [keys])

    def _upsert(self, connection: "psycopg.Connection[Any]", table: Table, rows: pa.Table) -> dict[int, str]:
        """Upsert rows; return the reasons by the numbers of those that the database refuses for their content.

        What is refused is tried again in halves, down to the row; the rest of the transaction stays.
        """
        refused, waiting = dict[int, str](), [(0, len(rows))] if len(rows) else []
        if waiting:
            _execute(connection, sql.arrival(self._schema, table))
        while waiting:
            start, end = waiting.pop()
            try:
                with connection.transaction():
                    if (start, end) != (0, len(rows)):
                        _execute(connection, sql.emptying(table))
                    with connection.cursor() as cursor, cursor.copy(sql.copy(table).encode()) as copy:
                        for data in csv(table, rows.slice(start, end - start)):
                            copy.write(data)
                    _execute(connection, sql.upsert(self._schema, table))
            except self._psycopg.Error as error:
                if not _is(error, _CONTENT):
                    raise
                if end - start > 1:
                    middle = (start + end) // 2
                    waiting += [(middle, end), (start, middle)]
                    continue
                refused[start] = _said(error)
                if len(refused) > MOST_REFUSED:
                    raise SinkError(
                        f"{self.name} refuses more than {MOST_REFUSED} rows of {table.name}, the last for: "
                        f"{refused[start]}: is there a constraint or a trigger of your own?"
                    ) from None
        return refused


def address(url: str) -> tuple[str, str]:
    """Return the connection string of a URL, and the schema of the tables.

    Raises:
        SettingsError: libpq does not understand it, or it has a password where it would be shown.
    """
    from psycopg import Error, conninfo  # noqa: PLC0415 - an extra

    plain, _, query = url.partition("?")
    # Whatever stands before the last @ may be a password.
    shown = f"FLOOD_PUBLISH has 'postgresql://{url.removeprefix('postgresql://').rpartition('@')[2].partition('?')[0]}'"
    if "@" in plain.removeprefix("postgresql://").partition("/")[2] + query:
        raise SettingsError(f"{shown}: write / as %2F, ? as %3F and @ as %40 in a name or a password")
    options = [
        (unquote(name), value, pair) for pair in query.split("&") if pair for name, _, value in [pair.partition("=")]
    ]
    names = {name for name, _, _ in options}
    if any("password" in name for name in names):
        raise SettingsError(
            f"{shown} with a password after the ?: write it as user:password@, in PGPASSWORD or in ~/.pgpass"
        )
    schema = next((unquote(value) for name, value, _ in options if name == "schema"), sql.SCHEMA)
    if not schema or len(schema.encode()) > sql.LONGEST_NAME or schema.startswith("pg_") or "\0" in schema:
        raise SettingsError(f"{shown} with ?schema={schema!r}: expected the name of a schema, such as {sql.SCHEMA}")
    plain += "?" + "&".join(pair for name, _, pair in options if name != "schema")
    patience: dict[str, str | int] = {
        "connect_timeout": CONNECT_S,
        "fallback_application_name": "flood-assets",
        "client_encoding": "UTF8",
        # A host that is gone is noticed in half a minute.
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    try:
        return conninfo.make_conninfo(plain, **{name: n for name, n in patience.items() if name not in names}), schema
    except Error:
        # libpq's message may quote a part of the password.
        raise SettingsError(
            f"{shown}: libpq does not understand it; expected postgresql://user@host:5432/database, with options that "
            "libpq has; write / as %2F, @ as %40 and % as %25 in a name or a password"
        ) from None


def csv(table: Table, rows: pa.Table) -> Iterator[bytes]:
    """Yield rows as CSV, in parts.

    PostgreSQL's text cannot hold the character NUL, so � stands for it, but not in a key: that row is to be refused.
    """
    columns = []
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if pa.types.is_timestamp(field.type):
            # With a zone it takes eight times as long to write.
            columns.append(column.cast(pa.timestamp(field.type.unit)))
        elif pa.types.is_string(field.type) and field.name not in table.key:
            columns.append(pc.replace_substring(column, "\0", "\ufffd"))
        else:
            columns.append(column)
    plain = pa.table(columns, names=rows.schema.names)
    options = pa_csv.WriteOptions(include_header=False)
    for start in range(0, len(plain), _ROWS):
        sink = pa.BufferOutputStream()
        pa_csv.write_csv(plain.slice(start, _ROWS), sink, options)
        yield sink.getvalue().to_pybytes()


def _execute(connection: "psycopg.Connection[Any]", *statements: str) -> None:
    connection.execute(";\n".join(statements).encode())


def _is(error: "psycopg.Error", states: tuple[str, ...]) -> bool:
    return (error.sqlstate or "").startswith(states)


def _remedy(error: "psycopg.Error") -> str:
    return next((remedy for state, remedy in _REMEDIES if _is(error, (state,))), "what waits is sent by the next tick")


def _said(error: "psycopg.Error") -> str:
    """Return what the server or libpq says, without libpq's hints in further lines."""
    text = error.diag.message_primary or str(error).partition("\n")[0]
    return " ".join(text.split())[:300].rstrip(". ") or type(error).__name__
