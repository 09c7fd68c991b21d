"""Read the lakes of a network's shards as one lake; what cannot be read of a shard is told in `troubles`.

Readers open a lake by its URL and do not know if it is one or several: `reading` finds out.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, NoReturn, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.errors import LakeError
from flood_assets.lake.archive import Archive
from flood_assets.lake.failure import RunFailure
from flood_assets.lake.known import Known
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.lake.members import Members, members
from flood_assets.lake.parquet import DamagedWindowError, joined, schema_of
from flood_assets.lake.pipeline import all_of
from flood_assets.lake.read import Content, Cut, StoredWindow, contents_of, names_of
from flood_assets.lake.retention import Expiry
from flood_assets.lake.store import Store
from flood_assets.lake.uniting import stamp_of, unite, unite_contents, unite_listings, unite_watermarks
from flood_assets.lake.watermarks import Watermarks
from flood_assets.lake.within import Root
from flood_assets.partitions import cutoff, window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS, TABLES, Table

# Shards of a bucket that are asked at once: each waits for its answer.
_READERS = 8
# What each shard has: of warnings and flood areas only some have a list, and rejects are an exception.
_EXPECTED = (READINGS.name, MEASURES.name, STATIONS.name)

_NOTHING = "holds no {} of the hours asked for: run `flood-assets refresh`, which fills it"

T = TypeVar("T")
_Rows = Iterator[tuple[datetime, pa.Table | DamagedWindowError]]


def reading(lake: Lake) -> Lake:
    """Return a lake as it is to be read: if there are shards below its URL, their union, which cannot be written.

    A folder is asked for its shards at once and with each question, which costs nothing. A bucket is asked when a
    question finds nothing of a lake in it, or misses what a lake has as a rule, so that who reads a lake without shards
    makes no request more.
    Nothing was told yet of what is returned, see `United.troubles`.

    Raises:
        LakeError: what the shards are cannot be read.
    """
    if isinstance(lake, United):
        return lake.anew()
    return United(lake.store, members(lake.store) if lake.store.local else None)


class United(Lake):
    """The reading half of `Lake` over shards: rows, windows and counts as one lake with all of them gives them.

    A shard that cannot be read leaves its rows out of the answer and a sentence in `troubles`, and so does a window
    that is damaged in a shard. To write raises LakeError.

    Shards may give way to others while a question is answered (`flood-assets shards apply`). Old lakes are deleted only
    after readers have changed over, so if something was not there, the shards are looked up once more: if they are
    others, what was asked of the old ones is asked of these.

    Args:
        store: at the common URL.
        found: its shards; None to find out when nothing of a lake is found there.
    """

    def __init__(self, store: Store, found: Members | None = None) -> None:
        super().__init__(Root(store))
        self._is = Known(store, Lake(self.store))
        self._troubles = dict[str, None]()
        self._damages = dict[str, DamagedWindowError]()
        self._away = set[str]()
        if found is not None:
            self._is.take(found)

    def anew(self) -> "United":
        """Return the same lake, of which nothing has been told yet."""
        fresh = United(self._is.store)
        fresh.store, fresh._is = self.store, self._is
        return fresh

    @property
    def shards(self) -> dict[str, Lake]:
        """The lakes of the shards by name; none as long as this is known to be a lake without shards, or not known."""
        return dict(self._is.shards)

    @property
    def troubles(self) -> Sequence[str]:
        """Parts that could not be read so far, and why: a sentence each, which names the shard."""
        return tuple(self._troubles)

    @property
    def damages(self) -> Sequence[DamagedWindowError]:
        """The damaged windows among what was read so far, of all shards."""
        return tuple(self._damages.values())

    def each_shard(self, ask: Callable[[Lake], T]) -> dict[str, T]:
        """Return what is asked of each shard that can be read, by name; of a lake without shards, by no name."""
        return self._ask(lambda lake: {"": ask(lake)}, lambda: dict(self._asked(ask)))

    def source(self) -> str | None:
        """Return the URLs of the APIs and streams that the shards are filled from; None if nobody has claimed any."""
        found = self.each_shard(lambda lake: lake.source()).values()
        return ", ".join(dict.fromkeys(each for each in found if each is not None)) or None

    def last_failure(self) -> RunFailure | None:
        """Return the last failure in any shard, healed or not; None without one."""
        found = self.each_shard(lambda lake: lake.last_failure()).values()
        return max((each for each in found if each is not None), key=lambda each: each.at, default=None)

    def watermarks(self) -> Watermarks | None:
        """Return the watermarks of all shards; see `uniting.unite_watermarks`."""
        found = self.each_shard(lambda lake: lake.watermarks()).values()
        return unite_watermarks([each for each in found if each is not None])

    def listed_at(self, table: Table) -> datetime | None:
        """Return when the present of a list was asked for in the shard where that is longest ago."""
        return min(
            (at for at in self.each_shard(lambda lake: lake.listed_at(table)).values() if at is not None), default=None
        )

    def each(
        self,
        table: Table,
        windows: Sequence[datetime],
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        now: datetime | None = None,
        columns: Sequence[str] | None = None,
        measure_ids: Iterable[str] | None = None,
        coded: bool = False,
    ) -> _Rows:
        """Yield each window with the rows of all shards, by key; what is damaged in a shard is left out and told."""
        ids = None if measure_ids is None else sorted(set(measure_ids))
        names = names_of(table, columns, by_measure=ids is not None)

        def of(lake: Lake, some: Sequence[datetime], names: Sequence[str]) -> _Rows:
            return lake.each(
                table, some, start=start, end=end, now=now, columns=names, measure_ids=ids, coded=coded
            )  # fmt: skip

        rest = windows
        if not self._is.shards:
            found = of(self._is.root, windows, names)
            rest = yield from self._of_root(table, windows, self._ends(windows, now), found)
            if not self._is.shards:
                return
        wanted = list(dict.fromkeys([*names, *table.key]))
        left, whole = list(rest), False
        while not whole:
            having = None if ids is None or now is None else self._having(ids, now)
            filled, mark = set[str](), self._mark()
            for window, pieces in self._side_by_side(tuple(left), lambda lake: of(lake, tuple(left), wanted), having):
                rows = unite(table, [*pieces.values()] or [schema_of(table, wanted, coded=coded).empty_table()])
                if rows is None:
                    more = list(dict.fromkeys([*wanted, stamp_of(table)]))
                    again = self._side_by_side([window], lambda lake: of(lake, [window], more))  # noqa: B023
                    rows = unite(table, [*next(iter(again))[1].values()])
                assert rows is not None  # noqa: S101 - for the type checker: now it is known which row is newer
                before, mark = mark, self._mark()
                if self._moved(before):
                    break
                filled |= {name for name, rows in pieces.items() if len(rows)}
                del left[0]
                yield window, rows.select(names)
            else:
                if ids is None and filled and table.name in _EXPECTED:
                    self._note_without(table, rest, self._is.shards.keys() - filled)
                whole = not self._moved(mark)

    def _of_root(
        self, table: Table, windows: Sequence[datetime], ends: Collection[datetime], found: _Rows
    ) -> Generator[tuple[datetime, pa.Table | DamagedWindowError], None, Sequence[datetime]]:
        """Yield windows of a lake at the URL itself; return those that are left to the shards, once there are some."""
        held: list[tuple[datetime, pa.Table | DamagedWindowError]] = []
        for number, each in enumerate(found):
            # A lake that has given way to shards is deleted: from then on its windows are theirs.
            if self._is.missed(_between(table, windows[number : number + 1], ends)) and self._is.decide(gone=True):
                return windows[number - len(held) :]
            held.append(each)
            if self._is.decided or self._is.at_root:
                yield from held
                held = []
        if self._is.decide():
            return windows[len(windows) - len(held) :]
        yield from held
        return ()

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
        """Return the retained rows with `start <= time < end` of all shards, by window and within it by key."""
        ids = None if measure_ids is None else sorted(set(measure_ids))

        def of(lake: Lake) -> pa.Table:
            return lake.read(table, start, end, now=now, columns=columns, measure_ids=ids, coded=coded)

        def united() -> pa.Table:
            pieces = self.each(
                table, windows, start=start, end=end, now=now, columns=columns, measure_ids=ids, coded=coded
            )
            schema = schema_of(table, names_of(table, columns), coded=coded)
            rows = [each for _, each in pieces if isinstance(each, pa.Table)]
            found = joined(rows, schema) if rows else schema.empty_table()
            return found.unify_dictionaries() if coded else found

        windows = Cut.of(table, start, end, now).windows()
        between = _between(table, windows, self._ends(windows, now))
        return self._ask(of, united, lambda _: self._is.missed(between))

    def newest_snapshot(self, table: Table, now: datetime, *, columns: Sequence[str] | None = None) -> pa.Table | None:
        """Return the newest retained rows of a snapshot of each shard, by key, and of one key the newest."""
        names = names_of(table, columns)
        wanted = list(dict.fromkeys([*names, *table.key, stamp_of(table)]))

        def united() -> pa.Table | None:
            found = self._asked(lambda lake: lake.newest_snapshot(table, now, columns=wanted))
            pieces = [rows for _, rows in found if rows is not None]
            for name in (name for name, rows in found if rows is None and pieces and table.name in _EXPECTED):
                self._note(name, _NOTHING.format(table.name))
            rows = unite(table, pieces) if pieces else None
            return None if rows is None else rows.select(names)

        return self._ask(
            lambda lake: lake.newest_snapshot(table, now, columns=columns),
            united,
            lambda found: found is None and table.name in _EXPECTED,
        )

    def windows(self, table: Table) -> list[StoredWindow]:
        """List a table's windows in any shard, oldest first; a window's size is that of all of its objects."""
        return self._ask(
            lambda lake: lake.windows(table),
            lambda: unite_listings(found for _, found in self._asked(lambda lake: lake.windows(table))),
            lambda found: not found and table.name in _EXPECTED,
        )

    def footers(self, table: Table, windows: Sequence[datetime]) -> dict[datetime, Content | DamagedWindowError | None]:
        """Return each window's content by its footers, its damage in any shard, or None if it does not exist."""

        def united() -> dict[datetime, Content | DamagedWindowError | None]:
            found = [each for _, each in self._asked(lambda lake: lake.footers(table, windows))]
            return {window: unite_contents([each[window] for each in found]) for window in windows}

        return self._ask(lambda lake: lake.footers(table, windows), united)

    def contents(self, table: Table, windows: Sequence[datetime]) -> dict[datetime, Content]:
        """Return each window's content by its footers; DamagedWindowError as for `Lake.contents`."""
        return contents_of(self.footers(table, windows))

    def damaged(self, table: Table) -> list[datetime]:
        """Return the windows of a table that cannot be read in any shard, oldest first."""
        return sorted(
            {window for found in self.each_shard(lambda lake: lake.damaged(table)).values() for window in found}
        )

    def expired(self, now: datetime, *, tables: Iterable[Table] = tuple(TABLES.values())) -> list[Expiry]:
        """Return what `expire` would do in each shard."""
        wanted = tuple(tables)
        return [
            each for found in self.each_shard(lambda lake: lake.expired(now, tables=wanted)).values() for each in found
        ]

    def inspect(self, table: Table, windows: Sequence[datetime]) -> tuple[dict[datetime, Content], dict[datetime, str]]:
        """Raise LakeError for shards, as it quarantines."""
        return self._ask(lambda lake: lake.inspect(table, windows), self._refuse)

    def expire(
        self,
        now: datetime,
        *,
        dry_run: bool = False,
        tables: Iterable[Table] = tuple(TABLES.values()),
        archive: Archive | None = None,
    ) -> list[Expiry]:
        """Raise LakeError for shards, as it deletes."""
        wanted = tuple(tables)
        return self._ask(lambda lake: lake.expire(now, dry_run=dry_run, tables=wanted, archive=archive), self._refuse)

    def _refuse(self) -> NoReturn:
        assert isinstance(self.store, Root)  # noqa: S101 - for the type checker
        raise LakeError(self.store.refuses)

    def _ask(
        self, of_one: Callable[[Lake], T], of_all: Callable[[], T], lacks: Callable[[T], bool] = lambda _: False
    ) -> T:
        """Ask a lake without shards, or the shards; where it is not known, the lake first.

        `lacks` says of its answer that it lacks what is there as a rule: the lake may have given way to shards.
        """
        if self._is.shards:
            return of_all()
        found = of_one(self._is.root)
        return of_all() if self._is.decide(gone=self.store.local or lacks(found)) else found

    def _asked(self, ask: Callable[[Lake], T]) -> list[tuple[str, T]]:
        """Ask each shard; return the name and the answer of each that has one."""

        def answer(shard: tuple[str, Lake]) -> T | LakeError:
            try:
                return ask(shard[1])
            except LakeError as error:
                return error

        while True:
            mark, found = self._mark(), list[tuple[str, T]]()
            shards = [shard for shard in self._is.shards.items() if shard[0] not in self._away]
            for (name, _), each in zip(shards, all_of(answer, shards, self._readers), strict=True):
                if isinstance(each, LakeError):
                    self._note_away(name, each)
                else:
                    found.append((name, each))
            if not self._moved(mark):
                return found

    def _mark(self) -> "_Mark":
        return _Mark(self._is.misses(), dict(self._troubles), dict(self._damages), set(self._away))

    def _moved(self, since: "_Mark") -> bool:
        """Return True if the shards have given way to others, which are read from now on; what was noted is forgotten.

        They are looked up if something was missing since a moment: what is deleted then was united before.
        """
        if (self._is.misses(), self._troubles.keys()) == (since.misses, since.troubles.keys()):
            return False
        try:
            found = self._is.replaced()
        except LakeError as error:
            self._troubles[str(error)] = None
            return False
        if found is None:
            return False
        self._is.take(found)
        self._troubles, self._damages, self._away = since.troubles, since.damages, since.away
        return True

    def _having(self, ids: Sequence[str], now: datetime) -> Collection[str] | None:
        """Return the shards that list some measures, or list nothing; None for all, if one is listed nowhere.

        To read a list of each shard takes a fraction of reading a day of it.
        """
        wanted = pa.array(ids, pa.string())
        having, listed = set[str](), np.zeros(len(ids), np.bool_)
        for name, rows in self._asked(lambda lake: lake.newest_snapshot(MEASURES, now, columns=["measure_id"])):
            here = (
                None
                if rows is None
                else pc.is_in(wanted, rows["measure_id"].combine_chunks()).to_numpy(zero_copy_only=False)
            )
            if here is None or here.any():
                having.add(name)
            listed |= False if here is None else here
        return having if listed.all() else None

    def _side_by_side(
        self, windows: Sequence[datetime], read: Callable[[Lake], _Rows], some: Collection[str] | None = None
    ) -> Iterator[tuple[datetime, dict[str, pa.Table]]]:
        """Yield each window with the rows of each shard, or of some of them, whose window can be read."""
        going = {
            name: read(lake)
            for name, lake in self._is.shards.items()
            if name not in self._away and (some is None or name in some)
        }

        def following(name: str) -> pa.Table | LakeError:
            try:
                return next(going[name])[1]
            except LakeError as error:
                del going[name]
                return error

        for window in windows:
            names, pieces = list(going), dict[str, pa.Table]()
            for name, rows in zip(names, all_of(following, names, self._readers), strict=True):
                if isinstance(rows, DamagedWindowError) and name in going:
                    self._damages[rows.place] = rows
                    self._note(name, f"lacks what is in a window: {rows}")
                elif isinstance(rows, LakeError):
                    self._note_away(name, rows)
                else:
                    pieces[name] = rows
            yield window, pieces

    def _ends(self, windows: Sequence[datetime], now: datetime | None) -> Collection[datetime]:
        """Return the windows that a lake without shards need not have: to look why they are missing costs a request."""
        if self.store.local:
            return ()
        return (*windows[:1], *windows[-1:]) if now is None else (window_of(cutoff(now)), window_of(now))

    @property
    def _readers(self) -> int:
        return 1 if self.store.local else _READERS

    def _note_without(self, table: Table, windows: Sequence[datetime], names: Iterable[str]) -> None:
        """Note those of some shards that have none of some windows, not even as empty ones."""
        for name in sorted({*names} - self._away):
            try:
                stored = {each.window for each in self._is.shards[name].windows(table)}
            except LakeError as error:
                self._note_away(name, error)
                continue
            if stored.isdisjoint(windows):
                self._note(name, _NOTHING.format(table.name))

    def _note_away(self, name: str, error: LakeError) -> None:
        """Note a shard that cannot be read; it is not asked again, as each question may take as long as the first."""
        self._away.add(name)
        self._note(name, f"cannot be read: {error}")

    def _note(self, name: str, what: str) -> None:
        self._troubles[f"the shard {name} of the network {self._is.network} {what}"] = None


class _Mark(NamedTuple):
    """What was missed and noted until a moment."""

    misses: int
    troubles: dict[str, None]
    damages: dict[str, DamagedWindowError]
    away: set[str]


def _between(table: Table, some: Iterable[datetime], ends: Collection[datetime]) -> list[str]:
    """Return the objects of some windows but those at the ends of the day, which need not be there."""
    return [key_of(table, window) for window in some if window not in ends]
