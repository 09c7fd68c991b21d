"""The stream over HTTP, from the server that `flood-assets serve` runs."""

import socket
import time
from datetime import timedelta

import pytest

from flood_assets.lake.lake import Lake
from flood_assets_tests.support.lake_rows import HOUR, QUARTER, fetched
from flood_assets_tests.support.listening import listening
from flood_assets_tests.support.served import served
from flood_assets_tests.support.seven_gauges import NOW, fill

NEXT = NOW.replace(minute=15, second=0)


@pytest.fixture
def lake(tmp_path):
    found = Lake.open(tmp_path / "lake")
    fill(found)
    return found


@pytest.fixture
def server(lake):
    with listening(lake, NOW) as found:
        found.lake = lake
        yield found


def change(server, minutes, *rows):
    """Store readings some minutes later, and have the server look."""
    server.now = NOW + timedelta(minutes=minutes)
    server.lake.upsert_readings(fetched(*rows), server.now, server.now)
    server.watcher.look()


def test_a_change_comes_as_the_row_of_the_changes(server):
    with server.events("?joined=true") as events:
        assert events.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (events.headers["cache-control"], events.headers["x-accel-buffering"]) == ("no-store", "no")
        name, said = events.next()
        assert (name, said["resumed"], said["notes"]) == ("snapshot", False, [])
        change(server, 10, ("K1-level", NEXT, 7.5), ("R1-rain", NEXT - HOUR, 99.0))
        name, rows = events.next()
    assert name == "change"
    with served(server.lake, server.now) as api:
        # The older window is committed first.
        assert rows == api.rows("changes", since="5min", joined=True)[::-1]
    assert [(row["measure_id"], row["change"], row["value"]) for row in rows] == [
        ("R1-rain", "revised", 99.0),
        ("K1-level", "new", 7.5),
    ]


def test_a_client_is_told_which_state_of_the_lake_it_begins_with(server):
    def version():
        with server.events() as events:
            return events.next()[1]["version"]

    before = version()
    assert before == version() == server.watcher.snapshot.version
    with listening(server.lake, NOW) as other, other.events() as events:
        assert events.next()[1]["version"] == before
    change(server, 10, ("K1-level", NEXT, 7.5))
    assert version() == server.watcher.snapshot.version != before


def test_a_filter_and_columns_choose_as_for_the_changes(server):
    with server.events("?river=River+Thames&parameter=level&columns=measure_id,value") as events:
        events.next()
        change(server, 10, ("K1-level", NEXT, 7.5), ("K1-flow", NEXT, 1.0), ("K2-tide", NEXT, 2.0))
        assert events.next() == ("change", [{"measure_id": "K1-level", "value": 7.5}])


def test_an_id_moves_also_where_nothing_of_the_filter_changes(server):
    with server.events("?measure_id=R1-rain") as events:
        events.next()
        before = events.last_id
        change(server, 10, ("K1-level", NEXT, 7.5))
        assert events.next(also_ids=True) == ("", None)
        assert events.last_id != before


@pytest.mark.parametrize("by", ["header", "parameter"])
def test_a_client_goes_on_where_it_was(server, by):
    with server.events() as events:
        events.next()
        id_ = events.last_id
    change(server, 10, ("K1-level", NEXT, 7.5))
    change(server, 11, ("K1-flow", NEXT, 1.5))
    given = {"headers": {"Last-Event-ID": id_}} if by == "header" else {"path": f"?last_event_id={id_}"}
    with server.events(**given) as events:
        name, said = events.next()
        assert (name, said["resumed"]) == ("snapshot", True)
        name, rows = events.next()
        assert [(row["measure_id"], row["value"]) for row in rows] == [("K1-level", 7.5), ("K1-flow", 1.5)]
        change(server, 12, ("K1-level", NEXT, 8.5))
        assert [row["value"] for row in events.next()[1]] == [8.5]
        id_ = events.last_id
    with listening(server.lake, server.now) as other, other.events(headers={"Last-Event-ID": id_}) as events:
        events.next()
        other.lake = server.lake
        change(other, 13, ("K2-tide", NEXT, 9.5))
        assert [row["value"] for row in events.next()[1]] == [9.5]


