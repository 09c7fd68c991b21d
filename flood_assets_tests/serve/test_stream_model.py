"""Whoever follows the stream from process to process gets each change once, whatever runs and snapshots overlap."""

import json
import os
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets.lake.frozen import Frozen
from flood_assets.lake.lake import Lake
from flood_assets.partitions import RETENTION, cutoff, to_ms, window_of
from flood_assets.schemas import READINGS
from flood_assets.serve import asked
from flood_assets.serve.feed import Cursor, State, Wanted, next_chunk
from flood_assets.serve.position import Part, Position, PositionError
from flood_assets.serve.snapshot import Snapshot
from flood_assets_tests.support.lake_rows import HOUR, NOW, QUARTER, fetched

MEASURES = ["a", "b", "-c"]
TIMES = [NOW.replace(minute=0, second=0) - i * QUARTER for i in range(9)]
EXAMPLES = int(os.environ.get("FLOOD_MODEL_EXAMPLES") or 30)
SECOND = timedelta(seconds=1)


class Process:
    """A server, as far as the stream goes: its snapshots are taken when the story says so."""

    def __init__(self, lake):
        self.lake = lake
        self.frozen = self.snapshot = self.state = None
        self.look(NOW)

    def look(self, now):
        self.frozen = Frozen.of(self.lake.store, self.frozen)
        self.snapshot = Snapshot.of(self.frozen, now, self.snapshot)
        self.state = State.of(self.snapshot, self.state)


class Client:
    """What a client has: each row by its key, and its last id."""

    def __init__(self, process, **filters):
        self.wanted = Wanted.of(asked.Stream(**filters))
        self.sent = []
        self.begin(process)

    def begin(self, process):
        """Take all that there is, and follow what comes after."""
        self.process, self.cursor = process, Cursor(process.state.position)
        self.rows = {key(row): stamp(row) for row in process.snapshot.day.rows.to_pylist() if self.wants(row)}

    def wants(self, row):
        chosen = self.wanted.given.measure_id
        return not chosen or row["measure_id"] in chosen

    def read(self, now, most):
        """Take one event; True if there was nothing more."""
        state = self.process.state
        chunk = next_chunk(state, self.wanted, self.cursor, now, most)
        self.cursor = chunk.then
        for line in chunk.data.decode().splitlines():
            if line.startswith("data: "):
                for row in rows_of(line):
                    self.sent.append((*key(row), stamp(row)))
                    self.rows[key(row)] = stamp(row)
        return chunk.complete is state

    def reconnect(self, process, now):
        """Go on at a process from the id alone."""
        try:
            position = Position.of(self.cursor.position.id, now)
        except PositionError:
            assert self.cursor.position.taken_at <= to_ms(now - RETENTION)
            self.begin(process)
            return
        self.process, self.cursor = process, Cursor(process.state.shared(position))


def rows_of(line):
    rows = json.loads(line.removeprefix("data: "))
    for row in rows:
        for name in ("date_time", "changed_at"):
            row[name] = datetime.fromisoformat(row[name])
    return rows


def key(row):
    return row["measure_id"], row["date_time"]


def stamp(row):
    return row["changed_at"], row["revision"]


# A run asks the API at a moment, and commits its windows later, one after another, the oldest first.
ROWS = st.lists(
    st.tuples(st.sampled_from(MEASURES), st.sampled_from(TIMES), st.sampled_from([1.0, 2.0, 3.0])),
    min_size=1,
    max_size=8,
)
ASK = st.tuples(st.just("ask"), ROWS)
COMMIT = st.tuples(st.just("commit"), st.integers(0, 2))
LOOK = st.tuples(st.just("look"), st.integers(0, 1))
READ = st.tuples(st.just("read"), st.integers(0, 2), st.integers(1, 3))
RECONNECT = st.tuples(st.just("reconnect"), st.integers(0, 2), st.integers(0, 1))
SELDOM = st.one_of(
    st.tuples(st.just("restart"), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.integers(1, 90)),
    st.tuples(st.just("trim")),
)
# Hypothesis likes short lists, in which no run overlaps another.
STEPS = st.lists(
    st.one_of(ASK, ASK, COMMIT, COMMIT, COMMIT, LOOK, LOOK, READ, READ, RECONNECT, SELDOM), min_size=30, max_size=60
)


