"""Find the changes that come after a position, and encode them as server-sent events.

Nothing here waits or knows of clients: `stream` sends the chunks that are made here.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from flood_assets.grouping import Flags, Ints
from flood_assets.ledger.day import milliseconds
from flood_assets.partitions import cutoff, to_ms
from flood_assets.serve import asked, tables
from flood_assets.serve.choosing import chosen, mask
from flood_assets.serve.formats import json_rows
from flood_assets.serve.paging import Answer, names_of
from flood_assets.serve.position import Part, Position, commits_of
from flood_assets.serve.snapshot import Snapshot

# Rows of one event: some 60 kB, which a browser reads in a millisecond or two.
MOST_ROWS = 250


@dataclass(frozen=True, eq=False)
class State:
    """A snapshot by its commits.

    Attributes:
        snapshot: what they are of.
        commits: sorted, distinct.
        code: place in `commits` of each reading's commit.
        position: that of a client that has all there is.
    """

    snapshot: Snapshot
    commits: Ints
    code: npt.NDArray[np.int32]
    position: Position

    @classmethod
    def of(cls, snapshot: Snapshot, before: "State | None" = None) -> "State":
        """Find the commits of a snapshot; the position is that of `before`, if it had them all."""
        day, now = snapshot.day, snapshot.taken_at
        each = commits_of(milliseconds(day.rows["changed_at"]), day.at)
        commits = np.unique(each)
        nowhere = Position(np.zeros(0, np.int64), to_ms(now))
        # What a damaged window had is not sent again when it is mended.
        position = (before.position if before else nowhere).all_of(commits, now)
        return cls(snapshot, commits, np.searchsorted(commits, each).astype(np.int32), position)

    def shared(self, position: Position) -> Position:
        """Return a position, or the equal one of all clients that have everything: these share what comes next."""
        equal = not position.parts and np.array_equal(position.commits, self.position.commits)
        return self.position if equal else position

    def after(self, position: Position) -> "Plan":
        """Return the readings of all gauges that changed after a position."""
        fresh = np.isin(self.commits, position.commits, assume_unique=True, invert=True)
        places = np.flatnonzero(fresh[self.code]) if fresh.any() else np.zeros(0, np.int64)
        # By time of change, window, measure and time, as the readings of each commit are in the order of the day.
        places = places[np.argsort(self.code[places], kind="stable")]
        for part in position.parts if len(places) else ():
            places = places[~self._sent(part, places)]
        return Plan(self, places)

    def _sent(self, part: Part, places: Ints) -> Flags:
        """Return a mask of the readings that a client has got with a part of a commit."""
        ids, day = self.snapshot.ids, self.snapshot.day
        measure, at = day.measure[places], day.at[places]
        less = pc.sum(pc.less(ids, part.measure_id)).as_py() or 0
        same = less < len(ids) and ids[less].as_py() == part.measure_id
        before: Flags = (measure < less) | ((measure == less) & (at <= part.at) & same)
        return before & (self.commits[self.code[places]] == part.commit)


@dataclass(frozen=True, eq=False)
class Plan:
    """Readings that are to be sent, in this order."""

    state: State
    places: Ints


@dataclass(frozen=True, eq=False)
class Cursor:
    """The place of a client.

    Attributes:
        position: what it has been sent.
        plan: what it is being sent, of the same lake; None if that is to be found.
        next: place in the plan.
    """

    position: Position
    plan: Plan | None = None
    next: int = 0


@dataclass(frozen=True, eq=False)
class Chunk:
    """An event, or none.

    Attributes:
        data: as it is sent; empty if there is nothing new.
        then: where a client stands that has got it.
        complete: the state that it has all of; None if there is more.
    """

    data: bytes
    then: Cursor
    complete: State | None


@dataclass(frozen=True)
class Wanted:
    """A client's filter.

    Attributes:
        given: the parameters.
        key: the same for equal filters.
    """

    given: asked.Stream
    key: str

    @classmethod
    def of(cls, given: asked.Stream) -> "Wanted":
        """Return the filter without where the client stands."""
        bare = given.model_copy(update={"last_event_id": None})
        return cls(bare, repr(bare))

    @cached_property
    def _all(self) -> bool:
        return not any(getattr(self.given, name) for name in asked.OfGauges.model_fields if name != "km")

    def notes(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Return what there is to say of the filter; BadRequestError if it has no meaning."""
        nothing = tables.changed(snapshot, np.zeros(0, np.int64), joined=self.given.joined)
        names_of(Answer.of(nothing, ()), self.given.columns)
        return (*snapshot.notes, *chosen(snapshot, self.given).notes)

    def cut(self, plan: Plan) -> Plan:
        """Return the part of a plan that is of this filter's gauges."""
        snapshot = plan.state.snapshot
        gauges = None if self._all or not len(plan.places) else chosen(snapshot, self.given).measures
        if gauges is None:
            return plan
        return Plan(plan.state, plan.places[mask(gauges, len(snapshot.ids))[snapshot.day.measure[plan.places]]])


def next_chunk(state: State, wanted: Wanted, cursor: Cursor, now: datetime, most: int = MOST_ROWS) -> Chunk:
    """Return the next event for a client, at most `most` rows, and where it stands then.

    An event is cut where it is full, also inside a commit: its id says after which row.
    """
    plan, start = cursor.plan, cursor.next
    if plan is None or plan.state is not state:
        if np.isin(state.commits, cursor.position.commits, assume_unique=True).all():
            return Chunk(b"", cursor, state)
        plan, start = wanted.cut(state.after(cursor.position)), 0
    end = min(start + most, len(plan.places))
    places = plan.places[start:end]
    if end == len(plan.places):
        position = cursor.position.all_of(state.commits, state.snapshot.taken_at)
        position = state.shared(position)
        then = Cursor(position)
    else:
        position = _inside(plan, end, cursor.position)
        then = Cursor(position, plan, end)
    places = places[state.snapshot.day.at[places] > to_ms(cutoff(now))]
    rows = tables.changed(state.snapshot, places, joined=wanted.given.joined)
    names = names_of(Answer.of(rows, ()), wanted.given.columns)
    data = f"[{','.join(json_rows(rows.select(names)))}]" if len(rows) else ""
    return Chunk(event("change", position.id, data), then, None if then.plan else state)


def _inside(plan: Plan, end: int, position: Position) -> Position:
    """Return the position of a client that has the first rows of a plan."""
    state, day = plan.state, plan.state.snapshot.day
    last, following = plan.places[end - 1], plan.places[end]
    # No row of this filter is in the commits between.
    done = state.commits[: state.code[following]]
    if state.code[last] != state.code[following]:
        return position.with_(done)
    measure_id = state.snapshot.ids[int(day.measure[last])].as_py()
    return position.with_(done, Part(int(state.commits[state.code[last]]), measure_id, int(day.at[last])))


def event(name: str, id_: str, data: str) -> bytes:
    """Return a server-sent event; one without data only moves the client's `Last-Event-ID`."""
    body = f"event: {name}\ndata: {data}\n" if data else ""
    return f"{f'id: {id_}' + chr(10) if id_ else ''}{body}\n".encode()


def said(name: str, id_: str, **data: object) -> bytes:
    """Return an event whose data is a JSON object."""
    return event(name, id_, msgspec.json.encode(data).decode())
