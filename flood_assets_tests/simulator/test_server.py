import csv
import io
import re
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests

from flood_assets.simulator import Simulator, serve
from flood_assets.simulator.network import ROOT
from flood_assets.simulator.server import run
from flood_assets_tests.simulator.conftest import NOW

YESTERDAY = "2026-11-20"


def test_a_large_answer_comes_in_chunks_and_a_small_one_with_its_length(shared, http):
    large = http.get(f"{shared.url}/data/readings.csv?date={YESTERDAY}", timeout=30)
    assert large.headers["Transfer-Encoding"] == "chunked"
    small = http.get(f"{shared.url}/id/stations/0", timeout=30)
    assert "Content-Length" in small.headers


def test_gzip_changes_nothing_but_the_size(shared, http):
    for path in (f"/data/readings.csv?date={YESTERDAY}", "/data/readings?latest", "/id/stations"):
        plain = http.get(shared.url + path, headers={"Accept-Encoding": "identity"}, timeout=30)
        packed = http.get(shared.url + path, headers={"Accept-Encoding": "gzip"}, timeout=30)
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert plain.content == packed.content


def test_the_date_header_follows_the_clock(shared, http):
    assert parsedate_to_datetime(http.get(f"{shared.url}/id/stations/0", timeout=30).headers["Date"]) == NOW


def test_a_connection_is_kept_for_the_next_request(shared):
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        for _ in range(3):
            connection.sendall(b"GET /flood-monitoring/id/stations/0 HTTP/1.1\r\nHost: x\r\n\r\n")
            head, _, rest = connection.recv(1 << 20).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(rest) < length:
                rest += connection.recv(1 << 20)
            assert len(rest) == length


