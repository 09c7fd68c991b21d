"""Keep a lake under test: perform operations on it and check its invariants.

The keeper sees each object that is written and knows from `model` what the API showed, so that it can say of each
window what it must hold. Between the model and the lake's bytes everything is real: parsing, planning, upserts,
watermarks, retention, checks, and obstore on a folder or in memory, where PUTs are conditional as in a bucket.
"""

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from obstore.store import MemoryStore

from flood_assets.defs.checks import readings as checks
from flood_assets.ea import fetch as fetching
from flood_assets.errors import LakeError, SourceError
from flood_assets.ingest import Batch, fetch
from flood_assets.lake import watermarks
from flood_assets.lake.bucket import Bucket
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import QUARANTINE, WATERMARKS_KEY, key_of, window_of_key, window_of_quarantined
from flood_assets.lake.objects import Meta
from flood_assets.lake.store import Patience, Store
from flood_assets.ledger.account import take
from flood_assets.partitions import cutoff, from_ms, is_expired, retained_windows, to_ms, window_of
from flood_assets.schemas import MEASURES, READINGS, TABLES
from flood_assets_tests.support.lake_rows import put_snapshot, read_window
from flood_assets_tests.support.model import FORGOTTEN, HOUR, MINUTE, QUIET, Api, Key, Source, Trouble, station_of
from flood_assets_tests.support.retained import is_retained

# -- what the lake must hold


class Row(NamedTuple):
    """Stored reading; times in ms."""

    station: str | None
    value: float | None
    raw: str | None
    first_seen: int
    changed: int
    previous: float | None
    revision: int


Window = dict[Key, Row]
# Stands for a window whose object is damaged.
SPOILT: Window = {}


@lru_cache(maxsize=10_000)
def understood(text: str) -> tuple[float | None, str | None]:
    """Return value and raw value of the API's text."""
    if not text:
        return None, None
    numbers = {float(part) for part in text.split("|")}
    return (numbers.pop() if len(numbers) == 1 else None), (text if "|" in text else None)


@lru_cache(maxsize=10_000)
def _parts(raw: str | None) -> tuple[str, ...] | None:
    return None if raw is None else tuple(sorted(raw.split("|")))


def alike(one: tuple[float | None, str | None], other: tuple[float | None, str | None]) -> bool:
    """Return True if two values are equal; the order of several does not matter."""
    return one[0] == other[0] and _parts(one[1]) == _parts(other[1])


def merged(window: Window, rows: Mapping[Key, tuple], stations: Mapping[str, str]) -> Window:
    """Upsert fetched rows into a window row by row: the expected result."""
    result = dict(window)
    for key, (value, raw, observed) in rows.items():
        old = window.get(key)
        if old is None:
            result[key] = Row(None, value, raw, observed, observed, None, 0)
        elif not alike((old.value, old.raw), (value, raw)) and old.changed <= observed:
            result[key] = Row(old.station, value, raw, old.first_seen, observed, old.value, old.revision + 1)
    return {k: row._replace(station=row.station or stations.get(k[0])) for k, row in result.items()}


def decoded(data: bytes) -> Window:
    """Decode a window's rows; assert that they are sorted and unique."""
    table = pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)
    assert table.schema.names == READINGS.schema.names
    for name in ("date_time", "first_seen_at", "changed_at"):
        table = table.set_column(table.schema.names.index(name), name, table[name].cast(pa.int64()))
    measures, times, *others = (column.to_pylist() for column in table.columns)
    keys = [(measure, from_ms(at)) for measure, at in zip(measures, times, strict=True)]
    assert keys == sorted(set(keys)), "sorted, and each once"
    return dict(zip(keys, map(Row, *others), strict=True))


# -- a lake, and what happens to it


class KilledError(Exception):
    """The process was killed."""


