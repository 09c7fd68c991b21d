"""Put a status into the JSON of `flood-assets status --json` and of the HTTP API."""

from datetime import UTC, datetime, timedelta
from typing import Any

from flood_assets.partitions import retained_windows
from flood_assets.query.status import Status, TableStatus

# It grows when a name changes its meaning or goes, not when one is added.
JSON_VERSION = 1


def content(status: Status) -> dict[str, Any]:
    """Return the status as docs/configuration.md describes it: times in ISO 8601, sizes in bytes, ages in minutes."""
    fresh, whole, warned = status.freshness, status.completeness, status.warnings
    return {
        "version": JSON_VERSION,
        "lake": status.url,
        "now": iso(status.now),
        "exists": True,
        "faults": status.faults,
        "api": status.api,
        **({"shard": dict(status.shard)} if status.shard is not None else {}),
        "last_refresh": iso(status.as_of),
        "last_failure": status.failure and {"step": status.failure.step, "at": iso(status.failure.at)},
        "retained_windows": len(retained_windows(status.now)),
        "tables": {name: _table(table) for name, table in status.tables.items()},
        "missing_windows": [iso(window) for window in status.missing],
        "expired_readings": status.past,
        "quarantined": list(status.quarantined),
        "freshness": fresh
        and {
            "reporting": fresh.measures,
            "listed": fresh.known,
            "silent": fresh.silent,
            "unlisted": fresh.unlisted,
            "newest": iso(fresh.newest),
            "within_minutes": {str(age // timedelta(minutes=1)): count for age, count in fresh.within.items()},
        },
        "completeness": whole and {"measures": whole.measures, "idle_measures": whole.idle, **whole.counts},
        "warnings": warned
        and {
            "in_force": warned.in_force,
            **{name: warned.levels[level] for level, name in ((1, "severe"), (2, "warning"), (3, "alert"))},
            "listed_at": iso(warned.asked_at),
        },
        **({"shards": {name: content(each) for name, each in status.shards.items()}} if status.shards else {}),
    }


def _table(table: TableStatus) -> dict[str, Any]:
    return {
        "windows": len(table.windows),
        "rows": table.rows,
        "bytes": table.size,
        "oldest": iso(table.oldest),
        "newest": iso(table.newest),
        "expired_windows": len(table.expired),
        "damaged": [{"window": iso(window), "reason": reason} for window, reason in table.damaged.items()],
    }


def iso(moment: datetime | None) -> str | None:
    """Return a time in ISO 8601; None for None."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
