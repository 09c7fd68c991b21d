"""Bring waiting batches into the lake: upsert, then the receipt with the batch behind it, then the batch is deleted.

Whoever is killed in between leaves a batch that the next run ingests again: it changes nothing, as its readings are
first seen when the batch landed, whoever ingests it and when. For the same reason a damaged window is filled again from
the batches of the day to what it was. Readings of a stream bring their own times, and are taken as they are.
"""

import logging
from bisect import bisect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.errors import ClockError, LakeError
from flood_assets.grouping import HOUR_MS
from flood_assets.lake import identity
from flood_assets.lake.lake import Lake
from flood_assets.lake.objects import ConflictError, Meta
from flood_assets.lake.parquet import DamagedWindowError, schema_of
from flood_assets.lake.pipeline import all_of
from flood_assets.lake.write import WindowChange
from flood_assets.landing import batches, gauges, streamed, uploads
from flood_assets.landing.errors import PushError
from flood_assets.landing.objects import (
    Batch,
    DamagedBatchError,
    Place,
    Receipt,
    Rows,
    decode_batch,
    encode_batch,
    encode_receipt,
)
from flood_assets.landing.rules import AHEAD
from flood_assets.landing.uploads import UploadPlace
from flood_assets.partitions import cutoff, to_ms, utc, window_of
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS, TIME, Table

logger = logging.getLogger("flood_assets.landing")

# Batches that are read at once, and rows that are upserted at once.
AT_ONCE = 1000
ROWS_AT_ONCE = 200_000
_THREADS = 8
_KEYS = list(READINGS.key)
_LISTS = (STATIONS, MEASURES)
_NONE = Rows([], [], [], [])
_OF_LIST = {table.name: f"{table.name} " for table in _LISTS}


@dataclass
class Ingestion:
    """The batches that a run has ingested.

    Attributes:
        receipts: of those with readings, in the order in which they were ingested.
        repeated: batches that had been ingested before, and were only deleted.
        unreadable: names under which undecodable batches are kept.
        windows: the changes of windows; a window may have several.
        restored: readings of damaged windows that were stored again, from batches that had been ingested before.
    """

    receipts: list[Receipt] = field(default_factory=list)
    repeated: int = 0
    unreadable: list[str] = field(default_factory=list)
    windows: list[WindowChange] = field(default_factory=list)
    restored: int = 0

    def count(self, name: str) -> int:
        """Sum a count of the receipts, such as `added`."""
        return sum(getattr(each, name) or 0 for each in self.receipts)


def ingest(lake: Lake, now: datetime) -> Ingestion:
    """Ingest all batches that wait, in the order in which they landed.

    Raises:
        LakeError: the lake could not be read or written; what is left is ingested by the next run.
        ClockError: the clock is behind that of whoever landed a batch.
    """
    identity.require_format(lake.store)
    found = Ingestion()
    landed = batches.landed(lake.store)
    # First, so that what was pushed since is a revision of it.
    _restore(lake, landed.lost, now, found)
    listed = landed.batches
    if listed or landed.uploads:
        for table in _LISTS:
            lake.carry_listed(table, now)
    for start in range(0, len(listed), AT_ONCE):
        loaded = _loaded(lake, [place for place, _ in listed[start : start + AT_ONCE]], now, found)
        loaded.sort(key=lambda each: (each[1].landed_at, each[0]))
        if loaded:
            newest = loaded[-1][1]
            _require_clock(newest.publisher, newest.landed_at, now)
        # Those of streams may be united in any order, also if they have the same keys.
        followed = [each for each in loaded if each[1].states is not None]
        pushed = [each for each in loaded if each[1].states is None]
        for group in (*_groups(pushed, apart=True), *_groups(followed, apart=False)):
            _ingest_or_put_aside(lake, group, now, found)
    for place, meta in landed.uploads:
        _ingest_upload(lake, place, meta, now, found)
    for place in landed.overdue(now):
        _refuse(lake, place, f"nothing was uploaded within {uploads.GIVEN_UP / timedelta(hours=1):g} hours", now)
    if any(change.quarantined_as for change in found.windows):
        # An upsert was the first to find the damage.
        _restore(lake, batches.landed(lake.store).lost, now, found)
    return found


