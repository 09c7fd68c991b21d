import json
import socket
import time
import zlib
from datetime import timedelta

import pytest
import requests

from flood_assets.simulator import Fault
from flood_assets.simulator.faults import Faults
from flood_assets_tests.simulator.conftest import NOW

DAY = "/data/readings.csv?date=2026-11-20"
LATEST = "/data/readings.csv?latest"
PLAIN = {"Accept-Encoding": "identity"}


def get(server, path=DAY, headers=None, **options):
    return requests.get(server.url + path, headers=headers or PLAIN, timeout=options.pop("timeout", 30), **options)


def raw(server, path=DAY, headers="") -> bytes:
    """Return everything sent until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET /flood-monitoring{path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def test_a_fault_befalls_as_many_matching_requests_as_it_should(server):
    server.set_faults([{"match": "latest", "kind": "status", "times": 2}])
    assert get(server).status_code == 200
    assert [get(server, LATEST).status_code for _ in range(3)] == [503, 503, 200]


def test_a_fault_without_end_befalls_all(server):
    server.set_faults([Fault(kind="status", status=500, times=0)])
    assert {get(server, LATEST).status_code for _ in range(4)} == {500}
    server.set_faults([])
    assert get(server, LATEST).status_code == 200


def test_faults_are_set_over_http(server, http):
    wanted = [{"match": "date=2026-11-20", "kind": "status", "status": 429, "retry_after": 7}]
    assert http.put(f"{server.control}/faults", json=wanted, timeout=30).status_code == 200
    answer = get(server)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert get(server).status_code == 200


@pytest.mark.parametrize("wrong", [[{"kind": "boredom"}], [{"typ": "status"}], {"kind": "status"}, [1]])
def test_a_fault_that_does_not_exist_is_refused(server, http, wrong):
    assert http.put(f"{server.control}/faults", json=wrong, timeout=30).status_code == 400


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_truncate_cuts_the_body_in_the_middle_without_a_word(server, encoding):
    whole = get(server).content
    server.set_faults([{"kind": "truncate"}])
    head, _, body = raw(server, headers=f"Accept-Encoding: {encoding}\r\n").partition(b"\r\n\r\n")
    assert b"Content-Length" not in head
    assert b"chunked" not in head
    if encoding == "gzip":
        unpacker = zlib.decompressobj(wbits=31)
        body = unpacker.decompress(body)
        assert not unpacker.eof
    assert whole.startswith(body)
    assert 0 < len(body) < len(whole)


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_truncate_can_break_what_the_headers_promised(server, framing):
    server.set_faults([{"kind": "truncate", "framing": framing}])
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        get(server)


@pytest.mark.parametrize("framing", ["chunked", "close"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_cut_at_line_looks_like_a_whole_answer(server, framing, encoding):
    whole = get(server).content
    server.set_faults([{"kind": "cut_at_line", "framing": framing}])
    answer = get(server, headers={"Accept-Encoding": encoding})
    assert "Content-Length" not in answer.headers
    assert answer.headers.get("Transfer-Encoding") == ("chunked" if framing == "chunked" else None)
    assert answer.content.endswith(b"\r\n")
    assert whole.startswith(answer.content)
    assert 0.4 < len(answer.content) / len(whole) < 0.6


def test_stall_is_silence_and_then_the_end(server):
    server.set_faults([{"kind": "stall", "seconds": 0.4}, {"kind": "stall", "seconds": 60}])
    begun = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        get(server)
    assert 0.4 <= time.monotonic() - begun < 60
    with pytest.raises(requests.ReadTimeout):
        get(server, timeout=0.3)


def test_hang_is_half_a_body_and_then_silence(server):
    whole = len(get(server).content)
    server.set_faults([{"kind": "hang", "seconds": 0.4}, {"kind": "hang", "seconds": 60}])
    begun = time.monotonic()
    received = raw(server).partition(b"\r\n\r\n")[2]
    assert 0.4 <= time.monotonic() - begun < 60
    assert 0.4 < len(received) / whole < 0.6
    # Its head has to come in this time, on any machine.
    with pytest.raises(requests.ConnectionError, match="timed out"):
        get(server, timeout=2)


def test_slow_drips(server):
    path = "/id/stations/0/readings.csv?since=2026-11-21T11:00:00Z"
    whole = get(server, path).content
    server.set_faults([{"kind": "slow", "rate": len(whole) * 2}])
    begun = time.monotonic()
    assert get(server, path).content == whole
    assert 0.3 < time.monotonic() - begun < 60


def test_html_is_a_page_with_status_200(server):
    server.set_faults([{"kind": "html"}])
    answer = get(server)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.text.startswith("<html>")


def test_reset_breaks_the_connection_in_the_middle_of_the_body(server):
    server.set_faults([{"kind": "reset"}])
    with pytest.raises(ConnectionResetError):
        raw(server)
    server.set_faults([{"kind": "reset"}])
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        get(server)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_garbage_replaces_bytes_in_the_middle(server, encoding):
    whole = get(server).content
    server.set_faults([{"kind": "garbage"}])
    spoilt = get(server, headers={"Accept-Encoding": encoding}).content
    assert len(spoilt) == len(whole)
    differing = [i for i, (a, b) in enumerate(zip(whole, spoilt, strict=True)) if a != b]
    assert 1 <= len(differing) <= 5
    assert abs(differing[0] - len(whole) // 2) < 5


def test_header_names_other_columns(server):
    whole = get(server).content
    server.set_faults([{"kind": "header"}])
    header, _, rest = get(server).content.partition(b"\r\n")
    assert header == b"column0,column1,column2"
    assert rest == whole.partition(b"\r\n")[2]


def test_empty_has_no_body_at_all(server):
    server.set_faults([{"kind": "empty"}])
    answer = get(server)
    assert (answer.status_code, answer.content) == (200, b"")


def test_nothing_is_a_whole_answer_without_items(server):
    server.set_faults([{"kind": "nothing", "times": 3}])
    assert get(server).content == b"dateTime,measure,value\r\n"
    assert get(server, "/data/readings?latest").json()["items"] == []
    assert get(server, "/id/stations").json()["items"] == []


def test_redirect_loop_leads_back_to_itself(server):
    server.set_faults([{"kind": "redirect_loop", "times": 0}])
    answer = get(server, allow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/flood-monitoring{DAY}"
    with pytest.raises(requests.TooManyRedirects):
        get(server)


def test_no_final_newline_leaves_the_last_line_open(server):
    whole = get(server).content
    server.set_faults([{"kind": "no_final_newline"}])
    assert get(server).content == whole[:-2]


def test_limit_cuts_silently_and_serves_later_pages(server):
    whole = get(server).text.splitlines()[1:]
    server.set_faults([{"kind": "limit", "rows": 500, "times": 0}])
    first, second = get(server).text.splitlines()[1:], get(server, f"{DAY}&_offset=500").text.splitlines()[1:]
    assert 490 <= len(first) <= 500
    assert first + second == whole[: len(first) + len(second)]
    in_json = get(server, "/data/readings?date=2026-11-20").json()
    assert "limit" not in in_json["meta"]
    assert len(in_json["items"]) == len(first)


def test_lossy_leaves_out_the_same_rows_each_time_and_ends_cleanly(server):
    whole = get(server).text.splitlines()
    server.set_faults([{"kind": "lossy", "times": 2}])
    first, second = get(server), get(server)
    rows = first.text.splitlines()
    assert first.content == second.content
    assert first.content.endswith(b"\r\n")
    assert rows[0] == whole[0]
    assert set(rows) < set(whole)
    assert 0.4 < len(rows) / len(whole) < 0.6


def test_hole_hides_the_readings_of_a_span(server):
    whole = get(server).text.splitlines()[1:]
    server.set_faults([{"kind": "hole", "start": "2026-11-20T06:00:00Z", "end": "2026-11-20T09:00:00Z"}])
    header, *rows = get(server).text.splitlines()
    assert header == "dateTime,measure,value"
    assert rows == [row for row in whole if not "2026-11-20T06:00:00Z" <= row < "2026-11-20T09:00:00Z"]
    assert 0 < len(whole) - len(rows) < len(whole) / 4


def test_repeat_says_everything_ten_times_over(server):
    header, *whole = get(server).text.splitlines()
    server.set_faults([{"kind": "repeat"}, {"kind": "repeat", "rounds": 3}])
    assert get(server).text.splitlines() == [header, *whole * 10]
    items = get(server, "/id/stations").json()["items"]
    assert items[: len(items) // 3] * 3 == items
    assert items[: len(items) // 3] == get(server, "/id/stations").json()["items"]


@pytest.mark.parametrize("path", [LATEST, "/id/stations"])
def test_repeat_may_go_on_for_ever(server, path):
    whole = len(get(server, path).content)
    server.set_faults([{"kind": "repeat", "rounds": 0}])
    with get(server, path, stream=True) as answer:
        received = 0
        while received < 50 * whole:
            received += len(answer.raw.read(1 << 16))


def test_strangers_are_rows_of_measures_that_no_list_has(server):
    header, *whole = get(server).text.splitlines()
    server.set_faults([{"kind": "strangers"}])
    first, *rows = get(server).text.splitlines()
    assert first == header
    assert rows[: len(whole)] == whole
    more = [row.split(",") for row in rows[len(whole) :]]
    assert [[time, measure.removesuffix("-stranger"), value] for time, measure, value in more] == [
        row.split(",") for row in whole[:5]
    ]
    assert all(measure.endswith("-stranger") for _, measure, _ in more)


def test_stale_is_what_was_shown_an_hour_ago_at_the_time_of_now(server):
    server.set_faults([{"kind": "stale", "seconds": 3600}])
    stale = get(server, LATEST)
    now = get(server, LATEST)
    assert stale.text != now.text
    assert stale.headers["Date"] == now.headers["Date"]
    server.set_clock(NOW - timedelta(hours=1))
    assert stale.text == get(server, LATEST).text
    server.set_clock(NOW)


def test_a_fault_leaves_refusals_as_they_are(server):
    server.set_faults([{"kind": "truncate"}])
    assert get(server, "/data/readings?since=1").status_code == 400


def test_json_bodies_break_too(server):
    server.set_faults([{"kind": "cut_at_line"}])
    with pytest.raises(json.JSONDecodeError):
        json.loads(get(server, "/data/readings?latest").text)


def test_the_first_matching_fault_is_taken():
    faults = Faults()
    faults.set([{"match": "a", "status": 500}, {"match": "", "status": 501, "times": 2}])
    taken = [faults.take(target) for target in ("ab", "ab", "b", "b")]
    assert [fault and fault.status for fault in taken] == [500, 501, 501, None]
