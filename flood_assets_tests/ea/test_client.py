import base64
import gzip
import itertools
import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import format_datetime
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets import __version__
from flood_assets.ea import gather
from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.ea.gather import Gatherer
from flood_assets.ea.http import Http, RetryPolicy
from flood_assets.ea.parse import FETCHED
from flood_assets.errors import SourceError
from flood_assets.schemas import MEASURES, REJECTS, STATIONS
from flood_assets_tests.ea.test_lists import items
from flood_assets_tests.ea.test_parse import ROOT
from flood_assets_tests.support.api_server import Server, readings, redirect, reset, whole
from flood_assets_tests.support.recordings import FOLDER, envelope, recorded

DAY = date(2024, 2, 29)
SEEN = datetime(2024, 3, 1, 12, tzinfo=UTC)
THREE = readings(1, 2.5, "3|4")


@pytest.fixture
def server():
    with Server() as running:
        yield running


@pytest.fixture
def waits():
    """How long the client waited between tries: nothing is really slept."""
    return []


@pytest.fixture
def api(server, waits):
    client = FloodMonitoringApi(
        server.url,
        now=lambda: SEEN,
        retry=RetryPolicy(read_timeout=20, sleep=waits.append, jitter=lambda: 0.5, clock=lambda: 0.0),
    )
    yield client
    client.close()


def values(answer):
    return answer.rows["value"].to_pylist()


# What is asked


def test_a_day_is_one_request_without_a_limit(api, server):
    server.answer(whole(THREE))
    answer = api.readings_of_day(DAY)
    assert server.asked == ["/flood-monitoring/data/readings.csv?date=2024-02-29"]
    assert answer.rows.schema == FETCHED
    assert answer.rejects.schema == REJECTS.schema
    assert values(answer) == [1, 2.5, None]
    assert (answer.observed_at, answer.cost.requests, answer.cost.bytes) == (SEEN, 1, len(THREE))


def test_latest_is_one_request_without_a_limit(api, server):
    server.answer(whole(THREE))
    assert values(api.latest()) == [1, 2.5, None]
    assert server.asked == ["/flood-monitoring/data/readings.csv?latest"]


def test_since_is_asked_of_one_measure_in_utc_and_with_the_largest_limit(api, server):
    server.answer(whole(THREE))
    api.readings_since("-level-stage-i-15_min-m", datetime(2024, 2, 29, 13, tzinfo=timezone(timedelta(hours=1))))
    assert server.asked == [
        "/flood-monitoring/id/measures/-level-stage-i-15_min-m/readings.csv?since=2024-02-29T12:00:00Z&_limit=10000"
    ]


@pytest.mark.parametrize(("notation", "path"), [("a b", "a%20b"), ("a%20b", "a%20b"), ("a/b?c#d", "a%2Fb%3Fc%23d")])
def test_a_notation_cannot_leave_its_place_in_the_path(api, server, notation, path):
    server.answer(whole(THREE))
    api.readings_since(notation, SEEN)
    assert server.asked[0].startswith(f"/flood-monitoring/id/measures/{path}/readings.csv?since=")


def test_stations_and_measures_are_tables(api, server):
    server.answer(whole(items({"@id": f"{ROOT}/stations/a"}), kind="application/json"))
    assert api.stations().rows.schema == STATIONS.schema
    server.answer(whole(items({"@id": f"{ROOT}/measures/a"}), kind="application/json"))
    assert api.measures().rows.schema == MEASURES.schema


def test_a_password_is_sent_and_shown_nowhere(server, caplog):
    caplog.set_level(logging.DEBUG)
    url = server.url.replace("://", "://me:p%40ssword@")
    with closing(FloodMonitoringApi(url, now=lambda: SEEN, retry=RetryPolicy(tries=1))) as api:
        assert api.base_url == server.url
        server.answer(whole(THREE))
        assert values(api.latest()) == [1, 2.5, None]
        assert server.headers[0]["Authorization"] == "Basic " + base64.b64encode(b"me:p@ssword").decode()
        told = []
        for status in (401, 404, 503):
            server.answer(whole(b"no", status=status))
            with pytest.raises(SourceError) as error:
                api.latest()
            told.append(str(error.value))
    assert not any("ssword" in text for text in (*told, caplog.text))