class Story:
    """A lake, two servers, three clients, and runs that are under way."""

    def __init__(self, lake, first):
        self.lake, self.now, self.runs, self.asks = lake, NOW, [], 0
        lake.upsert_readings(fetched(*first), NOW - 2 * HOUR, NOW)
        self.processes = [Process(lake), Process(lake)]
        one, other = self.processes
        self.clients = [Client(one), Client(other), Client(one, measure_id=["a", "-c"])]

    def ask(self, rows):
        self.asks += 1
        windows = sorted({window_of(time) for _, time, _ in rows})
        parts = [[row for row in rows if window_of(row[1]) == window] for window in windows]
        self.runs.append((self.now + self.asks * SECOND, parts))

    def commit(self, place):
        if self.runs:
            at, parts = self.runs[place % len(self.runs)]
            self.lake.upsert_readings(fetched(*parts.pop(0)), at, self.now)
            self.runs = [run for run in self.runs if run[1]]

    def look(self, process):
        self.processes[process].look(self.now)

    def read(self, client, most):
        self.clients[client].read(self.now, most)

    def reconnect(self, client, process):
        self.clients[client].reconnect(self.processes[process], self.now)

    def restart(self, place):
        old, self.processes[place] = self.processes[place], Process(self.lake)
        self.look(place)
        for client in self.clients:
            if client.process is old:
                client.reconnect(self.processes[place], self.now)

    def wait(self, minutes):
        self.now += timedelta(minutes=minutes)

    def trim(self):
        self.lake.expire(self.now)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(first=ROWS, steps=STEPS)
def test_each_change_comes_once_and_none_is_lost(tmp_path_factory, first, steps):
    story = Story(Lake.open(tmp_path_factory.mktemp("stream") / "lake"), first)
    for step, *what in steps:
        getattr(story, step)(*what)
    for process in story.processes:
        process.look(story.now)
    expected = {key(row): stamp(row) for row in story.lake.read(READINGS, now=story.now).to_pylist()}
    for client in story.clients:
        while not client.read(story.now, 2):
            pass
        held = {k: v for k, v in client.rows.items() if k[1] > cutoff(story.now)}
        assert held == {k: v for k, v in expected.items() if client.wants({"measure_id": k[0]})}
        assert len(client.sent) == len(set(client.sent))


def test_rows_are_those_of_their_commits_in_whatever_order_these_are(tmp_path):
    """Once, three commits whose readings stood as second, first and fourth were taken for the second to the fourth."""
    story = Story(Lake.open(tmp_path / "lake"), [("a", TIMES[0], 1.0)])
    story.ask([("a", TIMES[1], 1.0)])
    story.ask([("a", TIMES[2], 1.0), ("b", TIMES[0], 1.0)])
    for _ in range(3):
        story.commit(0)
    story.look(0)
    story.read(0, 3)
    assert [row[:2] for row in story.clients[0].sent] == [("a", TIMES[1]), ("a", TIMES[2]), ("b", TIMES[0])]


NUMBERS = st.integers(1_790_000_000_000, 1_800_000_000_000)


@given(
    pairs=st.lists(st.tuples(NUMBERS, st.integers(0, 40)), max_size=60),
    parts=st.lists(st.builds(Part, st.integers(0, 1 << 61), st.text(max_size=20), NUMBERS), max_size=2),
)
def test_an_id_says_the_whole_position(pairs, parts):
    commits = np.unique(np.array([at << 20 | (at // 3_600_000 - back) for at, back in pairs], np.int64))
    taken_at = 1_800_000_000_000
    found = Position.of(Position(commits, taken_at, tuple(parts)).id, NOW)
    assert found.commits.tolist() == commits.tolist()
    assert (found.taken_at, list(found.parts)) == (taken_at, parts)


@given(text=st.one_of(st.text(max_size=50), st.binary(max_size=60).map(lambda data: data.hex())))
def test_another_text_is_no_id(text):
    with pytest.raises(PositionError, match="is no id of this stream"):
        Position.of(text, NOW)


def test_a_changed_id_is_no_id():
    text = Position(np.array([5 << 20]), 1_800_000_000_000).id
    for place in range(len(text)):
        other = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        with pytest.raises(PositionError):
            Position.of(other, NOW)


def test_an_id_of_over_a_day_ago_is_too_old():
    id_ = Position(np.array([5 << 20]), int(NOW.timestamp() * 1000)).id
    assert Position.of(id_, NOW + timedelta(hours=23)).commits.tolist() == [5 << 20]
    with pytest.raises(PositionError, match="of 2026-11-21T09:07:30Z, over a day ago"):
        Position.of(id_, NOW + timedelta(hours=24))


def test_an_id_of_a_day_of_ticks_is_of_a_usual_size():
    ticks = [int((NOW - i * QUARTER).timestamp() * 1000) + 137 * i for i in range(96)]
    commits = np.unique(np.array([at << 20 | (at // 3_600_000 - back) for at in ticks for back in range(8)], np.int64))
    assert len(Position(commits, ticks[0]).id) < 1000