class Witness:
    """Store that reports each write to the keeper and injects an event at one of them.

    Another run comes in between where that can happen to real ones: before each write.
    """

    read, prepare, update, retry_conflicts = Store.read, Store.prepare, Store.update, Store.retry_conflicts

    def __init__(self, store: Store, keeper: "Keeper", writer: "Writer", trouble: Trouble = QUIET) -> None:
        self._store, self._keeper, self._writer, self._trouble = store, keeper, writer, trouble
        self._left = trouble.write
        self._ends = trouble.what in {"killed", "killed after", "refused", "lost", "twice"}

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    def put(self, key: str, data: bytes, *, replaces: Meta | None) -> None:
        def write() -> None:
            self._store.put(key, data, replaces=replaces)
            self._keeper.put(self._writer, key, data)

        self._happens(write, key, again=lambda: self._store.put(key, data, replaces=replaces))

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:

            def write(key: str = key) -> None:
                self._store.delete([key])
                self._keeper.deleted(self._writer, key)

            self._happens(write, key)

    def _at_its_turn(self) -> bool:
        """Return True at the write that has an event; an intervening run happens here."""
        if self._left is None:
            return False
        self._left -= 1
        if self._left >= 0:
            return False
        self._left = None
        if not self._ends:
            self._keeper.in_between(self._trouble.what)
        return True

    def _happens(self, write: Callable[[], None], key: str, again: Callable[[], None] | None = None) -> None:
        what = self._trouble.what
        if not self._ends:
            self._at_its_turn()
            write()
        elif not self._at_its_turn():
            write()
        elif what == "killed":
            raise KilledError
        elif what == "refused":
            raise LakeError(f"{key}: the store says no")
        else:
            write()
            if what == "killed after":
                raise KilledError
            if what == "lost":
                raise LakeError(f"{key}: no answer")
            if again and not self._store.local:
                again()


@dataclass
class Writer:
    """Writer and the windows it may produce: a run with its batch, or an expiry."""

    now: datetime
    batch: Batch | None = None
    rows: dict[datetime, dict[Key, tuple]] = field(default_factory=lambda: defaultdict(dict))
    expires: bool = False
    last_merged: datetime | None = None
    marked: bool = False

    def brings(self, batch: Batch, now: datetime) -> None:
        """Set the rows to upsert; the last row of a key counts."""
        self.batch, self.now = batch, now
        for key, (value, raw, observed) in rows_of(batch.rows, "observed_at"):
            if is_retained(key[1], now):
                self.rows[window_of(key[1])][key] = (value, raw, to_ms(observed))

    def merged(self, window: datetime, held: Window) -> Window:
        stations = dict(
            zip(
                self.batch.stations["measure_id"].to_pylist(),
                self.batch.stations["station_id"].to_pylist(),
                strict=True,
            )
        )
        return merged(held, self.rows[window], stations)


def rows_of(rows: pa.Table, *more: str) -> Iterator[tuple[Key, tuple]]:
    columns = (rows[name].to_pylist() for name in ("measure_id", "date_time", "value", "raw_value", *more))
    for measure, at, *others in zip(*columns, strict=True):
        yield (measure, at), tuple(others)


@contextmanager
def may_end(trouble: Trouble):
    """Run code that its trouble may end early; yield a list that stays empty until it has."""
    ended: list[Exception] = []
    expected = (KilledError,) if trouble.what.startswith("killed") else (LakeError,)
    if trouble.write is None or trouble.what not in {"killed", "killed after", "refused", "lost"}:
        expected = ()
    try:
        yield ended
    except expected as error:
        ended.append(error)


