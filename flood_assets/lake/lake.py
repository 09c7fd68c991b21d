"""The lake: opened by its URL, filled window by window, read with everything older than a day cut off.

This file is the order in which things are done and the promises that follow from it. Where objects lie is in
`layout`, bytes in `store`, Parquet in `parquet`, what a merge makes of rows in `merge`, deletion in `retention`.
Nothing here looks at the clock: `now` is an argument.
"""

import json
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.errors import LakeError, WrongLakeError
from flood_assets.grouping import Ints, WindowRows
from flood_assets.lake import parquet, retention, watermarks
from flood_assets.lake import upsert as merging
from flood_assets.lake.layout import IDENTITY, key_of, quarantine_key, window_of_key
from flood_assets.lake.parquet import DamagedWindowError, RangedFile, WindowFile, conform, joined, schema_of
from flood_assets.lake.retention import Expiry
from flood_assets.lake.s3 import S3Settings
from flood_assets.lake.store import Blob, ConflictError, Meta, Patience, Store, open_store
from flood_assets.lake.turns import Turns
from flood_assets.partitions import WINDOW, cutoff, from_ms, is_expired, utc, window_of, windows_between
from flood_assets.schemas import READINGS, REJECTS, TABLES, Table

LAYOUT = 1
# Windows that are read at once: with two cores more gain nothing, in a distant bucket each waits for its answer.
READERS = 4
# Arrow uses both of two cores; each more would hold one more window in memory.
WRITERS = 2
ATTEMPTS = 12
WHOLE_UP_TO = 4 * 1024 * 1024

logger = logging.getLogger("flood_assets.lake")

T = TypeVar("T")


@dataclass(frozen=True)
class WindowChange:
    """What became of one window.

    Attributes:
        window: its start.
        rows: rows that it holds now.
        added: given rows with a new key.
        revised: given rows that replaced other content.
        unchanged: given rows that changed nothing.
        size: bytes of the object now.
        written: whether it was written; a window whose content stays is not.
        oldest: the oldest time in it; None without rows and for snapshots.
        newest: the newest time in it; likewise.
        seconds_read: fetching and decoding what was stored.
        seconds_merge: merging.
        seconds_write: encoding and putting.
        filled: stored readings that were given their station.
        quarantined: where a damaged object was moved that lay in the window's place.
    """

    window: datetime
    rows: int
    added: int
    revised: int
    unchanged: int
    size: int
    written: bool
    oldest: datetime | None
    newest: datetime | None
    seconds_read: float
    seconds_merge: float
    seconds_write: float
    filled: int = 0
    quarantined: str | None = None


@dataclass(frozen=True)
class Upserted:
    """What became of a fetch.

    Attributes:
        windows: those that it has rows of, oldest first.
        expired: rows that were older than a day and are not stored.
        future: rows that were later than now and are not stored.
        repeated: rows whose key came again later in the same fetch; the last one counts.
    """

    windows: list[WindowChange]
    expired: int
    future: int
    repeated: int


@dataclass(frozen=True)
class StoredWindow:
    """A window as a listing shows it."""

    window: datetime
    key: str
    size: int
    e_tag: str | None
    modified: datetime


@dataclass(frozen=True)
class Content:
    """What a window holds: rows, bytes, and its oldest and newest time (None without rows and for snapshots)."""

    rows: int
    size: int
    oldest: datetime | None
    newest: datetime | None


_NOTHING = Content(0, 0, None, None)


@dataclass(frozen=True)
class Stored:
    """A window's object, opened."""

    meta: Meta
    file: WindowFile


@dataclass(frozen=True)
class _Outcome:
    """What a window shall hold; `rows` is None when it shall stay as it is."""

    rows: pa.Table | None
    count: int
    added: int
    revised: int
    unchanged: int
    filled: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None


