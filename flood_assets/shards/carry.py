"""Carry what a lake holds into the lakes of the shards that own it: readings with their times, revisions and cursors.

The old lakes are only read. Readings are upserted, so a run that was killed can be repeated, and two can run at once.
What else is carried is in `beside`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.errors import LakeError
from flood_assets.grouping import Ints
from flood_assets.lake import cursor
from flood_assets.lake.current import listed_now
from flood_assets.lake.cursor import Part
from flood_assets.lake.follow import united
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import PUBLISHED
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.network import Shard
from flood_assets.partitions import cutoff, is_expired
from flood_assets.schemas import MEASURES, READINGS, TIME, Table
from flood_assets.shards.owners import NOBODY, Claim, Owners

_KEYS = list(READINGS.key)
_NONE: Ints = np.zeros(0, np.int64)


@dataclass(frozen=True)
class New:
    """A shard that readers will unite: its lake, and what it owns."""

    shard: Shard
    lake: Lake
    measures: frozenset[str]

    @property
    def claim(self) -> Claim:
        """Measures that it may own."""
        return Claim(self.shard.source, self.shard.scope, self.measures)


@dataclass(frozen=True)
class Old:
    """A lake that readers will not unite any more: its shard's name, empty for one without shards."""

    name: str
    lake: Lake
    owners: Owners

    @classmethod
    def of(cls, name: str, lake: Lake, api: str | None, new: Sequence[New], now: datetime) -> "Old":
        """Return a lake, filled from an API (None: not known), with the owners of its measures."""
        listed = dict[str, tuple[str | None, str | None]]()
        tables = [rows for _, rows in lake.each(MEASURES, _retained(lake, MEASURES, now)) if isinstance(rows, pa.Table)]
        for rows in [*tables, listed_now(lake.store, MEASURES)]:
            columns = (rows[column].to_pylist() for column in ("measure_id", "station_id", "parameter"))
            listed |= {measure: (station, parameter) for measure, station, parameter in zip(*columns, strict=True)}
        return cls(name, lake, Owners([each.claim for each in new], api, listed))


@dataclass
class Counts:
    """Number of readings of old lakes, by whether a new shard owns them and has them.

    Attributes:
        owned: those that belong to a new shard.
        added: those that it had not had.
        revised: those that it had in an older state.
        missing: those that it has not when it is read again.
        different: those that it has in an older state, or with another value, when it is read again.
        left: by name of the old shard, readings of each measure that belongs to no new shard.
    """

    owned: int = 0
    added: int = 0
    revised: int = 0
    missing: int = 0
    different: int = 0
    left: dict[str, dict[str, int]] = field(default_factory=dict)

    def leave(self, old: Old, rows: pa.Table) -> None:
        """Count readings of an old lake that belong to no new shard."""
        for one in rows["measure_id"].value_counts().to_pylist():
            left = self.left.setdefault(old.name, {})
            left[one["values"]] = left.get(one["values"], 0) + one["counts"]


def count(old: Sequence[Old], now: datetime) -> Counts:
    """Return how many retained readings belong to which shards; nothing is written.

    Raises:
        LakeError: a window is damaged, or cannot be read.
    """
    found = Counts()
    for _, each, rows in _windows(old, now, ["measure_id", "date_time", "station_id"]):
        owner = each.owners.of_rows(rows)
        found.owned += int((owner != NOBODY).sum())
        found.leave(each, rows.filter(pa.array(owner == NOBODY)))
    return found


def carry_readings(old: Sequence[Old], new: Sequence[New], now: datetime, clock: Callable[[], datetime]) -> Counts:
    """Unite the retained readings of old lakes with those of their owners, the oldest window first, and prove it.

    Each window is read back from the new lakes: what was read of the old ones has to be there. What a sink has got from
    an old lake, it is not sent again from the new one.

    Args:
        old: lakes to read.
        new: lakes to write.
        now: decides what is carried.
        clock: the current time: what has expired by then may be gone.

    Raises:
        LakeError: a window is damaged, or a lake cannot be read or written.
    """
    found = Counts()
    sinks = _sinks(old)
    for window, pieces in _owned(old, len(new), now, found):
        for number, parts in enumerate(pieces):
            if parts:
                rows, lake = pa.concat_tables([rows for _, rows in parts]), new[number].lake
                changes = lake.follow_readings(rows, now).windows
                found.owned += len(rows)
                found.added += sum(change.added for change in changes)
                found.revised += sum(change.revised for change in changes)
                there = _stored(lake, window)
                _, lacks = united(there, rows.filter(pc.greater(rows["date_time"], pa.scalar(cutoff(clock()), TIME))))
                found.missing += lacks.added
                found.different += lacks.revised
                if sinks:
                    _carry_cursors(sinks, window, parts, lake, there, now)
    return found