def _restore(lake: Lake, lost: Mapping[str, datetime], now: datetime, found: Ingestion) -> None:
    """Store the pushed readings of damaged windows again, as they were, and take it that this was asked for."""
    if not lost:
        return
    windows = set(lost.values())
    parts = (_within(batch, windows) for batch in batches.kept(lake.store))
    loaded = [(Place(batch.publisher, batch.id), batch) for batch in parts if batch.readings.measure_id]
    files = [(receipt.landed_at, rows) for receipt, rows in _kept_files(lake, windows)]
    ends = sorted(landed_at for landed_at, _ in files)
    # In the order in which they landed: of the batches those before each file, the file, and so on.
    loaded.sort(key=lambda each: (each[1].landed_at, each[0]))
    tables = [
        (group[0][1].landed_at, _rows([batch for _, batch in group]))
        for _, span in groupby(loaded, key=lambda each: bisect(ends, each[1].landed_at))
        for group in _groups(list(span), apart=True)
    ]
    for _, rows in sorted([*tables, *files], key=itemgetter(0)):
        found.windows += _upsert(lake, rows, now)
        found.restored += len(rows)
    if found.restored:
        named = ", ".join(f"{window:%Y-%m-%d %H:%M}" for window in sorted(windows))
        logger.warning("%d pushed readings of damaged windows were stored again: %s", found.restored, named)
    lake.store.delete(list(lost))


def _kept_files(lake: Lake, windows: Collection[datetime]) -> Iterator[tuple[Receipt, pa.Table]]:
    """Yield the readings of some windows in the uploads of the last day, and the receipt of each."""
    for place, meta in batches.kept_uploads(lake.store):
        known = uploads.settled(lake.store, place)
        if known is not None:
            upload, receipt = known
            rows = streamed.read(lake.store, meta, upload, receipt.landed_at, _no_units).readings
            hours = pc.floor_temporal(rows["date_time"], unit="hour")
            yield receipt, rows.filter(pc.is_in(hours, pa.array(sorted(windows), TIME)))


def _no_units() -> Mapping[str, str]:
    return {}


def _within(batch: Batch, windows: Collection[datetime]) -> Batch:
    """Return a batch with only its readings of some windows."""
    starts = {to_ms(window) for window in windows}
    chosen = [number for number, at in enumerate(batch.readings.date_time) if at - at % HOUR_MS in starts]
    columns = zip(batch.readings.__struct_fields__, msgspec.structs.astuple(batch.readings), strict=True)
    readings = Rows(**{name: [column[number] for number in chosen] if column else column for name, column in columns})
    return msgspec.structs.replace(batch, readings=readings)


def _loaded(lake: Lake, places: Sequence[Place], now: datetime, found: Ingestion) -> list[tuple[Place, Batch]]:
    """Read batches; delete those that have a receipt, and put aside what cannot be decoded."""

    def load(place: Place) -> tuple[Place, Batch] | str | None:
        blob = lake.store.read(place.batch)
        if blob is None:  # another run has ingested it
            return None
        if uploads.done(lake.store, place) is not None:
            lake.store.delete([place.batch])
            return ""
        data = blob.data.to_pybytes()
        try:
            batch = decode_batch(data)
            if Place.of(batch.publisher, batch.id) != place:
                raise DamagedBatchError(f"it says that it is {batch.publisher}/{batch.id}")  # noqa: TRY301
        except DamagedBatchError as error:
            return _put_aside(lake, place, data, str(error), blob.meta.modified, now)
        return place, batch

    loaded = all_of(load, places, 1 if lake.store.local else _THREADS)
    found.repeated += sum(each == "" for each in loaded)
    found.unreadable += [each for each in loaded if isinstance(each, str) and each]
    return [each for each in loaded if isinstance(each, tuple)]