class Lake:
    """The tables of `schemas` as hourly windows below one URL. Safe to use from several threads and processes.

    Args:
        store: the bytes.
        writers: how many windows are merged at once; of what is stored in the end it changes nothing.

    Attributes:
        store: likewise; for the modules beside this one.
    """

    def __init__(self, store: Store, *, writers: int = WRITERS) -> None:
        self.store = store
        self._writers = writers

    @classmethod
    def open(cls, url: str, *, s3: S3Settings | None = None, patience: Patience | None = None) -> "Lake":
        """The lake at a URL; a folder is made if need be, a bucket must exist.

        Args:
            url: `file:///folder`, `s3://bucket/prefix`, `az://container/prefix` or `gs://bucket/prefix`.
            s3: an object shaped like `dagster_aws.s3.S3Resource`; without it the usual AWS configuration applies.
            patience: how long a bucket is waited for.

        Raises:
            SettingsError: another kind of URL.
            LakeError: no credentials, or a folder that cannot be made.
        """
        return cls(open_store(url, s3, patience))

    @property
    def url(self) -> str:
        """Where it is, without a trailing slash."""
        return self.store.url

    # -- identity

    def claim(self, api_url: str) -> None:
        """Make sure that this lake holds this API's readings; the first claim decides, and is remembered.

        Raises:
            WrongLakeError: it was filled from another API.
            LakeError: it was filled by a newer layout, or its `_lake.json` cannot be read.
        """
        api_url = api_url.rstrip("/")
        source = self.source()
        if source is None:
            content = json.dumps({"api": api_url, "layout": LAYOUT}).encode()
            try:
                with self.store.guard(IDENTITY):
                    self.store.put(IDENTITY, content, replaces=None)
                source = api_url
            except ConflictError:
                source = self.source()
        if source != api_url:
            raise WrongLakeError(
                f"the lake {self.url} holds readings of {source} and not of {api_url}: "
                "set FLOOD_LAKE_URL to another place, or delete the lake"
            )

    def source(self) -> str | None:
        """The API that the lake is filled from; None as long as nobody has claimed it."""
        blob = _whole(self.store.get(IDENTITY))
        if blob is None:
            return None
        place = f"{self.url}/{IDENTITY}"
        try:
            identity = json.loads(blob.data.to_pybytes())
            api, layout = identity["api"], identity["layout"]
            if not isinstance(api, str) or not isinstance(layout, int):
                raise TypeError("'api' must be text and 'layout' a number")  # noqa: TRY301 - one message for all of it
        except (ValueError, KeyError, TypeError) as error:
            raise LakeError(
                f"{place} cannot be understood ({error}): delete it, and the next refresh writes it anew"
            ) from error
        if layout > LAYOUT:
            raise LakeError(f"{place} says layout {layout}; this version knows {LAYOUT}: upgrade flood_assets")
        return api

    # -- writing

    def upsert_readings(
        self,
        rows: pa.Table,
        observed_at: datetime,
        now: datetime,
        *,
        stations: pa.Table | Mapping[str, str] | None = None,
    ) -> Upserted:
        """Merge fetched readings into their windows, the oldest window first.

        The order is a promise: a run that is killed leaves older windows complete and newer ones as they were, so a
        gauge's newest stored time never runs ahead of a gap, and the next tick asks for what is missing. A window is
        read and merged while the one before is written, but put only after it.

        Only retained rows are stored. The same key and value changes nothing (the order of several values, `a|b`, says
        nothing); another value is a revision, unless the API was asked for the stored value later. Stored rows
        that the fetch does not mention stay. A window whose content stays is not written. A damaged window is set
        aside, logged, and written anew from this fetch.

        Args:
            rows: measure_id (string or dictionary), date_time, value, raw_value, perhaps station_id and observed_at.
            observed_at: when the API was asked, where `rows` do not say it of each row.
            now: decides what is retained.
            stations: the station of each measure: a mapping, or a table with measure_id and station_id such as
                `newest_snapshot(MEASURES, now)`. Stored rows without a station in these windows get it too.

        Raises:
            ValueError: `rows` is not such a table.
            LakeError: the lake could not be read or written.
        """
        fetch = merging.split(rows, observed_at, now, stations)
        turns = Turns(len(fetch.windows))

        def merged(number: int) -> WindowChange:
            window = fetch.windows[number]
            start = from_ms(window.start)
            revise = partial(_merged, fetch=fetch, window=window, place=f"{self.url}/{key_of(READINGS, start)}")
            with turns.of(number) as mine:
                return self._update(READINGS, start, revise, wait=mine)

        return Upserted(turns.all(merged, self._writers), fetch.expired, fetch.future, fetch.repeated)

    def ensure_windows(self, table: Table, windows: Iterable[datetime]) -> None:
        """Store those of the windows that are not there as empty ones: they were asked for, and there was nothing.

        Raises:
            LakeError: the lake could not be read or written.
        """
        there = {stored.window for stored in self.windows(table)}
        for window in sorted(set(windows) - there):
            key = key_of(table, window)
            with self.store.guard(key):
                try:
                    self.store.put(key, self.encode(table, table.schema.empty_table()), replaces=None)
                except ConflictError:
                    continue

    def put_snapshot(self, table: Table, window: datetime, rows: pa.Table) -> WindowChange:
        """Replace a window of `stations` or `measures`, unless only `observed_at` would change, or it is newer.

        Raises:
            ValueError: the rows are not the table's.
            LakeError: the lake could not be read or written.
        """
        return self.put_snapshots(table, [window], rows)[0]

    def put_snapshots(self, table: Table, windows: Iterable[datetime], rows: pa.Table) -> list[WindowChange]:
        """The same for several windows, which shall hold the same."""
        new = conform(table, rows)
        encoded: list[bytes] = []

        def encode(rows: pa.Table) -> bytes:
            if rows is not new:
                return self.encode(table, rows)
            if not encoded:
                encoded.append(self.encode(table, new))
            return encoded[0]

        revise = partial(_replaced, table=table, new=new)
        return [self._update(table, window_of(window), revise, encode=encode) for window in windows]

    def add_rejects(self, rows: pa.Table) -> list[WindowChange]:
        """Add rows to `rejects`, each in the window of its `seen_at`, oldest first; a line is kept once, as first seen.

        Raises:
            ValueError: the rows are not of `schemas.REJECTS`.
            LakeError: the lake could not be read or written.
        """
        hours = pc.floor_temporal(rows.column(REJECTS.time), unit="hour")
        windows: list[datetime] = sorted(pc.unique(hours).to_pylist())
        return [
            self._update(
                REJECTS,
                utc(window),
                partial(_united, table=REJECTS, new=conform(REJECTS, rows.filter(pc.equal(hours, window)))),
            )
            for window in windows
        ]

    def quarantine(self, table: Table, window: datetime) -> str | None:
        """Move a damaged window's object below `_quarantine/` and put an empty one in its place.

        Exactly the version that was found damaged is replaced, in one write: of two runs that find it at once one does
        it, and what a third has written there meanwhile stays. The watermarks forget before that what the window held,
        so that the next refresh reads the day whole, whatever becomes of this run.

        Returns:
            The name under which it is kept; None when the window is sound, or there is none.

        Raises:
            LakeError: the lake could not be read or written.
        """
        key = key_of(table, window_of(window))
        for _ in self.attempts(key):
            with self.store.guard(key):
                blob = _whole(self.store.get(key))
                damage = None if blob is None else self._damage(table, key, blob)
                if blob is None or damage is None:
                    return None
                aside = self._kept_aside(table, blob)
                try:
                    self.store.put(key, self.encode(table, table.schema.empty_table()), replaces=blob.meta)
                except ConflictError:
                    continue
                logger.error("%s. It is kept as %s, and an empty window is in its place", damage, aside)
                return aside
        raise AssertionError("attempts() ends with an error")

    def inspect(self, table: Table, windows: Sequence[datetime]) -> tuple[dict[datetime, Content], dict[datetime, str]]:
        """Look at the footers of windows, and quarantined those that are none of this table by it.

        Damage inside is found by whoever decodes the rows, a merge or the checks, which do the same.

        Returns:
            What each that is there holds, oldest first; and where each that was damaged is kept, in whose place an
            empty one stands.
        """
        looked = dict(zip(windows, self._looked(partial(self._content_or_damage, table), windows), strict=True))
        contents = {window: found for window, found in looked.items() if isinstance(found, Content)}
        damaged = [window for window, found in looked.items() if isinstance(found, DamagedWindowError)]
        moved = {window: aside for window in damaged if (aside := self.quarantine(table, window))}
        return dict(sorted({**contents, **dict.fromkeys(damaged, _NOTHING)}.items())), moved

    def damaged(self, table: Table) -> list[datetime]:
        """The windows of a table that cannot be read, oldest first; each is decoded whole."""

        def is_damaged(window: datetime) -> bool:
            key = key_of(table, window)
            blob = _whole(self.store.get(key))
            return blob is not None and self._damage(table, key, blob) is not None

        windows = [stored.window for stored in self.windows(table)]
        with ThreadPoolExecutor(READERS) as pool:
            return [window for window, bad in zip(windows, pool.map(is_damaged, windows), strict=True) if bad]

    # -- reading

    def read(
        self,
        table: Table,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        now: datetime,
        columns: Sequence[str] | None = None,
        measure_ids: Iterable[str] | None = None,
        coded: bool = False,
    ) -> pa.Table:
        """The retained rows with `start <= time < end`, by window and within a window by key.

        Whatever is asked for, no row is older than a day or later than `now`. A snapshot's time is the start of its
        window, and its rows are there once for each window.

        Args:
            table: of `schemas`.
            start: None for everything retained.
            end: None for everything up to and including `now`.
            now: decides what is retained.
            columns: only these, in this order; others are not decoded.
            measure_ids: only these; row groups without them are not decoded.
            coded: ids and raw values as dictionaries instead of plain strings.

        Raises:
            DamagedWindowError: an object is not a window of this table.
            LakeError: an unknown column, or the lake could not be read.
        """
        cut = _Cut(table, cutoff(now), utc(start) if start else None, utc(end) if end else None, utc(now))
        return self._read(cut.windows(), cut, columns, measure_ids, coded=coded)

    def read_window(
        self,
        table: Table,
        window: datetime,
        *,
        now: datetime,
        columns: Sequence[str] | None = None,
        measure_ids: Iterable[str] | None = None,
        coded: bool = False,
    ) -> pa.Table:
        """The retained rows of one window, as `read` gives them; no rows when there is no such window."""
        cut = _Cut(table, cutoff(now), window_of(window), window_of(window) + WINDOW, utc(now))
        return self._read(cut.windows(), cut, columns, measure_ids, coded=coded)

    def windows(self, table: Table) -> list[StoredWindow]:
        """What is stored of a table, oldest first, expired or not; strangers' files are left out."""
        found = [(window_of_key(table, meta.key), meta) for meta in self.store.list(table.name)]
        return sorted(
            (
                StoredWindow(window, meta.key, meta.size, meta.e_tag, meta.modified)
                for window, meta in found
                if window is not None
            ),
            key=lambda stored: stored.window,
        )

    def newest_snapshot(self, table: Table, now: datetime, *, columns: Sequence[str] | None = None) -> pa.Table | None:
        """The rows of a snapshot's newest window, or only some columns of them; None when none is retained.

        A damaged one is logged and skipped, and so is an empty one, which stands where a damaged one was.
        """
        for key in self._snapshots(table, now):
            try:
                opened = self.load(table, key)
                if opened is not None and opened.file.rows:
                    return opened.file.read(columns)
            except DamagedWindowError as error:
                logger.error("%s; an older snapshot is used", error)  # noqa: TRY400 - the message says it all
        return None

    def contents(self, table: Table, windows: Sequence[datetime]) -> dict[datetime, Content]:
        """What each window holds, from the Parquet footers alone; a window that is not there holds nothing."""
        found = self._looked(partial(self._content, table), windows)
        return {window: content or _NOTHING for window, content in zip(windows, found, strict=True)}

    def oldest_row(self, table: Table, window: datetime) -> datetime | None:
        """The oldest time in a window, from the Parquet footer alone; None without rows, a window, or a time column."""
        found = self.open_footer(table, key_of(table, window_of(window)))
        return None if found is None else found.file.oldest()

    # -- retention

    def expired(self, now: datetime, *, tables: Iterable[Table] | None = None) -> list[Expiry]:
        """What `expire` would do, cheaply: `rows` are not looked up."""
        return retention.expired(self, now, TABLES.values() if tables is None else tables)

    def expire(self, now: datetime, *, dry_run: bool = False, tables: Iterable[Table] | None = None) -> list[Expiry]:
        """Delete what is older than a day and make sure that it is gone; see `retention`.

        Raises:
            LakeError: something expired is still there.
        """
        return retention.expire(self, now, TABLES.values() if tables is None else tables, dry_run=dry_run)

    # -- for the modules beside this one

    def load(self, table: Table, key: str) -> Stored | None:
        """A window's whole object, opened; None without one. DamagedWindowError when it is none."""
        blob = _whole(self.store.get(key))
        if blob is None:
            return None
        return Stored(blob.meta, WindowFile(table, f"{self.url}/{key}", blob.data))

    def open_footer(self, table: Table, key: str) -> Stored | None:
        """A window of which no rows are wanted; None without an object.

        A small object is transferred whole, in one request: asking for a footer takes three.
        """
        for _ in self.attempts(key):
            found = self.store.get(key, whole_up_to=WHOLE_UP_TO)
            if found is None:
                return None
            if isinstance(found, Blob):
                return Stored(found.meta, WindowFile(table, f"{self.url}/{key}", found.data))
            try:
                return Stored(found, self._ranged(table, found))
            except ConflictError:
                continue
        return None

    def attempts(self, key: str) -> Iterator[int]:
        """Numbers of attempts, with a growing random pause between them; LakeError when they are used up."""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, min(2.0, 0.02 * 2**attempt)))
            yield attempt
        raise LakeError(f"{self.url}/{key}: {ATTEMPTS} attempts met another writer each time: are many runs at work?")

    def encode(self, table: Table, rows: pa.Table) -> bytes:
        """The bytes of a window."""
        return parquet.encode(table, rows)

    # -- private

    def _update(
        self,
        table: Table,
        window: datetime,
        revise: Callable[[pa.Table | None], _Outcome],
        *,
        wait: Callable[[], None] = lambda: None,
        encode: Callable[[pa.Table], bytes] | None = None,
    ) -> WindowChange:
        """Read a window, let `revise` say what it shall hold, and write that if nobody else wrote meanwhile.

        Args:
            table: whose window it is.
            window: its start.
            revise: given the window's rows, or None where there is none; DamagedWindowError if nothing can be made
                of them.
            wait: called before anything is put.
            encode: what makes bytes of rows, if not `self.encode`.
        """
        key = key_of(table, window)
        for _ in self.attempts(key):
            with self.store.guard(key):
                started = time.perf_counter()
                blob = _whole(self.store.get(key))
                aside = None
                read = started
                try:
                    stored = None if blob is None else self._decoded(table, key, blob)
                    read = time.perf_counter()
                    outcome = revise(stored)
                except DamagedWindowError as error:
                    assert blob is not None  # noqa: S101 - for the type checker: what is not there cannot be damaged
                    wait()
                    aside = self._kept_aside(table, blob)
                    logger.error("%s. It is kept as %s and the window is written anew", error, aside)  # noqa: TRY400
                    outcome = revise(None)
                merged = time.perf_counter()
                change = WindowChange(
                    window=window,
                    rows=outcome.count,
                    added=outcome.added,
                    revised=outcome.revised,
                    unchanged=outcome.unchanged,
                    size=0 if blob is None else blob.meta.size,
                    written=outcome.rows is not None,
                    oldest=outcome.oldest,
                    newest=outcome.newest,
                    seconds_read=read - started,
                    seconds_merge=merged - read,
                    seconds_write=0.0,
                    filled=outcome.filled,
                    quarantined=aside,
                )
                if outcome.rows is None:
                    return change
                data = encode(outcome.rows) if encode else self.encode(table, outcome.rows)
                encoded = time.perf_counter()
                wait()
                turn = time.perf_counter()
                try:
                    self.store.put(key, data, replaces=None if blob is None else blob.meta)
                except ConflictError:
                    continue
                put = time.perf_counter()
                return replace(change, size=len(data), seconds_write=encoded - merged + put - turn)
        raise AssertionError("attempts() ends with an error")

    def _decoded(self, table: Table, key: str, blob: Blob) -> pa.Table:
        """The rows of a window that is about to be changed, all columns."""
        return WindowFile(table, f"{self.url}/{key}", blob.data).read(strict=table is READINGS)

    def _kept_aside(self, table: Table, blob: Blob) -> str:
        """Keep a copy of a damaged object that is about to be replaced, and let the watermarks forget what it held."""
        aside = quarantine_key(blob.meta.key, blob.meta.modified, blob.data)
        with suppress(ConflictError):  # another run found the same bytes and has kept them
            self.store.put(aside, blob.data.to_pybytes(), replaces=None)
        if table is READINGS:
            watermarks.forget(self)
        return aside

    def _damage(self, table: Table, key: str, blob: Blob) -> DamagedWindowError | None:
        """What is wrong with the window of a table, if anything is."""
        try:
            rows = self._decoded(table, key, blob)
            if table is READINGS:
                _block(rows, f"{self.url}/{key}")
        except DamagedWindowError as error:
            return error
        return None

    def _looked(self, look: Callable[[datetime], T], windows: Sequence[datetime]) -> list[T]:
        """What a look at each window gives: at its footer, or to open it."""
        if self.store.local:  # nothing to wait for, and threads would wait for each other
            return [look(window) for window in windows]
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(look, windows))

    def _content_or_damage(self, table: Table, window: datetime) -> Content | DamagedWindowError | None:
        """What a window holds, or why it is none of this table by its footer; None if it is gone."""
        try:
            return self._content(table, window)
        except DamagedWindowError as error:
            return error

    def _content(self, table: Table, window: datetime) -> Content | None:
        found = self.open_footer(table, key_of(table, window_of(window)))
        if found is None:
            return None
        return Content(found.file.rows, found.meta.size, found.file.oldest(), found.file.newest())

    def _ranged(self, table: Table, meta: Meta) -> WindowFile:
        source = pa.PythonFile(RangedFile(meta.size, partial(self.store.get_range, meta)), mode="r")
        return WindowFile(table, f"{self.url}/{meta.key}", source)

    def _read(
        self,
        windows: Sequence[datetime],
        cut: "_Cut",
        columns: Sequence[str] | None,
        measure_ids: Iterable[str] | None,
        *,
        coded: bool,
    ) -> pa.Table:
        table = cut.table
        known = table.schema.names
        names = known if columns is None else list(columns)
        if unknown := [name for name in names if name not in known]:
            raise LakeError(f"{table.name} has no column {', '.join(unknown)}: it has {', '.join(known)}")
        ids = None if measure_ids is None else sorted(set(measure_ids))
        if ids is not None and "measure_id" not in known:
            raise LakeError(f"{table.name} cannot be read by measure: it has {', '.join(known)}")
        opened = partial(self._opened, table, whole=ids is None)
        read = partial(self._read_one, cut=cut, names=names, ids=ids, coded=coded)
        # In a folder nothing is waited for, so that more threads than cores only get into each other's way.
        readers = min(READERS, pa.cpu_count()) if self.store.local else READERS
        with ThreadPoolExecutor(min(readers, len(windows) or 1)) as pool:
            # To open a window is Python's work, to decode it Arrow's: mixed, they wait for each other's turn with the
            # interpreter, which costs a tenth. No list of the open windows is kept, so that each goes when it has been
            # decoded.
            pieces = list(pool.map(read, windows, self._looked(opened, windows)))
        found = [piece for piece in pieces if piece is not None]
        schema = schema_of(table, names, coded=coded)
        if not found:
            return schema.empty_table()
        rows = joined(found, schema)
        return rows.unify_dictionaries() if coded else rows

    def _snapshots(self, table: Table, now: datetime) -> Iterator[str]:
        """Where retained snapshots may be, the newest first: as a rule this hour's is there, and nothing is listed."""
        current = window_of(now)
        yield key_of(table, current)
        for stored in reversed(self.windows(table)):
            if stored.window < current and not is_expired(stored.window, now):
                yield stored.key

    def _opened(self, table: Table, window: datetime, *, whole: bool) -> WindowFile | None:
        """A window to be read whole, or else in part; None when there is none."""
        key = key_of(table, window)
        found = self.load(table, key) if whole else self.open_footer(table, key)
        return None if found is None else found.file

    def _read_one(
        self,
        window: datetime,
        file: WindowFile | None,
        *,
        cut: "_Cut",
        names: list[str],
        ids: list[str] | None,
        coded: bool,
    ) -> pa.Table | None:
        """The rows of a window that was opened; it is opened again if it has been replaced since."""
        cuts = cut.crosses(window)
        extra = [cut.table.time] if cuts and cut.table.time not in names else []
        for attempt in self.attempts(key_of(cut.table, window)):
            if attempt:
                file = self._opened(cut.table, window, whole=ids is None)
            if file is None:
                return None
            try:
                rows = file.decoded([*names, *extra], measure_ids=ids, coded=coded)
            except ConflictError:
                continue
            return cut.applied(rows).select(names) if cuts else rows
        return None


