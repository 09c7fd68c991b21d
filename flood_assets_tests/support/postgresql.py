"""Run Debian's PostgreSQL for tests: a primary and a streaming replica, in a folder and on free ports of 127.0.0.1.

Not every machine has it; tests that need it are skipped then, and say which package is missing. It refuses to run as
root, so for root it runs as another user, in a folder of its own that this user may enter.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from flood_assets.lake import current
from flood_assets.lake.lake import Lake
from flood_assets.schemas import READINGS, TABLES, Table

PATIENCE_S = 90
SUPERUSER, WRITER, READER, PASSWORD = "postgres", "writer", "reader", "pass/word%"
_CONF = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
full_page_writes = off
synchronous_commit = off
shared_buffers = 64MB
max_connections = 40
max_wal_senders = 4
wal_receiver_timeout = 5s
wal_retrieve_retry_interval = 100ms
hot_standby_feedback = on
log_min_messages = fatal
"""


def programs() -> Path | None:
    """Return the folder with the newest server's programs; None if there is none."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: int(path.parts[-3]) if path.parts[-3].isdecimal() else 0).parent
    initdb = shutil.which("initdb")
    return None if initdb is None else Path(initdb).parent


@dataclass
class Server:
    """A running server.

    Attributes:
        port: on 127.0.0.1.
        folder: with its data.
        process: of the server.
    """

    port: int
    folder: Path
    process: "subprocess.Popen[bytes]"

    def url(self, database: str = "flood", user: str = WRITER, password: str | None = PASSWORD) -> str:
        userinfo = user if password is None else f"{user}:{quote(password, safe='')}"
        return f"postgresql://{userinfo}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "flood", user: str = SUPERUSER, **more: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database, user), autocommit=True, **more)


@dataclass
class Pair:
    """A primary, and a replica that follows it."""

    primary: Server
    replica: Server

    def caught_up(self) -> None:
        """Wait until the replica shows all that the primary has committed."""
        with self.primary.connect() as primary, self.replica.connect() as replica:
            (wanted,) = primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
            until = time.monotonic() + PATIENCE_S
            while not replica.execute("SELECT pg_last_wal_replay_lsn() >= %s", [wanted]).fetchone()[0]:
                assert time.monotonic() < until, "the replica does not follow"
                time.sleep(0.02)


@dataclass
class Database:
    """The tables of a schema, as a reader sees them.

    Attributes:
        server: which is read.
        schema: of the tables.
        name: of the database.
    """

    server: Server
    schema: str
    name: str = "flood"

    @property
    def url(self) -> str:
        return f"{self.server.url(self.name)}?schema={self.schema}"

    def sql(self, text: str, values: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, with the schema in the path."""
        with self.server.connect(self.name) as connection:
            connection.execute(f'SET search_path TO "{self.schema}", public')
            done = connection.execute(text, values)
            return done.fetchall() if done.description else []

    def rows(self, table: Table) -> list[tuple[Any, ...]]:
        """Return the rows of a table, as `lake_rows` does."""
        columns = ", ".join(f'"{name}"' for name in table.schema.names)
        return sorted(self.sql(f"SELECT {columns} FROM {table.name}"), key=lambda row: row[:2])


def lake_rows(lake: Lake, table: Table, now: datetime) -> list[tuple[Any, ...]]:
    """Return the retained readings, or the present of another table, in order of the key."""
    if table is READINGS:
        rows = lake.read(table, now=now)
    else:
        found = current.read(lake.store, table)
        rows = table.schema.empty_table() if found is None else found[0]
    return sorted((tuple(row.values()) for row in rows.to_pylist()), key=lambda row: row[:2])


def equal(database: Database, lake: Lake, now: datetime, names: Sequence[str]) -> None:
    """Compare tables of a database with the lake's."""
    for name in names:
        assert database.rows(TABLES[name]) == lake_rows(lake, TABLES[name], now), name


@contextmanager
def running(bin_: Path) -> Iterator[Pair]:
    """Run both, with a database `flood` of the user `writer`, and a user `reader`; end them by their process ids."""
    with ExitStack() as ended:
        user = _user()
        folder = Path(tempfile.mkdtemp(prefix="flood-postgresql-"))
        ended.callback(shutil.rmtree, folder, ignore_errors=True)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
            os.chown(secret, user.pw_uid, user.pw_gid)

        def do(program: str, *words: object) -> None:
            command = [*_as(user), str(bin_ / program), *map(str, words)]
            environ = {**os.environ, "PGPASSWORD": PASSWORD, "LC_ALL": "C"}
            done = subprocess.run(
                command, capture_output=True, timeout=PATIENCE_S, check=False, cwd=folder, env=environ
            )
            assert done.returncode == 0, done.stderr.decode()

        def start(name: str) -> Server:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            command = [*_as(user), "setpriv", "--pdeathsig", "INT", str(bin_ / "postgres"), "-D", str(folder / name)]
            with (folder / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(
                    [*command, "-p", str(port)], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder
                )
            server = Server(port, folder / name, process)
            ended.callback(_end, process)
            _wait(server, folder / f"{name}.log")
            return server

        # md5: a password, and none of the CPU that a connection costs with SCRAM.
        how = ("--no-sync", "--encoding=UTF8", "--locale=C", "-U", SUPERUSER, "-A", "md5")
        do("initdb", "-D", folder / "primary", *how, f"--pwfile={secret}")
        with (folder / "primary" / "postgresql.conf").open("a") as conf:
            conf.write(_CONF)
        primary = start("primary")
        with primary.connect("postgres") as connection:
            for name in (WRITER, READER):
                connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
            connection.execute(f"CREATE DATABASE flood OWNER {WRITER}")
        source = f"host=127.0.0.1 port={primary.port} user={SUPERUSER} password={PASSWORD}"
        do("pg_basebackup", "-D", folder / "replica", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", source)
        yield Pair(primary, start("replica"))


def _user() -> pwd.struct_passwd | None:
    """Return the user to run as; None for this one."""
    if os.getuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _as(user: pwd.struct_passwd | None) -> list[str]:
    return [] if user is None else ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _wait(server: Server, log: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            server.connect("postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            code = server.process.poll()
            if code is None and time.monotonic() < until:
                time.sleep(0.05)
                continue
            said = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(
                f"PostgreSQL {'does not answer' if code is None else f'ended with {code}'}: {said}"
            ) from None
        else:
            return


def _end(process: "subprocess.Popen[bytes]") -> None:
    # At once: nobody needs its data again.
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