def _require_clock(publisher: str, landed_at: datetime, now: datetime) -> None:
    """Refuse a clock that is behind: retained readings would count as future, and later as expired."""
    if landed_at > now + AHEAD:
        raise ClockError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M:%SZ}, but a batch of '{publisher}' landed at "
            f"{landed_at:%Y-%m-%d %H:%M:%SZ}: set the clock (NTP). Nothing was changed"
        )


def _put_aside(lake: Lake, place: Place, data: bytes, why: str, landed_at: datetime, now: datetime) -> str:
    """Keep a batch that cannot be decoded where nobody reads it, and say so in its receipt; return its new name."""
    try:
        lake.store.put(place.dead, data, replaces=None)
    except ConflictError:
        logger.info("%s is kept already", place.dead)
    logger.error("%s/%s cannot be decoded (%s): it is kept as %s", lake.url, place.batch, why, place.dead)
    receipt = Receipt(place.id, place.publisher, "", landed_at, "unreadable", 0, 0, 0, 0, ingested_at=now)
    batches.receive(lake.store, place, receipt, encode_receipt(receipt))
    lake.store.delete([place.batch])
    return place.dead


def _groups(loaded: Sequence[tuple[Place, Batch]], *, apart: bool) -> Iterator[list[tuple[Place, Batch]]]:
    """Yield runs of batches, each for one upsert.

    If they are to be `apart`, no two of a run have the same key, and no revision is lost.
    """
    group, keys = list[tuple[Place, Batch]](), set[tuple[str, int]]()
    for each in loaded:
        own = set(zip(each[1].readings.measure_id, each[1].readings.date_time, strict=True))
        if group and ((apart and not keys.isdisjoint(own)) or len(keys) + len(own) > ROWS_AT_ONCE):
            yield group
            group, keys = [], set()
        group.append(each)
        keys |= own
    if group:
        yield group


def _ingest_or_put_aside(lake: Lake, group: Sequence[tuple[Place, Batch]], now: datetime, found: Ingestion) -> None:
    """Ingest batches; one that cannot be, whoever wrote it, holds up no other."""
    try:
        _ingest(lake, group, now, found)
    except (ValueError, OverflowError, pa.ArrowException) as error:
        if len(group) > 1:
            for each in group:
                _ingest_or_put_aside(lake, [each], now, found)
        else:
            ((place, batch),) = group
            data, why = encode_batch(batch), str(error).splitlines()[0][:200]
            found.unreadable.append(_put_aside(lake, place, data, why, batch.landed_at, now))


def _ingest(lake: Lake, group: Sequence[tuple[Place, Batch]], now: datetime, found: Ingestion) -> None:
    for table in _LISTS:
        _list(lake, table, [batch for _, batch in group], now)
    # After the lists, which say to which station each reading belongs.
    rows = _rows([batch for _, batch in group])
    found.windows += _upsert(lake, rows, now)
    rejects = [_rejects(batch) for _, batch in group if batch.refused]
    if rejects:
        lake.add_rejects(pa.concat_tables(rejects))
    fates = _fates(lake, rows, len(group), now)

    def receive(number: int) -> Receipt:
        place, batch = group[number]
        receipt = msgspec.structs.replace(
            Receipt.of(batch),
            state="ingested",
            ingested_at=now,
            listed=len(lists := [*batch.stations, *batch.measures]) - sum(gauges.REMOVED in row for row in lists),
            removed=sum(gauges.REMOVED in row for row in lists),
            **{name: int(counts[number]) for name, counts in fates.items()},
        )
        # A stream is read again after damage, so its batches, a whole day of a country, are not kept.
        kept = b"" if batch.states else encode_batch(batch)
        return batches.receive(lake.store, place, receipt, encode_receipt(receipt, kept))

    found.receipts += all_of(receive, range(len(group)), 1 if lake.store.local else _THREADS)
    lake.store.delete([place.batch for place, _ in group])


