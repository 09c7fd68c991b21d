"""Hourly windows, and the moments and windows that are retained.

A *window* is one UTC hour `[start, start + 1 h)`, named by its start: one Dagster partition, and one Parquet object of
each table. A moment is *retained* at `now` when `now - 24 h < moment <= now`.

All functions are pure: `now` is an argument, and every datetime must be aware. Dagster's definition of the partitions
is in `flood_assets.defs.windows`.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

WINDOW = timedelta(hours=1)
RETENTION = timedelta(hours=24)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_KEY_FORMAT = "%Y-%m-%d-%H:%M"


def utc(moment: datetime) -> datetime:
    """Convert a moment to UTC; raise ValueError for a naive datetime."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone: give an aware datetime, such as one in UTC")
    return moment.astimezone(UTC)


def london() -> ZoneInfo:
    """Return the zone of the clocks in England; its file is read when first asked for, and not at import."""
    return ZoneInfo("Europe/London")


def window_of(moment: datetime) -> datetime:
    """Return the start of the window that contains a moment."""
    return utc(moment).replace(minute=0, second=0, microsecond=0)


def partition_key(window: datetime) -> str:
    """Return the Dagster partition key of a window, such as `2026-11-21-09:00`."""
    return utc(window).strftime(_KEY_FORMAT)


def window_of_key(key: str) -> datetime:
    """Return the window of a Dagster partition key; raise ValueError when it is not one."""
    window = window_of(datetime.strptime(key, _KEY_FORMAT).replace(tzinfo=UTC))
    if partition_key(window) != key:
        raise ValueError(f"'{key}' is not the key of a window: expected one such as {partition_key(window)}")
    return window


def cutoff(now: datetime) -> datetime:
    """Return the newest moment that is no longer retained: rows after it are kept."""
    return utc(now) - RETENTION


def is_expired(window: datetime, now: datetime) -> bool:
    """Return True if no moment of the window is retained any more."""
    return utc(window) + WINDOW <= cutoff(now)


def windows_between(first: datetime, last: datetime) -> list[datetime]:
    """Return all windows from that of `first` to that of `last`, both included, oldest first."""
    start, end = window_of(first), window_of(last)
    return [start + i * WINDOW for i in range((end - start) // WINDOW + 1)]


def retained_windows(now: datetime) -> list[datetime]:
    """Return the 25 windows that hold retained moments, oldest first; the first and the last are partly filled."""
    return windows_between(cutoff(now), now)


def days_of(windows: Sequence[datetime]) -> list[date]:
    """Return the UTC days of the windows, oldest first."""
    return sorted({utc(window).date() for window in windows})


def midnight(day: date) -> datetime:
    """Return the start of a UTC day."""
    return datetime.combine(day, time(), tzinfo=UTC)


def to_ms(moment: datetime) -> int:
    """Return whole ms since 1970, rounded down; exact, while `timestamp()` goes through a float."""
    return (utc(moment) - EPOCH) // timedelta(milliseconds=1)


def from_ms(ms: int) -> datetime:
    """Return the moment that is so many ms after 1970."""
    return EPOCH + timedelta(milliseconds=ms)