@pytest.mark.parametrize("password", ["p\u00e4ss", "\u20acuro", "100%"])
def test_any_password_is_sent_as_it_is_written(server, password):
    server.answer(whole(THREE))
    url = server.url.replace("://", f"://me:{quote(password)}@")
    with closing(FloodMonitoringApi(url, now=lambda: SEEN, retry=RetryPolicy(tries=1))) as api:
        api.latest()
    assert server.headers[0]["Authorization"] == "Basic " + base64.b64encode(f"me:{password}".encode()).decode()


def test_who_asks_is_said_and_gzip_is_wanted(api, server):
    server.answer(whole(THREE))
    api.latest()
    assert server.headers[0]["User-Agent"] == (
        f"flood_assets/{__version__} (+https://github.com/flood-assets/flood_assets)"
    )
    assert server.headers[0]["Accept-Encoding"] == "gzip"


def test_cookies_are_not_kept(api, server):
    server.answer(whole(THREE, Set_Cookie="a=b"))
    api.latest()
    api.latest()
    assert server.headers[1]["Cookie"] is None


def test_a_redirect_is_followed(api, server):
    server.answer(redirect("/elsewhere"), whole(THREE))
    assert len(values(api.latest())) == 3
    assert server.asked[1] == "/elsewhere"


def test_an_answer_without_rows_is_one(api, server):
    server.answer(whole(readings()))
    assert api.latest().rows.num_rows == 0


def test_rejected_rows_are_handed_over_with_the_time_of_asking(api, server):
    server.answer(whole(THREE + b"nonsense\r\n"))
    answer = api.latest()
    assert answer.rows.num_rows == 3
    assert answer.rejects.to_pylist() == [{"seen_at": SEEN, "line": "nonsense", "reason": "1 cells instead of 3"}]


def test_the_time_of_asking_is_from_before_the_request_that_was_answered(server):
    times = iter(SEEN + timedelta(minutes=minute) for minute in range(10))
    asked_at = []
    api = FloodMonitoringApi(
        server.url,
        now=lambda: asked_at.append(len(server.asked)) or next(times),
        retry=RetryPolicy(sleep=lambda _: None),
    )
    server.answer(whole(b"", status=503), whole(THREE))
    answer = api.latest()
    assert answer.observed_at == SEEN + timedelta(minutes=1)
    assert set(answer.rows["observed_at"].to_pylist()) == {answer.observed_at}
    assert asked_at == [0, 1]
    api.close()


@pytest.mark.parametrize(
    ("shown", "asked"),
    [
        # The `Date` has no parts of a second: our clock may be right.
        (-1, 0),
        (0, 0),
        (2, 0),
        # It is fast: put back by as much as the answer proves.
        (-2, -1),
        (-600, -599),
        # It is slow: it overrides nobody.
        (10, 0),
        (600, 0),
        # A clock that pretends.
        (7200, 0),
    ],
)
def test_a_fast_clock_is_put_back_by_the_servers(server, shown, asked):
    """Seconds after the request was sent by our clock: what the answer's `Date` says, and the time that counts."""
    server.answer(whole(THREE, Date=format_datetime(SEEN + timedelta(seconds=shown), usegmt=True)))
    with closing(FloodMonitoringApi(server.url, now=lambda: SEEN)) as api:
        rows = api.latest().rows
    assert set(rows["observed_at"].to_pylist()) == {SEEN + timedelta(seconds=asked)}


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 01 Mar 2024 12:00:00 -0000"])
def test_without_a_date_in_the_answer_our_own_clock_counts(api, server, date):
    server.answer(whole(THREE, Date=date))
    assert api.latest().observed_at == SEEN


# Whole or an error


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_each_framing_that_shows_the_end_is_read(api, server, packed, framing):
    server.answer(whole(THREE, packed=packed, framing=framing))
    assert len(values(api.latest())) == 3