def _list(lake: Lake, table: Table, group: Sequence[Batch], now: datetime) -> None:
    """Upsert the stations or the measures of some batches."""
    given = [(batch, rows) for batch in group if (rows := getattr(batch, table.name))]
    if given:
        rows = pa.concat_tables([gauges.listed(table, rows, batch.landed_at) for batch, rows in given])
        removed = {id_: batch.landed_at for batch, rows in given for id_ in gauges.removed(table, rows)}
        lake.put_listed(table, rows, removed, now)


def _ingest_upload(lake: Lake, place: UploadPlace, content: Meta, now: datetime, found: Ingestion) -> None:
    """Ingest an uploaded file, or refuse it, and write its receipt."""
    store = lake.store
    upload = uploads.announced(store, place)
    if upload is None or uploads.done(store, place) is not None:
        # It was ingested before, and is uploaded again or was not deleted yet; or somebody else put it there.
        store.delete([place.content, place.expected])
        found.repeated += 1
        return
    landed_at = uploads.landed_at(place, content)
    _require_clock(place.publisher, landed_at, now)
    units = cache(partial(_units, lake, now))
    try:
        read = streamed.read(store, content, upload, landed_at, units)
    except ConflictError:
        return  # another run has ingested it
    except PushError as error:
        found.receipts.append(_refuse(lake, place, str(error), now, landed_at))
        return
    if len(read.readings):
        found.windows += _upsert(lake, read.readings, now)
    if read.refused:
        lake.add_rejects(_rejects(Batch(*place, "", landed_at, 0, 0, _NONE, read.refused)))
    receipt = Receipt(
        id=place.id,
        publisher=place.publisher,
        digest=read.digest,
        landed_at=landed_at,
        state="ingested",
        rows=read.given,
        accepted=read.given - read.refused_rows,
        rejected=read.refused_rows,
        repeated=read.repeated,
        reasons=[each.told for each in read.refused],
        ingested_at=now,
    )
    fates = {name: int(counts[0]) for name, counts in _fates(lake, read.readings, 1, now).items()}
    receipt = msgspec.structs.replace(receipt, listed=0, removed=0, **fates)
    found.receipts.append(uploads.settle(store, place, receipt, upload, keep=True))


def _refuse(lake: Lake, place: UploadPlace, why: str, now: datetime, landed_at: datetime | None = None) -> Receipt:
    """Say in the receipt of an upload why nothing of it was taken, and delete it."""
    logger.warning("the upload %s of '%s' is refused: %s", place.id, place.publisher, why)
    receipt = Receipt(place.id, place.publisher, "", landed_at or now, "refused", 0, 0, 0, 0, why=why, ingested_at=now)
    return uploads.settle(lake.store, place, receipt, uploads.announced(lake.store, place))


def _units(lake: Lake, now: datetime) -> Mapping[str, str]:
    listed = lake.newest_snapshot(MEASURES, now, columns=("measure_id", "unit"))
    rows = [] if listed is None else listed.to_pylist()
    return {row["measure_id"]: row["unit"] for row in rows if row["unit"]}


def _rows(group: Sequence[Batch]) -> pa.Table:
    """Return the readings of some batches, when each was observed, and the number of its batch.

    They are observed when their batch landed; those of a stream when the other lake saw the value.
    """
    states, sizes = group[0].states is not None, [len(batch.readings.measure_id) for batch in group]
    given = [batch.columns for batch in group]
    columns: dict[str, Any] = {}
    for column in READINGS.columns:
        if column.name in given[0]:
            cells = [cell for each in given for cell in each[column.name]]
            is_time = column.type == TIME
            columns[column.name] = pa.array(cells, pa.int64()).cast(TIME) if is_time else pa.array(cells, column.type)
    landed = np.repeat(np.array([to_ms(batch.landed_at) for batch in group], np.int64), sizes)
    columns["observed_at"] = columns["changed_at"] if states else pa.array(landed).cast(TIME)
    return pa.table(columns | {"batch": np.repeat(np.arange(len(group)), sizes)})


