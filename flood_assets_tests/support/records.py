"""Measure what Dagster keeps on disk: rows of every table of its databases, and files under its home."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

# Of SQLite itself, and of the versions of Dagster's tables.
_NOT_RECORDS = ("sqlite_", "alembic_")


def rows(home: Path) -> Counter[str]:
    """Count the rows of each table by database and table; the runs' own databases count together as `run`."""
    counted: Counter[str] = Counter()
    for database in home.rglob("*.db"):
        name = database.stem if database.stem in ("runs", "index", "schedules") else "run"
        with closing(sqlite3.connect(database)) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                if not table.startswith(_NOT_RECORDS):
                    counted[f"{name}.{table}"] += connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
    return counted


def files(home: Path) -> Counter[str]:
    """Count bytes by file; files of runs are grouped by kind, such as `history/runs/*.db`.

    Folders count as a byte: an empty one that is left behind shows too.
    """
    sizes: Counter[str] = Counter()
    for path in home.rglob("*"):
        sizes[_kind(path.relative_to(home))] += path.stat().st_size if path.is_file() else 1
    return sizes


def size(folder: Path) -> int:
    """Return the bytes of all files under a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _kind(path: Path) -> str:
    """Return the path without run and step names."""
    parts = list(path.parts)
    if parts[0] == "storage" and len(parts) > 1:
        return "/".join(["storage", *(["*"] * (len(parts) - 1))])
    if parts[:2] == ["history", "runs"] and len(parts) == 3 and not parts[2].startswith("index."):
        return "history/runs/*" + "".join(path.suffixes)
    return "/".join(parts)