def test_gzip_shows_the_end_where_nothing_else_does(api, server):
    server.answer(whole(THREE, framing="close"))
    assert len(values(api.latest())) == 3


def test_gzip_in_several_members_is_one_body(api, server):
    body = gzip.compress(THREE[:40]) + gzip.compress(THREE[40:])
    server.answer(whole(body, packed=False, Content_Encoding="gzip"))
    assert len(values(api.latest())) == 3


def test_a_body_that_nothing_shows_to_be_whole_is_not_accepted(api, server):
    server.answer(whole(THREE, packed=False, framing="close"))
    with pytest.raises(SourceError, match="nothing would show that it is cut short"):
        api.latest()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), packed=st.booleans(), framing=st.sampled_from(["length", "chunked", "close"]))
def test_a_body_cut_at_any_byte_is_never_a_shorter_table(cut_server, data, packed, framing):
    server, api = cut_server
    size = whole(THREE, packed=packed, framing=framing).size
    cut = data.draw(st.integers(0, size))
    server.answer(whole(THREE, packed=packed, framing=framing, cut=cut))
    try:
        answer = api.latest()
    except SourceError:
        # Of the chunks' framing, only the line end after the last chunk is not missed.
        assert cut < size or (framing == "close" and not packed)
    else:
        assert len(values(answer)) == 3
        assert cut >= size - 4


@pytest.fixture(scope="module")
def cut_server():
    with Server() as server:
        api = FloodMonitoringApi(server.url, now=lambda: SEEN, retry=RetryPolicy(tries=1))
        yield server, api
        api.close()


def test_a_body_cut_at_the_end_of_a_line_is_an_error(api, server):
    for ends in (THREE.index(b"\n") + 1, THREE.rindex(b"\r\n", 0, -2) + 2):
        server.answer(whole(THREE, packed=False, cut=ends))
        with pytest.raises(SourceError, match=f"after {ends}|of {len(THREE)}"):
            api.latest()


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (whole(b"<html>Busy</html>", kind="text/html; charset=utf-8"), "web page .*Busy"),
        (whole(b"<html>\nBusy</html>\n"), "expected the header .* found '<html>"),
        (whole(b"date,measure,value\r\n"), "found 'date,measure,value"),
        (whole(b"", packed=False), "empty"),
        (whole(b""), "empty"),
        (whole(b"", packed=False, Content_Encoding="gzip"), "gzip stream has no end"),
        (whole(THREE[:-2]), "no end"),
        (whole(THREE + b"\xff\r\n"), "corrupt"),
        (whole(THREE, cut=30), "broke off after 30 bytes"),
        (whole(THREE, framing="chunked", cut=60), "broke off"),
        (whole(THREE, framing="close", cut=30), "gzip stream has no end"),
        (whole(THREE, packed=False, Content_Encoding="gzip"), "corrupt: .*header"),
        (whole(gzip.compress(THREE)[:-8] + b"\0" * 8, packed=False, Content_Encoding="gzip"), "corrupt: .*check"),
        (whole(THREE, packed=False, Content_Encoding="br"), "compressed with br"),
        (whole(THREE, packed=False, framing="chunk", Transfer_Encoding="chunked"), "broke off"),
        (reset(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + THREE), "broke off|ConnectionError"),
        (reset(), "ConnectionError"),
        (whole(b"Query timed out", status=503, packed=False), "HTTP 503 'Query timed out'"),
        (whole(b"", status=500), "HTTP 500"),
        (whole(b"", status=502), "HTTP 502"),
        (whole(b"", status=504), "HTTP 504"),
        (whole(b"slow down", status=429), "HTTP 429 'slow down'"),
    ],
)
def test_what_may_pass_is_tried_again_and_then_said(api, server, waits, reply, message):
    server.answer(reply, whole(THREE))
    answer = api.latest()
    assert values(answer) == [1, 2.5, None]
    assert (answer.cost.requests, len(waits)) == (2, 1)

    server.answer(reply)
    with pytest.raises(SourceError, match=message) as gave_up:
        api.latest()
    assert len(server.asked) == 5
    for part in (f"{server.url}/data/readings.csv?latest", "in 5 tries and 0 s", "FLOOD_API_URL"):
        assert part in str(gave_up.value)