def _upsert(lake: Lake, rows: pa.Table, now: datetime) -> list[WindowChange]:
    """Upsert readings; those of a clock that is ahead by minutes, which were accepted, too."""
    if "changed_at" in rows.column_names:
        return lake.follow_readings(rows.select(READINGS.schema.names), now).windows
    stations = lake.newest_snapshot(MEASURES, now, columns=("measure_id", "station_id"))
    rows, changes = rows.drop_columns("batch"), list[WindowChange]()
    ahead = pc.greater(rows["date_time"], pa.scalar(now, TIME))
    for part, moment in ((rows.filter(pc.invert(ahead)), now), (rows.filter(ahead), None)):
        if len(part):
            # Readers cut at their own now, so that nobody sees what is ahead before its time.
            until = moment or pc.max(part["date_time"]).as_py()
            changes += lake.upsert_readings(part, now, until, stations=stations).windows
    return changes


def _fates(lake: Lake, rows: pa.Table, size: int, now: datetime) -> dict[str, np.ndarray]:
    """Return what became of the readings, counted for each of `size` batches, from what is stored now.

    The stored times say it, so that a run after one that was killed counts the same.
    """
    nothing = {name: np.zeros(size, np.int64) for name in ("added", "revised", "unchanged", "expired")}
    if not len(rows):
        return nothing
    # Those of a stream may be of any time; what has expired is not stored.
    recent = rows["date_time"].filter(pc.greater_equal(rows["date_time"], window_of(cutoff(now))))
    windows = sorted(map(utc, pc.unique(pc.floor_temporal(recent, unit="hour")).to_pylist()))
    names = [*_KEYS, "first_seen_at", "changed_at", "revision"]
    ids = pc.unique(rows["measure_id"]).to_pylist()
    pieces = [schema_of(READINGS, names).empty_table()]
    for _, piece in lake.each(READINGS, windows, columns=names, measure_ids=ids):
        if isinstance(piece, DamagedWindowError):
            raise piece
        pieces.append(piece)
    stored = pa.concat_tables(pieces)
    both = rows.select([*_KEYS, "observed_at", "batch"]).join(stored, keys=_KEYS, join_type="left outer")
    landed, first, changed = (both[name].cast(pa.int64()) for name in ("observed_at", "first_seen_at", "changed_at"))
    gone = pc.is_null(first)
    expired = pc.and_(gone, pc.less_equal(both["date_time"], pa.scalar(cutoff(now), TIME)))
    if lost := len(both) - (pc.sum(pc.or_(pc.invert(gone), expired)).as_py() or 0):
        raise LakeError(
            f"{lake.url}: {lost} readings of a batch were stored and are gone: was a window put aside or the lake "
            "deleted? The next run ingests them again"
        )
    revised = pc.and_(pc.equal(changed, landed), pc.greater(both["revision"], 0)).fill_null(False)
    added = pc.and_(pc.equal(first, landed).fill_null(False), pc.invert(revised))
    fate = {"added": added, "revised": revised, "expired": expired}
    fate["unchanged"] = pc.invert(pc.or_(pc.or_(added, revised), expired))
    batch = both["batch"].to_numpy()
    return {name: np.bincount(batch, weights=fate[name].to_numpy(), minlength=size) for name in fate}


def _rejects(batch: Batch) -> pa.Table:
    lines = [
        f"{batch.publisher}/{batch.id} {_OF_LIST.get(each.list, '')}row {each.row}: {each.line}"
        for each in batch.refused
    ]
    seen = pa.array([batch.landed_at] * len(lines), TIME)
    return pa.table([seen, lines, [each.reason for each in batch.refused]], schema=REJECTS.schema)
