"""Dagster's records in a PostgreSQL, with the settings that the image has: a daemon over them, and what they hold."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from flood_assets_tests.support.daemon import Daemon, open_daemon, set_environment
from flood_assets_tests.support.image import dagster_settings
from flood_assets_tests.support.postgresql import PASSWORD, WRITER, Server


@contextmanager
def open_daemon_on(
    server: Server, name: str, folder: Path, api_url: str, set_clock: Callable[[datetime], object], **more: Any
) -> Iterator[Daemon]:
    """Open a daemon whose records are in a new database of this name."""
    with server.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER {WRITER}")
    with (
        _address(server, name),
        open_daemon(
            folder / "home",
            api_url,
            (folder / "lake").as_uri(),
            set_clock,
            settings=dagster_settings(folder / "dagster"),
            **more,
        ) as daemon,
    ):
        yield daemon


@contextmanager
def reading(server: Server, name: str, folder: Path) -> Iterator[dg.DagsterInstance]:
    """Open the records for reading, as on a replica: no table is made."""
    settings: dict[str, Any] = dagster_settings(folder / "dagster")
    settings["storage"]["postgres"]["should_autocreate_tables"] = False
    with (
        _address(server, name),
        dg.instance_for_test(overrides=settings, temp_dir=str(folder)) as instance,
    ):
        yield instance


def rows(server: Server, name: str) -> Counter[str]:
    """Count the rows of each of Dagster's tables."""
    with server.connect(name) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return Counter(
            {table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for (table,) in tables}
        )


def size(server: Server, name: str) -> int:
    """Return the bytes of the database."""
    with server.connect(name) as connection:
        return connection.execute("SELECT pg_database_size(%s)", [name]).fetchone()[0]


@contextmanager
def _address(server: Server, name: str) -> Iterator[None]:
    with set_environment(
        DAGSTER_PG_HOST="127.0.0.1",
        DAGSTER_PG_PORT=str(server.port),
        DAGSTER_PG_USER=WRITER,
        DAGSTER_PG_PASSWORD=PASSWORD,
        DAGSTER_PG_DB=name,
    ):
        yield