class Keeper:
    """Lake under test with its operations and invariants.

    Attributes:
        held: rows of each stored window of readings after the writes; `SPOILT` where the object is damaged.
        now: never goes back.
    """

    def __init__(self, source: Source, now: datetime, url: str | None = None) -> None:
        self.source = source
        self.store = Lake.open(url).store if url else Bucket("memory:///lake", MemoryStore(), Patience())
        self.lake = Lake(self.store)
        self.now = now
        self.held: dict[datetime, Window] = {}
        self.asked_at: set[int] = set()
        self._kept: set[Key] = set()
        self._excused: set[datetime] = set()
        self._looked_at: tuple | None = None
        self._writes = 0
        self.source.until(now)

    def wait(self, pause: timedelta) -> None:
        self.now += pause
        self.source.until(self.now)

    # -- what is done

    def list_gauges(self) -> None:
        """Store a snapshot of the measures."""
        put_snapshot(self.lake, MEASURES, window_of(self.now), self.source.listed(self.now))

    def tick(self, trouble: Trouble = QUIET) -> Api:
        return self._run(None, trouble)

    def reconcile(self, trouble: Trouble = QUIET) -> Api:
        return self._run((0, 24), trouble)

    def materialize(self, first: int, last: int, trouble: Trouble = QUIET) -> Api:
        """Materialize some of the 25 retained windows, as a person would."""
        return self._run((min(first, last), max(first, last)), trouble)

    def expire(self, trouble: Trouble = QUIET) -> None:
        now = self.now
        lake = Lake(Witness(self.store, self, Writer(now, expires=True), trouble))
        with may_end(trouble) as ended:
            lake.expire(now)
        if not ended and now == self.now:
            self._nothing_is_past_its_day()

    def check(self, trouble: Trouble = QUIET) -> None:
        """Decode every window, as the asset checks do."""
        whole = {window for window, rows in self.held.items() if rows is not SPOILT}
        with may_end(trouble) as ended:
            windows, _, _ = checks.examine(Lake(Witness(self.store, self, Writer(self.now), trouble)))
            if trouble.write is None:
                assert set(windows) == whole
        if not ended:
            assert not any(rows is SPOILT for rows in self.held.values()), "damage was found"

    def in_between(self, what: str) -> None:
        """Run once more, a minute later, while a run is in progress."""
        self.wait(MINUTE)
        {
            "tick": self.tick,
            "reconcile": self.reconcile,
            "window": lambda: self.materialize(24, 24),
            "expire": self.expire,
            "check": self.check,
            "list": self.list_gauges,
        }[what]()

    def spoil(self, window: datetime, how: str) -> None:
        """Damage a window's object; its rows are lost."""
        key = key_of(READINGS, window)
        blob = self.store.get(key)
        data = blob.data.to_pybytes()
        footer = pq.ParquetFile(io.BytesIO(data)).metadata
        if how in {"inside", "column"} and footer.num_rows:
            chunks = [footer.row_group(0).column(i) for i in range(footer.num_columns)]
            if how == "column":
                chunks = [chunk for chunk in chunks if chunk.path_in_schema == "value"]
            for chunk in chunks:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                data = data[:start] + bytes(chunk.total_compressed_size) + data[start + chunk.total_compressed_size :]
        else:
            data = {"empty": b"", "strange": b"PAR1 it is not"}.get(how, data[: len(data) // 2])
        self.store.put(key, data, replaces=blob.meta)
        self.held[window] = SPOILT
        self._writes += 1

    def spoil_watermarks(self) -> None:
        meta = self.store.head(WATERMARKS_KEY)
        if meta is not None:
            self.store.put(WATERMARKS_KEY, b"no watermarks", replaces=meta)

    # -- what is seen of it

    def put(self, writer: Writer, key: str, data: bytes) -> None:
        """Check a written object: a window of readings holds exactly the expected rows."""
        self._writes += 1
        if key == WATERMARKS_KEY and b"forgotten" not in pq.read_schema(io.BytesIO(data)).metadata:
            writer.marked = True
        window = window_of_key(READINGS, key)
        if window is None:
            return
        assert not writer.marked, "the watermarks go last"
        new, old = decoded(data), self.held.get(window, {})
        if not new and (old is SPOILT or self.held.get(window) == {}):
            expected = {}  # quarantined, perhaps by two at once
        elif writer.expires:
            expected = {k: row for k, row in old.items() if k[1] > cutoff(writer.now)}
        elif window in writer.rows and (new or old):
            expected = writer.merged(window, {} if old is SPOILT else old)
            assert writer.last_merged is None or writer.last_merged <= window, "the oldest window first"
            writer.last_merged = window
        else:
            expected = {}
            assert window not in self.held, "only a window that is not there is made as an empty one"
        assert list(new.items()) == sorted(expected.items())
        self.held[window] = new

    def deleted(self, writer: Writer, key: str) -> None:
        """Check a deleted object: no retained, undamaged readings may be deleted."""
        self._writes += 1
        window = window_of_key(READINGS, key)
        rows = self.held.pop(window, {})
        if rows is not SPOILT and not (window and is_expired(window, writer.now)):
            assert not {k for k in rows if k[1] > cutoff(writer.now)}
        assert writer.expires or window is None or rows is SPOILT

    # -- what must be true

    def check_everything(self) -> None:
        """Check the invariants that hold at all times."""
        if self._looked_at == (self._writes, self.now):
            return  # nothing was written since
        self._looked_at = (self._writes, self.now)
        self.objects_are_what_was_written()
        self.readers_are_given_the_retained_rows()
        self.nothing_is_held_that_was_never_shown()
        self.nothing_is_lost()
        self.no_watermark_runs_ahead()
        # It reads the whole lake: each third time is enough to meet all that happens.
        if self._writes % 3 == 0:
            self.the_ledger_counts_what_is_there()

    def the_ledger_counts_what_is_there(self) -> None:
        """Check that the ledger counts each reading in its hour and gives each missing one the right cause."""
        spoilt = {w for w in retained_windows(self.now) if self.held.get(w) is SPOILT}
        account = take(self.lake, self.now)
        assert account.lost == spoilt
        for window, counts in account.windows.items():
            there = Counter(key[0] for key in self.held.get(window, {}) if is_retained(key[1], self.now))
            for row in counts.to_pylist():
                assert row["received"] == there[row["measure_id"]]
                assert row["missing"] == row["silent"] + row["not_due"] + row["not_fetched"]
                assert row["late"] + row["several"] + row["without_value"] <= 3 * row["received"]
                if window in spoilt:
                    assert not row["silent"]

    def objects_are_what_was_written(self) -> None:
        assert {stored.window for stored in self.lake.windows(READINGS)} == self.held.keys()
        for window, rows in self.held.items():
            assert all(window_of(at) == window for _, at in rows)

    def readers_are_given_the_retained_rows(self) -> None:
        """Check that readers get each retained row of undamaged windows once."""
        spoilt = {window for window, rows in self.held.items() if rows is SPOILT}
        retained = [w for w in retained_windows(self.now) if w not in spoilt]
        if spoilt & set(retained_windows(self.now)):
            tables = [read_window(self.lake, READINGS, window, now=self.now) for window in retained]
            given = pa.concat_tables(tables) if tables else READINGS.schema.empty_table()
        else:
            given = self.lake.read(READINGS, now=self.now)
        rows = [(key, *found) for key, found in rows_of(given)]
        expected = [
            (key, row.value, row.raw)
            for window in retained
            for key, row in self.held.get(window, {}).items()
            if is_retained(key[1], self.now)
        ]
        assert rows == expected

    def nothing_is_held_that_was_never_shown(self) -> None:
        """Check that every key, value and history entry was shown by the API when it was asked."""
        for key, row in self.rows().items():
            if key[1] < self.now - FORGOTTEN:
                continue
            shown = [understood(text) for text in self.source.texts(key, self.now)]
            assert any(alike((row.value, row.raw), value) for value in shown), (key, row, shown)
            assert row.station in {None, station_of(key[0])}
            assert {row.first_seen, row.changed} <= self.asked_at
            if row.revision:
                assert row.first_seen <= row.changed
                assert row.previous in {value for value, _ in shown}
            else:
                assert (row.first_seen, row.previous) == (row.changed, None)

    def nothing_is_lost(self) -> None:
        """Check that no retained row has disappeared, except in damaged windows."""
        spoilt = {window for window, rows in self.held.items() if rows is SPOILT}
        self._excused |= spoilt
        there = {key for key in self.rows() if is_retained(key[1], self.now)}
        lost = {k for k in self._kept - there if is_retained(k[1], self.now) and window_of(k[1]) not in self._excused}
        assert not lost
        self._kept, self._excused = there, spoilt

    def no_watermark_runs_ahead(self) -> None:
        """Up to its watermark, everything of a measure that came in order is there, but for damage nobody has seen
        yet."""
        known = watermarks.load(self.lake.store)
        newest = {row["measure_id"]: row["newest"] for row in known.rows.to_pylist()} if known else {}
        hidden = {
            key
            for key in self.source.in_order(self.now)
            if key[0] in newest and key[1] <= newest[key[0]] and is_retained(key[1], self.now)
        }
        self._are_there(hidden)

    def rows(self) -> Window:
        """Return all readable rows."""
        return {key: row for rows in self.held.values() for key, row in rows.items()}

    def retained(self) -> dict[Key, tuple]:
        return {key: (row.value, row.raw) for key, row in self.rows().items() if is_retained(key[1], self.now)}

    def _are_there(self, keys: Iterable[Key]) -> None:
        for key in sorted(keys):
            rows = self.held.get(window_of(key[1]), {})
            assert key in rows or rows is SPOILT, f"{key} is missing"

    def _nothing_is_past_its_day(self) -> None:
        for window, rows in self.held.items():
            assert not is_expired(window, self.now)
            assert all(at > cutoff(self.now) for _, at in rows)
        assert not self.lake.expired(self.now)
        for table in TABLES.values():
            assert all(not is_expired(stored.window, self.now) for stored in self.lake.windows(table))
        for meta in self.store.list(QUARANTINE):
            window = window_of_quarantined(READINGS, meta.key)
            assert not (window and is_expired(window, self.now))

    # -- a run, and what it must have done

    def _run(self, chosen: tuple[int, int] | None, trouble: Trouble) -> Api:
        now, api = self.now, Api(self.source, self.now, trouble)
        windows = retained_windows(now)[chosen[0] : chosen[1] + 1] if chosen else None
        known = watermarks.load(self.lake.store)
        marked, stored = known is not None and not known.forgotten, set(self.held)
        spoilt = {window for window, rows in self.held.items() if rows is SPOILT}
        writer = Writer(now)
        # One after the other: a story that is told again must go as it went.
        lake = Lake(Witness(self.store, self, writer, trouble), writers=1)
        # Whether another writer comes in between.
        alone = trouble.write is None or trouble.what in {"killed", "killed after", "refused", "lost", "twice"}
        with may_end(trouble) as ended:
            try:
                batch = fetch(api, lake, windows, now)
            except SourceError:
                # An API that shows no readings of any gauge is suspect.
                assert trouble.failing & {"latest", "today", "yesterday"} or not api.given
                self.wait(max(api.end - self.now, timedelta()))
                return api
            self.wait(max(api.end - self.now, timedelta()))
            self.asked_at |= {to_ms(moment) for moment in pc.unique(batch.rows["observed_at"]).to_pylist()}
            self._was_given(api, batch)
            writer.brings(batch, batch.now)
            batch.store(lake)
        if ended:
            return api
        for window in writer.rows:
            if not is_expired(window, self.now) and self.held.get(window) is not SPOILT and alone:
                assert self.held[window] == writer.merged(window, self.held[window])
        if alone:
            assert {w for w in batch.covered if not is_expired(w, self.now)} <= self.held.keys()
            if windows is None:
                inside = {w for w in retained_windows(now)[1:-1] if not is_expired(w, self.now)}
                assert inside <= self.held.keys(), "a tick leaves no hole"
            self._is_complete(api, batch, writer, windows, spoilt - set(batch.damaged))
            self._asked(api, stored, spoilt, marked=marked, chosen=windows)
        return api

    def _was_given(self, api: Api, batch: Batch) -> None:
        """Check that each row comes from an answer, and the last row of a key from the latest answer."""
        last = dict(rows_of(batch.rows))
        for key, found in last.items():
            moment = max(api.given[key])
            assert alike(found, understood(api.given[key][moment]))

    def _is_complete(
        self,
        api: Api,
        fetched: Batch,
        writer: Writer,
        windows: Sequence[datetime] | None,
        spoilt: set[datetime],
    ) -> None:
        """Check that everything requested is stored, except in windows found damaged while storing."""

        def due(keys: Iterable[Key], until: datetime = writer.now) -> set[Key]:
            return {
                key
                for key in keys
                # What expires while the API answers is stored, but shown to nobody.
                if is_retained(key[1], self.now) and key[1] <= until and window_of(key[1]) not in spoilt
                if windows is None or windows[0] <= key[1] < windows[-1] + HOUR
            }

        for what, moment in api.asked:
            if what == "latest":
                found = due(self.source.in_order(moment), api.now)
                assert (
                    set(fetched.unanswered) <= api.trouble.failing or len(api.trouble.failing) >= fetching.GIVE_UP_AFTER
                )
                newest = {key[0]: key for key in sorted(self.source.shown(moment))}
                unasked = {*fetched.unanswered, *api.trouble.failing}
                self._are_there(k for k in due(newest.values(), api.now) if k[0] not in unasked)
                self._are_there(k for k in found if api.answered(k[0]) and k[0] not in unasked)
            elif what in self.source.gauges:
                if api.answered(what) and what not in fetched.unanswered:
                    self._are_there(due(k for k in self.source.shown(moment) if k[0] == what))
            else:
                self._are_there(due(k for k in self.source.shown(moment) if str(k[1].date()) == what))
        if windows is not None:
            held = self.retained()
            for key in due(self.source.shown(api.now)):
                texts = self.source.texts(key, self.now, since=api.now)
                assert any(alike(held[key], understood(text)) for text in texts)
        if windows == retained_windows(api.now) and not api.trouble.pause:
            self.is_what_the_api_shows()

    def is_what_the_api_shows(self) -> None:
        shown = {k: understood(t) for k, t in self.source.shown(self.now).items() if is_retained(k[1], self.now)}
        held = self.retained()
        assert held.keys() == shown.keys()
        for key, value in shown.items():
            assert alike(held[key], value), (key, held[key], value)

    def _asked(
        self,
        api: Api,
        stored: set[datetime],
        spoilt: set[datetime],
        *,
        marked: bool,
        chosen: Sequence[datetime] | None,
    ) -> None:
        asked = [what for what, _ in api.asked]
        assert len(asked) == len(set(asked)), "nothing is asked for twice in one run"
        if chosen is None and not marked:
            assert len(asked) == 2
            assert "latest" not in asked
        elif chosen is None and set(retained_windows(api.now)) <= stored - spoilt:
            assert asked[0] == "latest"

    def rests(self) -> None:
        """Check that requests end when nothing is new: no measure is requested again and again."""
        for _ in range(2):
            self.tick()
        api = self.tick()
        future = any(key[1] > self.now for key in self.source.shown(self.now))
        spoilt = any(rows is SPOILT for rows in self.held.values())
        # From an API that shows nothing at all the lake learns nothing, and asks again.
        assert future or spoilt or not api.given or [what for what, _ in api.asked] == ["latest"]