def test_a_day_comes_in_events_of_limited_size_and_each_can_be_the_last(server):
    with listening(Lake.open(server.lake.store.url + "-other"), NOW) as empty, empty.events() as events:
        events.next()
        id_ = events.last_id
    got = []
    while True:
        with server.events(headers={"Last-Event-ID": id_}) as events:
            events.next()
            # Later ones come after what is being sent.
            change(server, 8, ("K1-level", NEXT, 7.5))
            name, rows = events.next()
            assert (name, len(rows) <= 250) == ("change", True)
            got += [(row["measure_id"], row["date_time"]) for row in rows]
            id_ = events.last_id
            if ("K1-level", "2026-10-05T09:15:00Z") in got:
                got.remove(("K1-level", "2026-10-05T09:15:00Z"))
                break
    with served(server.lake, NOW) as api:
        assert sorted(got) == sorted((row["measure_id"], row["date_time"]) for row in api.rows("readings"))


@pytest.mark.parametrize(
    ("id_", "why"),
    [("AbCd", "'AbCd' is no id of this stream"), (None, "the id is of 2026-10-05T09:07:30Z, over a day")],
)
def test_an_id_that_is_unknown_or_too_old_is_told(server, id_, why):
    if id_ is None:
        with server.events() as events:
            events.next()
            id_ = events.last_id
        server.now += timedelta(days=1)
    with server.events(headers={"Last-Event-ID": id_}) as events:
        name, said = events.next()
        assert name == "reset"
        assert why in said["reason"]
        assert said["remedy"].startswith("read /api/v1/readings")
        assert events.next()[1]["resumed"] is False


def test_no_row_of_over_a_day_ago_is_sent(server):
    with server.events() as events:
        events.next()
        id_ = events.last_id
    change(server, 10, ("K1-level", NOW.replace(minute=0, second=0) - 95 * QUARTER, 5.0), ("K1-level", NEXT, 7.5))
    server.now = NOW + timedelta(minutes=60)
    with server.events(headers={"Last-Event-ID": id_}) as events:
        events.next()
        assert [row["value"] for row in events.next()[1]] == [7.5]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("?rivr=x", "unknown parameter 'rivr': did you mean 'river'?"),
        ("?bbox=1,2,3,1", "bbox is 1,2,3,1: its south, 2, is above its north, 1"),
        ("?columns=valu", "no column 'valu': there are measure_id"),
    ],
)
def test_a_filter_without_meaning_is_an_error(server, query, why):
    status, headers, body = server.get(f"/api/v1/stream{query}")
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert why in body.decode()


def test_too_many_clients_are_asked_to_come_later(lake):
    with listening(lake, NOW, clients=2) as server, server.events() as one, server.events():
        one.next()
        status, headers, body = server.get("/api/v1/stream")
        assert (status, headers["retry-after"]) == (503, "30")
        assert b"2 clients follow already" in body
    with listening(lake, NOW, clients=1) as server:
        with server.events() as events:
            events.next()
        assert until(lambda: server.app.state.stream.clients == 0)
        with server.events() as events:
            assert events.next()[0] == "snapshot"


def test_a_comment_keeps_a_quiet_connection_open(lake, monkeypatch):
    monkeypatch.setattr("flood_assets.serve.stream.BEAT", timedelta(seconds=0.05))
    with listening(lake, NOW) as server, server.events() as events:
        server.lake = lake
        events.next()
        time.sleep(0.5)
        change(server, 10, ("K1-level", NEXT, 7.5))
        events.next()
        assert events.comments >= 2


def test_the_server_ends_while_clients_follow(lake):
    with listening(lake, NOW) as server, server.events() as events, server.events() as deaf:
        events.next()
        begun = time.monotonic()
        server.stop(within=20)
        assert events._lines.read() == b""
        assert deaf.headers
        assert time.monotonic() - begun < 20


def test_a_client_that_reads_nothing_is_cut_off_and_goes_on_later(lake):
    with listening(Lake.open(lake.store.url + "-other"), NOW) as empty, empty.events() as events:
        events.next()
        id_ = events.last_id
    with listening(lake, NOW, limits={"stall_s": 0.3}) as server:
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", server.port))
            deaf.sendall(f"GET /api/v1/stream HTTP/1.1\r\nHost: a\r\nLast-Event-ID: {id_}\r\n\r\n".encode())
            assert until(lambda: server.app.state.stream.clients == 1)
            assert until(lambda: server.app.state.stream.clients == 0)
        with server.events(headers={"Last-Event-ID": id_}) as events:
            events.next()
            assert sum(len(events.next()[1]) for _ in range(3)) == 7 * 96


def until(true):
    """Wait for something that happens in the server's thread; a machine may be slow."""
    for _ in range(600):
        if true():
            return True
        time.sleep(0.05)
    return False