@pytest.mark.parametrize(
    ("body", "message"), [(b'{"items": [', "not JSON, or cut short"), (b'{"items": []}', "empty"), (b"", "not JSON")]
)
def test_a_list_of_stations_that_cannot_be_is_tried_again(api, server, body, message):
    server.answer(whole(body), whole(items({"@id": f"{ROOT}/stations/a"})))
    assert api.stations().rows.num_rows == 1
    server.answer(whole(body))
    with pytest.raises(SourceError, match=message):
        api.stations()
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    ("status", "said"), [(400, "Did not recognize request parameters [dist]"), (404, "None"), (406, "?"), (204, "")]
)
def test_what_will_not_pass_is_said_at_once_in_the_servers_words(api, server, status, said):
    server.answer(whole(said.encode(), status=status, kind="text/plain", packed=False))
    with pytest.raises(SourceError) as refused:
        api.readings_of_day(DAY)
    assert f"/data/readings.csv?date=2024-02-29: HTTP {status}" in str(refused.value)
    assert said in str(refused.value)
    assert len(server.asked) == 1


def test_a_refusal_says_what_to_do(api, server):
    server.answer(whole(b"<html><body>Forbidden</body></html>", status=403))
    with pytest.raises(SourceError, match=r"Forbidden.*another network or through a proxy"):
        api.latest()
    assert len(server.asked) == 1


def test_a_redirect_in_a_circle_is_an_error_at_once(api, server):
    server.answer(redirect("/flood-monitoring/data/readings.csv?latest"))
    with pytest.raises(SourceError, match="redirected in a circle"):
        api.latest()
    assert len(server.asked) == 6


def test_a_server_that_is_not_there_is_said(waits):
    with Server() as server:
        url = server.url
    api = FloodMonitoringApi(url, now=lambda: SEEN, retry=RetryPolicy(sleep=waits.append, jitter=lambda: 0.5))
    with pytest.raises(SourceError, match=r"5 tries .*Connection refused"):
        api.latest()
    assert len(waits) == 4


def test_an_address_that_is_none_is_said_at_once(waits):
    api = FloodMonitoringApi("http://[", now=lambda: SEEN, retry=RetryPolicy(sleep=waits.append))
    with pytest.raises(SourceError, match="FLOOD_API_URL"):
        api.latest()
    assert not waits


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + THREE])
def test_a_server_that_falls_silent_is_given_up(server, waits, begun):
    api = FloodMonitoringApi(
        server.url, now=lambda: SEEN, retry=RetryPolicy(read_timeout=0.1, tries=2, sleep=waits.append)
    )

    def silent(handler):
        handler.wfile.write(begun)
        server.stall(handler)

    server.answer(silent)
    with pytest.raises(SourceError, match=r"2 tries .*timed out"):
        api.latest()
    assert len(server.asked) == 2
    api.close()


def test_a_slow_response_is_given_up_when_the_deadline_is_over(server, waits):
    """Each look at the clock is 50 s later: the body is far larger than what is read between two looks."""
    seconds = iter(range(0, 1_000_000, 50))
    api = FloodMonitoringApi(
        server.url, now=lambda: SEEN, retry=RetryPolicy(clock=lambda: next(seconds), sleep=waits.append)
    )
    server.answer(whole(THREE + b"x" * 5_000_000, packed=False))
    with pytest.raises(SourceError, match=r"1 tries .*response too slow: [0-9,]+ bytes in 600 s"):
        api.latest()
    assert not waits
    api.close()