def _owned(
    old: Sequence[Old], shards: int, now: datetime, counts: Counts
) -> Iterator[tuple[datetime, list[list[tuple[Old, pa.Table]]]]]:
    """Yield each window with the rows that belong to each shard, and the lake that they are from; count the others."""
    at, pieces = None, list[list[tuple[Old, pa.Table]]]()
    for window, each, rows in _windows(old, now, None):
        if window != at:
            if at is not None:
                yield at, pieces
            at, pieces = window, [[] for _ in range(shards)]
        owner = each.owners.of_rows(rows)
        counts.leave(each, rows.filter(pa.array(owner == NOBODY)))
        for number in np.unique(owner[owner != NOBODY]).tolist():
            pieces[number].append((each, rows.filter(pa.array(owner == number))))
    if at is not None:
        yield at, pieces


def _windows(
    old: Sequence[Old], now: datetime, columns: Sequence[str] | None
) -> Iterator[tuple[datetime, Old, pa.Table]]:
    """Yield the retained readings of old lakes, window by window."""
    stored = {each.name: set(_retained(each.lake, READINGS, now)) for each in old}
    for window in sorted(set().union(*stored.values())):
        for each in old:
            if window in stored[each.name]:
                ((_, rows),) = each.lake.each(READINGS, [window], columns=columns)
                if isinstance(rows, DamagedWindowError):
                    raise LakeError(
                        f"{rows}. Let a refresh of this lake, with FLOOD_NETWORK as it was, write it anew, then repeat "
                        "this command"
                    )
                kept = rows.filter(pc.greater(rows["date_time"], pa.scalar(cutoff(now), TIME)))
                if len(kept):
                    yield window, each, kept


def _retained(lake: Lake, table: Table, now: datetime) -> list[datetime]:
    return [each.window for each in lake.windows(table) if not is_expired(each.window, now)]


def _stored(lake: Lake, window: datetime) -> pa.Table:
    ((_, rows),) = lake.each(READINGS, [window])
    if isinstance(rows, DamagedWindowError):
        raise rows
    return rows


def _sinks(old: Sequence[Old]) -> Mapping[str, Mapping[str, cursor.Cursor]]:
    """Return each sink with its cursors, by the name of the old lake."""
    found = dict[str, dict[str, cursor.Cursor]]()
    for each in old:
        for meta in each.lake.store.list(PUBLISHED):
            name = meta.key.removeprefix(f"{PUBLISHED}/").removesuffix(".parquet")
            if "/" not in name and (there := cursor.load(each.lake.store, name)) is not None:
                found.setdefault(name, {})[each.name] = there
    return found


def _carry_cursors(
    sinks: Mapping[str, Mapping[str, cursor.Cursor]],
    window: datetime,
    parts: Sequence[tuple[Old, pa.Table]],
    lake: Lake,
    there: pa.Table,
    now: datetime,
) -> None:
    """Tell the cursors of a new shard which of the carried readings of a window were published.

    A commit counts as published only if no row of it is left to publish: of those that are carried, and of those that
    the shard has from elsewhere.
    """
    elsewhere = _commits(_elsewhere(there, parts))
    for sink, cursors in sinks.items():
        sent, unsent, ids, id_commits = [_NONE], [elsewhere], [_NONE], [_NONE]
        for old, rows in parts:
            commits = _commits(rows)
            before = cursors.get(old.name, cursor.Cursor()).windows.get(window, Part())
            known = np.isin(commits, before.commits)
            sent.append(commits[known])
            unsent.append(commits[~known])
            ids.append(before.ids)
            id_commits.append(before.id_commits)
        whole = np.setdiff1d(np.concatenate(sent), np.concatenate(unsent))
        part = Part(None, whole, np.concatenate(ids), np.concatenate(id_commits))
        if len(part.commits) or len(part.ids):
            # It holds no ids from before then.
            cursor.advance(lake.store, sink, {window: part}, max(now, *(each.as_of for each in cursors.values())))


def _elsewhere(there: pa.Table, parts: Sequence[tuple[Old, pa.Table]]) -> pa.Table:
    """Return the rows of a shard's window that are none of the carried ones."""
    columns = [*_KEYS, "changed_at"]
    carried = pa.concat_tables([rows.select(columns) for _, rows in parts])
    return there.select(columns).join(carried, columns, join_type="left anti")


def _commits(rows: pa.Table) -> Ints:
    """Return the times of changes in ms, sorted and distinct."""
    found: Ints = np.unique(rows["changed_at"].cast(pa.int64()).to_numpy())
    return found
