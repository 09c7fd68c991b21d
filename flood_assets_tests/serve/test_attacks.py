"""Attacks on the server that `flood-assets serve` runs are refused or harmless; others are answered meanwhile."""

import hashlib
import json
import logging
import resource
import subprocess
import sys
import time
from contextlib import suppress
from urllib.parse import quote

import pytest

from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import STATIONS
from flood_assets.serve.keys import Keys
from flood_assets.serve.limits import Limits
from flood_assets_tests.support.lake_rows import snapshot
from flood_assets_tests.support.listening import listening
from flood_assets_tests.support.seven_gauges import NOW, STATION_ROWS, fill

SCRIPT = "<script>alert('1')</script>"
SPLIT = "Kingston\r\nX-Evil: 1"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A lake whose lists have names that an attacker would like to see printed."""
    found = Lake.open(tmp_path_factory.mktemp("attacked") / "lake")
    fill(found)
    rows = [
        {**row, "label": label} for row, label in zip(STATION_ROWS, [SCRIPT, SPLIT, "a", "b", "c", "d"], strict=True)
    ]
    found.put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW, *rows))
    return found


@pytest.fixture(scope="module")
def server(lake):
    with listening(lake, NOW, limits={"request_s": 0.6}) as found:
        yield found


def raw(server, data, wait=30.0):
    """Send bytes and return all that comes until the server closes."""
    with server.connect() as connection:
        connection.settimeout(wait)
        connection.sendall(data)
        return everything(connection)


def everything(connection):
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def is_answered(server):
    status, _, body = server.get("/api/v1/latest?measure_id=K1-level")
    return status == 200 and json.loads(body)["numberMatched"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/api/v1/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/api/v1/readings.%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/api/v1/readings.csv/../../../setup.cfg",
        "//etc/passwd",
        "/static/..%5c..%5csetup.cfg",
        "/api/v1/stations%00.json",
        "/_watermarks.parquet",
        "/readings/date=2026-10-05/hour=09/readings.parquet",
    ],
)
def test_a_path_leads_to_no_file(server, path):
    answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] == b"404"
    assert b"root:" not in answer
    assert b"PAR1" not in answer


def test_a_parameter_cannot_add_a_header(server):
    evil = quote("K1\r\nX-Evil: 1\r\n\r\n")
    for name in ("station_id", "measure_id", "river", "station"):
        status, headers, _ = server.get(f"/api/v1/stations.csv?limit=1&{name}=K1&{name}={evil}")
        assert status == 200
        assert "x-evil" not in headers
    status, headers, body = server.get(f"/api/v1/readings?limit=1&station_id=K1&station_id={evil}")
    assert status == 200
    assert headers["link"] == f'<{json.loads(body)["next"]}>; rel="next"'
    assert "%0D%0AX-Evil" in headers["link"]
    assert "x-evil" not in headers
    for path in ("/api/v1/readings%0d%0aX-Evil:%201", "/api/v1/readings.csv%0d%0aX-Evil:%201", "/%0d%0aX-Evil:%201"):
        status, headers, _ = server.get(path)
        assert (status, "x-evil" in headers) == (404, False)


def test_a_stations_name_cannot_add_a_header(server):
    for path in (
        f"stations?station={quote(SPLIT)}",
        "stations.csv",
        "stations.csv?limit=1",
        "latest.geojson?joined=true",
    ):
        status, headers, _ = server.get(f"/api/v1/{path}")
        assert (status, "x-evil" in headers) == (200, False)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\rX-Evil: 1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nX Evil: 1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(server, data):
    answer = raw(server, data)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"x-evil" not in answer.lower()
    assert is_answered(server)


def test_a_query_of_1_mb_is_refused(server):
    with server.connect() as connection:
        connection.settimeout(30)
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(b"GET /api/v1/readings?station_id=" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = everything(connection)
    # Who goes on sending may lose the answer with the connection.
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert raw(server, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 431 ")
    assert raw(server, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 12_000).startswith(b"HTTP/1.1 431 ")
    assert is_answered(server)


def test_thousands_of_parameters_are_refused(server):
    status, _, body = server.get("/api/v1/readings?" + "&".join(f"rivr{i}=x" for i in range(1900)))
    assert status == 400
    assert len(body) < 3000
    status, _, body = server.get("/api/v1/readings?" + "&a=" * 3000)
    assert (status, b"more than 2,000 parameters" in body) == (400, True)
    ids = "&".join(f"station_id={i}" for i in range(1001))
    assert server.get(f"/api/v1/readings?{ids}")[0] == 400


# Who has no key may not push: its body is not read either.
@pytest.mark.parametrize(("path", "status"), [(b"latest", b"405"), (b"readings", b"401")])
def test_a_large_body_is_not_read(server, path, status):
    head = b"POST /api/v1/%s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n" % path
    assert raw(server, head + bytes(100_000)).startswith(b"HTTP/1.1 %s " % status)


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"", b""),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /", b"a"),
    ],
    ids=["says nothing", "drips headers", "drips a body", "drips the next request"],
)
def test_who_drips_is_cut_off(server, begin, drop):
    """As Slowloris does; here a request may take 0.6 s."""
    with server.connect() as connection:
        connection.settimeout(0.1)
        connection.sendall(begin)
        ended = time.monotonic() + 60
        while time.monotonic() < ended:
            try:
                if drop:
                    connection.sendall(drop)
                if not connection.recv(65536):
                    break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
        else:
            pytest.fail("the connection stays open")
    assert is_answered(server)


HOLD = """
import resource, socket, sys
port, many = int(sys.argv[1]), int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = []
for number in range(many):
    found = socket.create_connection(("127.0.0.1", port), timeout=60)
    found.sendall(b"GET /healthz HTTP/1.1\\r\\n")
    held.append(found)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_10000_idle_connections_keep_nobody_out(lake, capsys):
    """As many as this machine lets a process have, if that is less; the server holds 2,000 of them, the latest."""
    many = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200)
    limits = {"connections": 2000, "request_s": 300}
    with listening(lake, NOW, limits=limits) as server, server.events() as following:
        following.next()
        command = [sys.executable, "-c", HOLD, str(server.port), str(many)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attacker:
            assert attacker.stdout.readline() == "held\n"
            with capsys.disabled():
                print(f" [{many:,} connections]", end="")
            for _ in range(20):
                assert is_answered(server)
            assert len(server.server.server_state.connections) <= 2002
            # Who is being answered is not put out for them.
            assert server.app.state.stream.clients == 1
            attacker.communicate("\n")


def test_keys_cannot_be_guessed(lake, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    key = "fa_the-right-one"
    file = tmp_path / "keys"
    file.write_text(f"somebody sha256:{hashlib.sha256(key.encode()).hexdigest()} 50 read\n")
    limits = Limits(20, Keys(file, time.monotonic), required=True)
    with listening(lake, NOW, client_limits=limits) as server:
        for header in ("Authorization", "X-Api-Key"):
            said = [
                server.get("/api/v1/stations", {header: f"Bearer fa_{i}" if header[0] == "A" else f"fa_{i}"})
                for i in range(8)
            ]
        assert [status for status, _, _ in said][-5:] == [429] * 5
        assert server.get("/api/v1/stations", {"Authorization": f"Bearer {key}"})[0] == 429
        assert server.get("/healthz")[0] == 200
    assert "fa_" not in caplog.text + "".join(body.decode() for _, _, body in said)


@pytest.mark.parametrize("name", ["station_id", "measure_id", "river", "station", "town", "parameter"])
@pytest.mark.parametrize(
    "text", ["' OR 1=1 --", "'; DROP TABLE readings; --", 'x" UNION SELECT * FROM stations', "%", ".*"]
)
def test_sql_and_patterns_are_names_that_nothing_is_called(server, name, text):
    status, _, body = server.get(f"/api/v1/latest?{name}={quote(text)}")
    assert status == 200
    assert json.loads(body)["numberMatched"] == 0
    assert json.loads(body)["notes"]


@pytest.mark.parametrize("name", ["columns", "after", "since", "start", "bbox", "near", "limit", "last_event_id"])
def test_sql_where_there_is_no_name_is_an_error(server, name):
    asked = {"since": "changes"}.get(name, "readings")
    status, headers, body = server.get(f"/api/v1/{asked}?{name}=" + quote("1'; DROP TABLE readings"))
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert b"Traceback" not in body


def test_html_in_names_is_shown_as_data_alone(server):
    paths = (
        "stations",
        "latest.geojson?joined=true",
        "stations.csv",
        f"stations?station={quote(SCRIPT)}",
        f"stations?{quote(SCRIPT)}=1",
    )
    for path in (*(f"/api/v1/{each}" for each in paths), f"/{quote(SCRIPT)}"):
        _, headers, body = server.get(path)
        assert SCRIPT.encode() in body or b"script" in body
        assert headers["content-type"].split(";")[0] in (
            "application/json", "application/geo+json", "application/problem+json", "text/csv"
        )  # fmt: skip
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_a_forwarded_address_is_not_believed_of_strangers(lake):
    with listening(lake, NOW, client_limits=Limits(1)) as server:
        said = [server.get("/api/v1/stations", {"X-Forwarded-For": f"198.51.100.{i}"})[0] for i in range(5)]
        assert said == [200, 200, 200, 429, 429]


def test_a_name_of_a_host_changes_no_link(server):
    _, headers, _ = server.get("/api/v1/readings?limit=1", {"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert "evil" not in str(headers)