def endless(handler):
    """Says the same rows for ever."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = THREE
    while True:
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        piece = THREE.partition(b"\n")[2] * 1000


def test_an_answer_without_end_is_given_up_at_once_and_said(server, waits):
    api = FloodMonitoringApi(server.url, now=lambda: SEEN, largest=2_000_000, retry=RetryPolicy(sleep=waits.append))
    server.answer(endless)
    for ask in (api.latest, api.stations):
        server.asked.clear()
        with pytest.raises(SourceError, match=r"too large: stopped after 2 MB, .* raise `largest_answer_mb`"):
            ask()
        assert (len(server.asked), waits) == (1, [])
    api.close()


def test_an_answer_that_says_everything_a_hundred_times_takes_the_memory_of_some(api, server, monkeypatch):
    held, add = [], Gatherer.add

    def watched(self, part):
        add(self, part)
        held.append(self.rows)

    monkeypatch.setattr(Gatherer, "add", watched)
    monkeypatch.setattr(gather, "COMPACT_ROWS", 20_000)
    monkeypatch.setattr(gather, "COMPACT_ROWS_A_MEASURE", 2)
    header, _, rows = readings(*range(10_000)).partition(b"\n")
    server.answer(whole(header + b"\n" + (rows + b"nonsense\r\n") * 100))
    answer = api.latest()
    # A million rows come, some 25,000 at once; of each lot the measures count as new until they are looked up.
    assert max(held) < 100_000
    assert sorted(answer.rows["measure_id"].to_pylist()) == sorted(f"m{number}" for number in range(10_000))
    assert answer.rejects.num_rows <= 10


def test_of_a_reading_that_comes_again_the_last_value_counts(api, server):
    header, _, rows = readings(1, 2, 3).partition(b"\n")
    server.answer(whole(header + b"\n" + rows + readings(1, 5).partition(b"\n")[2]))
    found = api.latest().rows
    assert dict(zip(found["measure_id"].to_pylist(), found["value"].to_pylist(), strict=True)) == {
        "m0": 1,
        "m1": 5,
        "m2": 3,
    }
    assert found.schema == FETCHED


# How long it waits


def test_waits_double_and_are_spread(api, server, waits):
    server.answer(whole(b"", status=503))
    with pytest.raises(SourceError):
        api.latest()
    assert waits == [1, 2, 4, 8]

    spread = []
    jitters = itertools.cycle([0.0, 1.0])
    api = FloodMonitoringApi(
        server.url, now=lambda: SEEN, retry=RetryPolicy(sleep=spread.append, jitter=lambda: next(jitters))
    )
    with pytest.raises(SourceError):
        api.latest()
    assert spread == [0.5, 3, 2, 12]
    api.close()


@pytest.mark.parametrize(("header", "wait"), [("7", 7), ("3600", 60), ("0", 1), ("soon", 1), ("-5", 1)])
def test_the_server_says_how_long_to_wait_up_to_a_minute(api, server, waits, header, wait):
    for status in (429, 503):
        server.answer(whole(b"", status=status, Retry_After=header), whole(THREE))
        api.latest()
    assert waits == [wait, wait]


def test_the_server_may_say_until_when_to_wait(api, server, waits):
    server.answer(
        whole(b"", status=503, Retry_After=format_datetime(datetime(2099, 1, 1, tzinfo=UTC), usegmt=True)), whole(THREE)
    )
    api.latest()
    assert waits == [60]


def test_no_try_begins_after_the_deadline(server, waits):
    time = [0.0]

    def sleep(seconds):
        waits.append(seconds)
        time[0] += seconds

    api = FloodMonitoringApi(
        server.url, now=lambda: SEEN, retry=RetryPolicy(clock=lambda: time[0], sleep=sleep, deadline=100)
    )
    server.answer(whole(b"", status=503, Retry_After="60"))
    with pytest.raises(SourceError, match="2 tries and 60 s"):
        api.latest()
    assert waits == [60]
    api.close()


# Limits that nobody announced


def limited(rows, size, *, ignores_offset=False):
    """Answers as an API that gives at most `size` rows from `_offset` on, or from 0 where it ignores that."""

    def reply(handler):
        query = parse_qs(urlsplit(handler.path).query)
        start = int(query.get("_offset", ["0"])[0]) if not ignores_offset else 0
        whole(readings(*range(start, min(rows, start + size)), first=start))(handler)

    return reply


@pytest.mark.parametrize("limit", [500, 10_000])
def test_an_answer_that_ends_at_a_limit_is_paged_to_the_empty_page(api, server, limit):
    rows = 2 * limit + 7
    server.answer(limited(rows, limit))
    answer = api.readings_of_day(DAY)
    assert sorted(values(answer)) == list(range(rows))
    path = "/flood-monitoring/data/readings.csv?date=2024-02-29"
    assert server.asked == [path, *(f"{path}&_offset={at}" for at in (limit, 2 * limit, rows))]
    assert answer.cost.requests == 4


def test_an_answer_that_is_that_long_costs_one_request_more(api, server):
    server.answer(limited(500, 500))
    answer = api.latest()
    assert (answer.rows.num_rows, answer.cost.requests) == (500, 2)


@pytest.mark.parametrize("rows", [499, 501, 9_999, 10_001])
def test_other_answers_are_accepted(api, server, rows):
    server.answer(limited(rows, 100_000))
    assert (api.latest().rows.num_rows, len(server.asked)) == (rows, 1)


def test_two_values_in_one_row_count_as_two_towards_the_limit(api, server):
    server.answer(whole(readings(*range(498), "1|2")), whole(readings(7, first=600)), whole(readings()))
    answer = api.latest()
    assert answer.rows.num_rows == 500
    assert server.asked[1].endswith("?latest&_offset=499")


def test_a_short_page_is_not_the_last(api, server):
    pages = [readings(*range(500)), readings(1, 2, first=500), readings(3, first=502), readings()]
    server.answer(*map(whole, pages))
    answer = api.latest()
    assert answer.rows.num_rows == 503
    assert [path.partition("latest")[2] for path in server.asked] == [
        "",
        "&_offset=500",
        "&_offset=502",
        "&_offset=503",
    ]


def test_pages_that_repeat_the_first_are_an_error_and_not_a_loop(api, server):
    server.answer(limited(9_000, 500, ignores_offset=True))
    with pytest.raises(SourceError, match=r"stops at 500 rows.*repeats"):
        api.latest()
    assert len(server.asked) == 2


def test_a_page_that_breaks_off_is_asked_for_again(api, server):
    pages = [
        whole(readings(*range(500))),
        whole(readings(7, first=500), cut=20),
        whole(readings(7, first=500)),
        whole(readings()),
    ]
    server.answer(*pages)
    answer = api.latest()
    assert (answer.rows.num_rows, answer.cost.requests) == (501, 4)


def test_since_is_paged_when_its_limit_is_reached(api, server):
    server.answer(limited(10_002, 10_000))
    answer = api.readings_since("m", SEEN)
    assert answer.rows.num_rows == 10_002
    path = "/flood-monitoring/id/measures/m/readings.csv?since=2024-03-01T12:00:00Z&_limit=10000"
    assert server.asked == [path, f"{path}&_offset=10000", f"{path}&_offset=10002"]


# A raw look


def test_a_probe_returns_any_answer_as_it_is(server):
    http = Http(server.url, now=lambda: SEEN)
    server.answer(redirect("/elsewhere"), whole(b"Query timed out", status=503, kind="text/plain"))
    answer = http.probe("id/stations")
    assert (answer.status, answer.body) == (503, b"Query timed out")
    assert answer.headers["content-type"] == "text/plain"
    assert 0 <= answer.seconds < 30
    assert server.asked == ["/flood-monitoring/id/stations", "/elsewhere"]
    assert {head["User-Agent"].partition("/")[0] for head in server.headers} == {"flood_assets"}
    http.close()


@pytest.mark.parametrize("reply", [reset(), whole(THREE, cut=30), redirect("/flood-monitoring/id/stations")])
def test_a_probe_without_an_answer_is_an_error_at_once(server, reply):
    http = Http(server.url, now=lambda: SEEN)
    server.answer(reply)
    with pytest.raises(SourceError, match="id/stations: no answer: "):
        http.probe("id/stations")
    http.close()


# While it arrives


def test_what_came_before_an_answer_broke_off_is_not_in_the_table(api, server):
    body = readings(*range(100_000))
    server.answer(whole(body, packed=False, cut=len(body) - 10), whole(body, packed=False))
    answer = api.readings_of_day(DAY)
    assert (answer.rows.num_rows, answer.cost.requests) == (100_000, 2)


def test_progress_is_logged(api, server, caplog):
    server.answer(whole(readings(*range(60_000))))
    with caplog.at_level(logging.DEBUG, "flood_assets.ea"):
        size = api.readings_of_day(DAY).cost.bytes
    progress = [record.progress for record in caplog.records if hasattr(record, "progress")]
    assert 2 <= len(progress) <= size >> 20
    assert all(each["what"] == "readings of 2024-02-29" for each in progress)
    assert [each["bytes"] for each in progress] == sorted(each["bytes"] for each in progress)
    (finished,) = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert finished.startswith("readings of 2024-02-29: 60,000 rows, ")


def test_the_time_for_waiting_and_for_parsing_are_told_apart(server):
    """A clock that moves only while the server is waited for."""
    time = [0.0]

    def reply(handler):
        time[0] += 7
        whole(THREE)(handler)

    api = FloodMonitoringApi(server.url, now=lambda: SEEN, retry=RetryPolicy(clock=lambda: time[0]))
    server.answer(reply)
    answer = api.latest()
    assert (answer.cost.seconds_download, answer.cost.seconds_parse) == (7, 0)
    api.close()


def test_several_threads_may_ask_at_once(api, server):
    def reply(handler):
        measure = int(handler.path.split("/measures/m")[1].split("/")[0])
        whole(readings(measure, first=measure))(handler)

    server.answer(reply)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: api.readings_since(f"m{number}", SEEN), range(40)))
    assert [values(answer) for answer in answers] == [[number] for number in range(40)]


# Recorded answers


def test_a_recorded_list_of_stations_comes_through(api, server):
    body = envelope(recorded("national/stations_national_2020-02-17.json"))
    server.answer(whole(body, kind="application/json", framing="chunked"))
    assert api.stations().rows.num_rows == 4_524


def test_the_recorded_api_is_read_whole(tmp_path):
    recorded("sample/readings.csv.gz")
    command = [sys.executable, str(FOLDER / "ea_replay.py"), "--data", str(FOLDER / "sample"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as replay:
        try:
            url = replay.stdout.readline().split(" at ")[1].strip()
            api = FloodMonitoringApi(url, now=lambda: datetime.now(UTC))
            yesterday = datetime.now(UTC).date() - timedelta(days=1)
            day, latest = api.readings_of_day(yesterday), api.latest()
            measures, stations = api.measures(), api.stations()
            newest = max(zip(latest.rows["date_time"].to_pylist(), latest.rows["measure_id"].to_pylist(), strict=True))
            since = api.readings_since(newest[1], newest[0] - timedelta(hours=2))
            api.close()
        finally:
            replay.kill()  # SIGTERM may be ignored by what a background shell starts
    assert day.rows.num_rows > 5_000
    assert {moment.date() for moment in day.rows["date_time"].to_pylist()} == {yesterday}
    assert latest.rows.num_rows == measures.rows.num_rows == 2_058
    assert stations.rows.num_rows == 2_057
    assert newest[0] in since.rows["date_time"].to_pylist()
    assert [answer.rejects.num_rows for answer in (day, latest, since)] == [0, 0, 0]


# What it costs to import


def test_importing_the_client_reaches_for_nothing_heavy():
    code = (
        "import sys, json, dagster, pyarrow.csv, pyarrow.compute; before = set(sys.modules);"
        "import flood_assets.ea.client; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"requests", "urllib3", "pandas", "boto3", "obstore"}.isdisjoint(json.loads(found))