def test_an_old_client_gets_a_body_that_ends_with_the_connection(shared):
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        connection.sendall(f"GET /flood-monitoring/data/readings.csv?date={YESTERDAY} HTTP/1.0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    assert b"chunked" not in answer.partition(b"\r\n\r\n")[0]
    assert answer.endswith(b"\r\n")


def test_a_client_that_goes_away_is_no_matter(shared, http, capfd):
    for _ in range(3):
        with http.get(f"{shared.url}/data/readings?date={YESTERDAY}", stream=True, timeout=30) as response:
            next(response.iter_content(100))
    assert http.get(f"{shared.url}/id/stations/0", timeout=30).status_code == 200
    assert capfd.readouterr().err == ""


def test_truth_is_what_date_shows(shared, http):
    text = http.get(f"{shared.control}/truth.csv?from=2026-11-19T23:59:59Z&to=2026-11-20T23:59:59Z", timeout=30).text
    truth = {(r["dateTime"], r["measure"], r["value"]) for r in csv.DictReader(io.StringIO(text))}
    shown = csv.DictReader(io.StringIO(http.get(f"{shared.url}/data/readings.csv?date={YESTERDAY}", timeout=30).text))
    assert truth == {(r["dateTime"], r["measure"].removeprefix(f"{ROOT}/id/measures/"), r["value"]) for r in shown}
    assert len(truth) > 10_000


def test_truth_in_python_is_truth_over_http(shared, http):
    text = http.get(f"{shared.control}/truth.csv?from=2026-11-21T09:00:00Z&to=2026-11-21T10:00:00Z", timeout=30).text
    over_http = [(r["dateTime"], r["measure"], r["value"]) for r in csv.DictReader(io.StringIO(text))]
    start = datetime(2026, 11, 21, 9, tzinfo=UTC)
    rows = shared.truth(start, start + timedelta(hours=1))
    assert [(f"{r.time:%Y-%m-%dT%H:%M:%SZ}", r.measure, r.value) for r in rows] == over_http
    assert all(start < row.time <= start + timedelta(hours=1) for row in rows)


def test_truth_needs_a_span(shared, http):
    assert http.get(f"{shared.control}/truth.csv?from=2026-11-21", timeout=30).status_code == 400


def test_the_clock_is_set_over_http(server, http):
    moment = "2026-11-19T08:07:06Z"
    assert http.put(f"{server.control}/clock?now={moment}", timeout=30).json() == {"now": moment}
    assert http.get(f"{server.control}/about", timeout=30).json()["now"] == moment
    assert http.put(f"{server.control}/clock?now=", timeout=30).json() == {"now": "2026-11-21T12:14:00Z"}
    assert http.put(f"{server.control}/clock?now=noon", timeout=30).status_code == 400


def test_a_naive_clock_is_refused(server):
    with pytest.raises(ValueError, match="has no time zone"):
        server.set_clock(datetime(2026, 11, 19))  # noqa: DTZ001 (that is the point)


def test_about_says_what_is_simulated(server, http):
    about = http.get(f"{server.control}/about", timeout=30).json()
    assert (about["seed"], about["stations"]) == (3, 120)
    stations = http.get(f"{server.url}/data/readings?latest", timeout=30).json()["items"]
    assert len(stations) < about["measures"] < 240


def test_requests_and_plain_bytes_are_counted_by_endpoint(server, http):
    size = len(http.get(f"{server.url}/data/readings.csv?latest", timeout=30).content)
    http.get(f"{server.url}/data/readings.csv?latest", timeout=30)
    http.get(f"{server.url}/id/stations/0/readings?since=2026-11-21", timeout=30)
    stats = http.get(f"{server.control}/stats", timeout=30).json()
    assert stats["/data/readings latest"] == {"requests": 2, "bytes": 2 * size}
    assert stats["/id/stations/*/readings since"]["requests"] == 1
    server.set_faults([{"kind": "status"}])
    http.get(f"{server.url}/data/readings.csv?latest", timeout=30)
    assert server.stats()["/data/readings latest"] == {"requests": 3, "bytes": 2 * size}
    http.put(f"{server.control}/reset", timeout=30)
    assert server.stats() == {}


def test_control_is_no_part_of_the_api(server, http):
    assert http.get(f"{server.url}/__simulator/stats", timeout=30).status_code == 404
    assert http.get(f"http://127.0.0.1:{server.port}/", timeout=30).status_code == 404
    assert http.get(f"{server.control}/unknown", timeout=30).status_code == 404
    assert http.put(f"{server.control}/unknown", timeout=30).status_code == 404


@pytest.mark.parametrize("stations", [1, 5, 14, 257])
def test_a_country_may_be_tiny(stations, http):
    with serve(Simulator(stations, seed=1, now=lambda: NOW)) as server:
        for path in (
            "/id/stations?_view=full",
            "/id/measures",
            "/data/readings?latest",
            "/data/readings?today&_sorted",
        ):
            assert http.get(server.url + path, timeout=30).json()["items"]
        assert len(http.get(f"{server.url}/id/stations", timeout=30).json()["items"]) == stations


def test_a_server_closes_while_clients_hold_connections():
    with requests.Session() as session:
        with serve(Simulator(60, seed=1, now=lambda: NOW)) as server:
            session.get(f"{server.url}/id/stations/0", timeout=30)
        with pytest.raises(requests.ConnectionError):
            session.get(f"{server.url}/id/stations/0", timeout=30)


@pytest.mark.parametrize("inherited", [signal.SIG_DFL, signal.SIG_IGN])
def test_the_command_line_says_where_it_listens_and_ends_when_it_is_told_to(inherited):
    """A shell starts what runs in the background with signals ignored."""
    before = signal.signal(signal.SIGTERM, inherited)
    command = [sys.executable, "-m", "flood_assets.simulator", "--stations", "60", "--port", "0"]
    command += ["--now", "2026-11-21T10:00:00Z"]
    try:
        started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    with started as process:
        line = process.stdout.readline()
        url = line.split()[-1]
        about = requests.get(url.replace("/flood-monitoring", "/__simulator/about"), timeout=30).json()
        process.terminate()
    assert about["now"] == "2026-11-21T10:00:00Z"
    assert about["stations"] == 60


def test_importing_it_reads_no_clock_and_loads_nothing_of_the_package():
    code = (
        "import sys, flood_assets.simulator\n"
        "assert 'pandas' not in sys.modules and 'dagster' not in sys.modules\n"
        "names = [m for m in sys.modules if m.startswith('flood_assets.')]\n"
        "assert all(m.startswith('flood_assets.simulator') for m in names), names\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("much", [2_000_000, pytest.param(8_000_000, marks=pytest.mark.long)])
def test_half_a_million_stations_are_served_in_bounded_memory(much):
    command = [sys.executable, "-m", "flood_assets.simulator", "--stations", "550000", "--port", "0"]
    with subprocess.Popen([*command, "--now", "2026-11-21T10:00:00Z"], stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().split()[-1]
        for path in ("/data/readings.csv?latest", f"/data/readings?date={YESTERDAY}", "/id/stations?_view=full"):
            with requests.get(url + path, stream=True, timeout=60) as response:
                read = 0
                for piece in response.iter_content(1 << 16):
                    read += len(piece)
                    if read > much:
                        break
            assert read > much
        with open(f"/proc/{process.pid}/status") as status:  # noqa: PTH123 (not a file)
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        process.terminate()
    assert peak < 600_000  # kB


def test_a_server_that_is_away_refuses_connections_and_comes_back_at_the_same_address(server):
    url = f"{server.url}/id/stations?_limit=1"
    before = requests.get(url, timeout=30).json()
    with server.away(), pytest.raises(requests.ConnectionError, match="refused"):
        requests.get(url, timeout=30)
    assert requests.get(url, timeout=30).json() == before


@pytest.mark.parametrize(
    ("port", "said"), [(None, "is in use"), (99_999, r"of 127\.0\.0\.1 cannot be listened on \(.*\)")]
)
def test_a_port_that_cannot_be_had_is_one_line_with_the_option(port, said, capsys, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = port or taken.getsockname()[1]
        with pytest.raises(SystemExit) as stopped:
            run(stations=3, port=port)
    assert stopped.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert re.fullmatch(
        rf"simulator: port {port} {said}: choose another with --port, or --port 0 for a free one\n", told.err
    )