@dataclass(frozen=True)
class _Cut:
    """Which moments of a table are given: those after `edge`, from `start`, before `end`, and not after `now`."""

    table: Table
    edge: datetime
    start: datetime | None
    end: datetime | None
    now: datetime

    def windows(self) -> list[datetime]:
        """The windows with such moments; of a snapshot, those that start at one, and the one that `edge` crosses."""
        first = max(self.edge, self.start) if self.start else self.edge
        last = min(self.end, self.now) if self.end else self.now
        found = windows_between(first, last) if first <= last else []
        if not self.table.time:
            found = [w for w in found if (not self.start or w >= self.start)]
        return [w for w in found if (not self.end or w < self.end) and not is_expired(w, self.now)]

    def crosses(self, window: datetime) -> bool:
        """Whether a window may have other rows too."""
        after = window + WINDOW
        inside = (
            window > self.edge
            and (not self.start or window >= self.start)
            and (not self.end or after <= self.end)
            and after <= self.now
        )
        return bool(self.table.time) and not inside

    def applied(self, rows: pa.Table) -> pa.Table:
        """Only the rows of such moments."""
        moment = rows.column(self.table.time)
        given = pc.and_(pc.greater(moment, self.edge), pc.less_equal(moment, self.now))
        if self.start:
            given = pc.and_(given, pc.greater_equal(moment, self.start))
        if self.end:
            given = pc.and_(given, pc.less(moment, self.end))
        # A filter leaves a chunk for each of some thousand rows, and to unify as many dictionaries takes seconds.
        return rows.filter(given).combine_chunks()


