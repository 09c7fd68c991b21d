"""Carry what lies beside the readings: counts, conditions, lists, warnings, rejects, receipts and dead letters.

A window is copied only if the shard has none for that hour, and rows are upserted, so that a run may be repeated and
replaces nothing that a shard has listed or counted itself.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake import current
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import (
    LANDING,
    PUBLISHED,
    QUARANTINE,
    RECEIPTS,
    current_key,
    key_of,
    window_of_dead_letter,
)
from flood_assets.lake.listed import of_publishers
from flood_assets.lake.objects import ConflictError
from flood_assets.lake.parquet import DamagedWindowError, WindowFile, conform, encode
from flood_assets.lake.store import Store
from flood_assets.partitions import from_ms, is_expired, utc, window_of
from flood_assets.places import is_same_source
from flood_assets.schemas import (
    COMPLETENESS,
    CONDITIONS,
    MEASURES,
    REJECTS,
    STATIONS,
    TIMELINESS,
    WARNING_AREAS,
    WARNINGS,
    Table,
)
from flood_assets.shards.carry import New, Old

logger = logging.getLogger("flood_assets.shards")

_BY_MEASURE = (MEASURES, COMPLETENESS, TIMELINESS, CONDITIONS)


def carry_beside(old: Sequence[Old], new: Sequence[New], now: datetime) -> None:
    """Carry all that is not readings; the window of `now` is that of each shard's own refresh.

    Raises:
        LakeError: a lake cannot be read or written.
    """
    for table in (*_BY_MEASURE, STATIONS):
        _carry_windows(table, old, new, now)
    for each in old:
        first = next((one for one in new if one.shard.leads and _is_of(one, each)), new[0])
        for _, rows in _readable(each.lake, REJECTS, now):
            first.lake.add_rejects(rows)
        _carry_warnings(each.lake, first, now)
        # Whatever is pushed belongs to the first shard of all.
        for table in (STATIONS, MEASURES):
            _carry_pushed(each.lake, new[0].lake, table, now)
        for folder in (RECEIPTS, QUARANTINE, PUBLISHED):
            _copy(each.lake.store, new[0].lake.store, folder)


def _carry_windows(table: Table, old: Sequence[Old], new: Sequence[New], now: datetime) -> None:
    """Give each shard its rows of earlier hours, of all old lakes together."""
    there = [{each.window for each in one.lake.windows(table)} for one in new]
    known = set.intersection(*there)
    found = dict[datetime, list[tuple[Old, pa.Table]]]()
    for each in old:
        for window, rows in _readable(each.lake, table, now, known | {window_of(now)}):
            found.setdefault(window, []).append((each, rows))
    for window, parts in sorted(found.items(), key=lambda item: item[0]):
        for number, one in enumerate(new):
            rows = [_of(number, each, rows, table) for each, rows in parts]
            if window not in there[number] and any(map(len, rows)):
                data = encode(table, _newest(table, rows))
                with suppress(ConflictError):  # a refresh has written it
                    one.lake.store.put(key_of(table, window), data, replaces=None)


def _of(number: int, old: Old, rows: pa.Table, table: Table) -> pa.Table:
    """Return the rows of a shard: those of its measures, or the stations of these."""
    if table is not STATIONS:
        return rows.filter(pa.array(old.owners.of_rows(rows) == number))
    ids = {
        station for measure, (station, _) in old.owners.listed.items() if old.owners.of(measure, station) == number
    } - {None}
    return rows.filter(pc.is_in(rows["station_id"], value_set=pa.array(sorted(map(str, ids)), pa.string())))


def _newest(table: Table, parts: Iterable[pa.Table]) -> pa.Table:
    """Return the row of each key that was observed last."""
    (key,) = table.key
    rows = pa.concat_tables(parts).sort_by([(key, "ascending"), ("observed_at", "ascending")])
    ids = rows[key].to_numpy(zero_copy_only=False)
    last = np.append(ids[1:] != ids[:-1], True) if len(ids) else np.zeros(0, bool)
    return conform(table, rows.filter(pa.array(last)))


def _carry_warnings(old: Lake, new: New, now: datetime) -> None:
    """Give the shard that lists the warnings of an API those of earlier lists, and the present."""
    if not new.shard.leads:
        return
    for table in (WARNING_AREAS, WARNINGS):
        there = {each.window for each in new.lake.windows(table)}
        for window, rows in _readable(old, table, now, there):
            with suppress(ConflictError):
                new.lake.store.put(key_of(table, window), encode(table, rows), replaces=None)
        asked = current.asked_at(old.store, table)
        with suppress(DamagedWindowError):
            if asked is not None and (present := current.read(old.store, table)) is not None:
                current.put(new.lake.store, table, present[0], asked_at=asked)


def _carry_pushed(old: Lake, new: Lake, table: Table, now: datetime) -> None:
    """Upsert the gauges that publishers have listed; those that they have removed stay so."""
    blob = old.store.read(current_key(table))
    if blob is None or old.url == new.url:
        return
    removed = dict[str, datetime]()
    with suppress(DamagedWindowError):
        file = WindowFile(table, f"{old.url}/{blob.meta.key}", blob.data)
        removed = {name: from_ms(at) for name, at in file.removed.items()}
    rows = of_publishers(current.listed_now(old.store, table))
    stored = of_publishers(current.listed_now(new.store, table))
    if removed or (len(rows) and not rows.equals(stored)):
        new.put_listed(table, rows, removed, now)


def _copy(old: Store, new: Store, folder: str) -> None:
    """Copy receipts, quarantined objects and dead letters that are not there yet."""
    for meta in old.list(folder):
        if folder == PUBLISHED and window_of_dead_letter(meta.key) is None:
            continue  # cursors are carried with the readings
        if new.head(meta.key) is None and (blob := old.read(meta.key)) is not None:
            with suppress(ConflictError):
                new.put(meta.key, blob.data.to_pybytes(), replaces=None)


def move_waiting(old: Store, new: Store) -> None:
    """Move the batches and uploads that wait to be ingested; one whose id waits there with other content stays.

    Raises:
        LakeError: something could not be moved.
    """
    for meta in old.list(LANDING):
        blob = old.read(meta.key)
        if blob is None:
            continue
        try:
            new.put(meta.key, blob.data.to_pybytes(), replaces=None)
        except ConflictError:
            there = new.read(meta.key)
            if there is not None and there.data != blob.data:
                logger.error("%s/%s waits in %s with other content: it stays", old.url, meta.key, new.url)  # noqa: TRY400
                continue
        old.delete_unchanged(blob.meta)


def _readable(
    lake: Lake, table: Table, now: datetime, known: Collection[datetime] = ()
) -> Iterator[tuple[datetime, pa.Table]]:
    """Yield the retained windows, but for known ones, that can be read; name the others in the log."""
    windows = [each.window for each in lake.windows(table) if not is_expired(each.window, now)]
    windows = [window for window in windows if window not in known]
    for window, rows in lake.each(table, windows):
        if isinstance(rows, pa.Table):
            yield utc(window), rows
        else:
            # Nobody could fill it again.
            logger.warning("%s: it is not carried", rows)


def _is_of(new: New, old: Old) -> bool:
    return old.owners.api is None or is_same_source(new.claim.api, old.owners.api)
