"""Spare Dagster what it does anew each time although the answer never changes, and copy what a run has recorded.

Dagster makes an engine for each connection to a file, whose statements SQLAlchemy then compiles anew; each new database
reads all of Alembic's revisions; each resource derives the schema of its class. None of it depends on what a test does:
connections, databases and resources stay as many. Nor does a test need records that outlive the machine.

A database in memory is opened for each statement, and its two settings are more than half of all statements of a run:
here the connection that Dagster holds anyway is the only one.
"""

import functools
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy.event
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._config.pythonic_config import resource
from dagster._core.storage.event_log import InMemoryEventLogStorage
from dagster._core.storage.event_log import in_memory as events_in_memory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs import InMemoryRunStorage
from dagster._core.storage.runs import in_memory as runs_in_memory
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy.engine import Connection, Engine

_MODULES = (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage)


@contextmanager
def answers_kept() -> Iterator[None]:
    """Keep the last databases' engines with their compiled statements, Alembic's revisions and resources' schemas."""
    create = sqlite_event_log.create_engine
    read = ScriptDirectory.from_config

    @functools.lru_cache(maxsize=32)
    def kept(url: str, options: tuple[tuple[str, Any], ...], arguments: tuple[tuple[str, Any], ...]) -> Engine:
        engine = create(url, **dict(options), connect_args=dict(arguments))
        sqlalchemy.event.listen(engine, "connect", _without_fsync)
        return engine

    def create_engine(url: str, *, connect_args: dict[str, Any] | None = None, **options: Any) -> Engine:
        return kept(url, tuple(options.items()), tuple((connect_args or {}).items()))

    revisions: dict[str | None, ScriptDirectory] = {}

    def from_config(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in revisions:
            revisions[place] = read(config)
        return revisions[place]

    infer = resource.infer_schema_from_config_class

    @functools.lru_cache(maxsize=64)
    def schema(kind: type, omitted: frozenset[str]) -> dg.Field:
        return infer(kind, fields_to_omit=set(omitted))

    def schema_of(kind: type, *, fields_to_omit: set[str]) -> dg.Field:
        return schema(kind, frozenset(fields_to_omit))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource, "infer_schema_from_config_class", schema_of)
        for module in _MODULES:
            patch.setattr(module, "create_engine", create_engine)
        patch.setattr(ScriptDirectory, "from_config", from_config)
        _connected_once(patch)
        yield


def copy_records(source: dg.DagsterInstance, target: dg.DagsterInstance) -> None:
    """Replace all runs and events of an instance in memory by those of another."""
    for one, other in ((source.run_storage, target.run_storage), (source.event_log_storage, target.event_log_storage)):
        _database(one).backup(_database(other))


def copy_folder(source: Path, target: Path) -> None:
    """Copy a lake that was filled once for many tests."""
    shutil.copytree(source, target, dirs_exist_ok=True)


def _connected_once(patch: pytest.MonkeyPatch) -> None:
    """Let records in memory have one connection, which threads use one after the other."""
    create = events_in_memory.create_engine
    # Who asks while he is connected gets the same transaction.
    turn = threading.RLock()

    def create_engine(url: str, **options: Any) -> Engine:
        engine = create(url, connect_args={"check_same_thread": False}, **options)
        sqlalchemy.event.listen(engine, "connect", _with_foreign_keys)
        return engine

    @contextmanager
    def connect(storage: InMemoryEventLogStorage | InMemoryRunStorage) -> Iterator[Connection]:
        with turn:
            held = storage._held_conn
            if held.in_transaction():
                yield held
                return
            with held.begin():
                yield held

    for module in (events_in_memory, runs_in_memory):
        patch.setattr(module, "create_engine", create_engine)
    patch.setattr(InMemoryEventLogStorage, "_connect", connect)
    patch.setattr(InMemoryRunStorage, "connect", connect)


def _with_foreign_keys(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def _without_fsync(connection: sqlite3.Connection, _: object) -> None:
    """Leave it to the operating system when records reach the disk: tests kill processes, and never the machine."""
    connection.execute("PRAGMA synchronous=OFF")


def _database(storage: Any) -> sqlite3.Connection:
    assert isinstance(storage, InMemoryEventLogStorage | InMemoryRunStorage)
    found = storage._held_conn.connection.dbapi_connection
    assert isinstance(found, sqlite3.Connection)
    return found