def _merged(stored: pa.Table | None, *, fetch: merging.Fetch, window: WindowRows, place: str) -> _Outcome:
    new = fetch.arrivals(window)
    if stored is not None and merging.repeats(stored, new):
        return _Outcome(None, len(stored), 0, 0, len(stored), 0, *_span(new.time))
    merged = merging.merge(None if stored is None else _block(stored, place), new)
    table = merged.block.table() if merged.news else None
    time = merged.block.time
    return _Outcome(table, len(time), merged.added, merged.revised, merged.unchanged, merged.filled, *_span(time))


def _span(time: Ints) -> tuple[datetime, datetime]:
    """The oldest and the newest of some times in milliseconds."""
    return from_ms(int(time.min())), from_ms(int(time.max()))


def _block(rows: pa.Table, place: str) -> merging.Block:
    try:
        return merging.Block.of(rows)
    except ValueError as error:
        raise DamagedWindowError(place, str(error)) from error


def _replaced(rows: pa.Table | None, *, table: Table, new: pa.Table) -> _Outcome:
    """A snapshot in place of the one before; of two the one stays for which the API was asked later."""
    if rows is None:
        return _Outcome(new, len(new), len(new), 0, 0)
    if len(rows) and len(new) and _asked(rows) > _asked(new):
        return _Outcome(None, len(rows), 0, 0, len(new))
    (key,) = table.key
    old, now = rows, new
    if not rows.column(key).equals(new.column(key)):
        at = pc.index_in(new.column(key), value_set=rows.column(key).combine_chunks()).combine_chunks()
        old, now = rows.take(at.drop_null()), new.filter(at.is_valid())
    same = pa.array([True] * len(now), pa.bool_())
    for name in table.schema.names:
        if name != "observed_at":
            a, b = old.column(name), now.column(name)
            neither = pc.and_(pc.is_null(a), pc.is_null(b))
            same = pc.and_(same, pc.or_(neither, pc.fill_null(pc.equal(a, b), False)))
    unchanged = pc.sum(same).as_py() or 0
    added, revised = len(new) - len(now), len(now) - unchanged
    stays = not added and not revised and len(rows) == len(new)
    return _Outcome(None if stays else new, len(new), added, revised, unchanged)


def _asked(rows: pa.Table) -> datetime:
    """When the API was asked for a snapshot."""
    asked: datetime = pc.max(rows.column("observed_at")).as_py()
    return asked


def _united(rows: pa.Table | None, *, table: Table, new: pa.Table) -> _Outcome:
    """Rows whose key is not there yet, added to those that are."""
    fresh, both = new, new
    if rows is not None:
        (key,) = table.key
        fresh = new.filter(pc.invert(pc.is_in(new.column(key), value_set=rows.column(key).combine_chunks())))
        both = conform(table, pa.concat_tables([rows, fresh])) if len(fresh) else rows
    span = pc.min_max(both.column(table.time)).as_py()
    return _Outcome(
        None if both is rows else both,
        len(both),
        len(fresh),
        0,
        len(new) - len(fresh),
        oldest=utc(span["min"]) if len(both) else None,
        newest=utc(span["max"]) if len(both) else None,
    )


def _whole(found: Blob | Meta | None) -> Blob | None:
    return found if isinstance(found, Blob) else None
