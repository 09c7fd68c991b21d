import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from flood_assets import definitions
from flood_assets.cli import doctor
from flood_assets.cli.doctor import machine
from flood_assets.cli.doctor.api import check_api
from flood_assets.cli.doctor.findings import Level, look, ok, without_secrets
from flood_assets.cli.doctor.lake import check_lake
from flood_assets.cli.doctor.machine import check_dagster_home, check_definitions, check_settings, check_versions
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import IDENTITY, key_of
from flood_assets.schemas import READINGS, STATIONS
from flood_assets.simulator import Simulator, serve
from flood_assets_tests.support.filled_lakes import API, filled
from flood_assets_tests.support.lake_rows import at, put_raw
from flood_assets_tests.support.s3 import BUCKET, s3_server

__all__ = ["s3_server"]

REPOSITORY = Path(__file__).parents[2]
REPLAY = Path(os.environ.get("FLOOD_REPLAY") or REPOSITORY.parent / "shared" / "replay")
MARKER = "wJalrXUtnFEMI-do-not-show-K7MDENG"


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(("FLOOD_", "AWS_", "DAGSTER_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("FLOOD_LAKE_URL", (tmp_path / "lake").as_uri())


@pytest.fixture(scope="module")
def simulated():
    with serve(Simulator(40, 1)) as server:
        yield server.url


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A Dagster home with the repository's settings."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(REPOSITORY / "dagster_home" / "dagster.yaml", folder)
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


class Api:
    """An API with set answers, (status, body, headers), by a part of the path."""

    def __init__(self):
        now = datetime.now(UTC).replace(microsecond=0)
        rows = [f"{now:%Y-%m-%dT%H:%M:%SZ},http://x/id/measures/m{i},1.5\r\n" for i in range(3)]
        self.csv = "dateTime,measure,value\r\n" + "".join(rows)
        station = {"@id": "http://x/id/stations/s", "notation": "s", "label": "S", "stationReference": "s"}
        measure = {"@id": "http://x/id/measures/m0", "notation": "m0", "station": "http://x/id/stations/s"}
        self.answers = {
            "?latest": (200, self.csv, {}),
            "?date": (200, self.csv, {}),
            "/data/readings?since": (400, "Did not recognize request parameters [since]", {}),
            "/id/stations": (200, json.dumps({"meta": {"version": "0.9"}, "items": [station]}), {}),
            "/id/measures": (200, json.dumps({"meta": {}, "items": [measure]}), {}),
        }
        self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.append(self.path)
                status, text, more = next(a for part, a in outer.answers.items() if part in self.path)
                body = text.encode()
                headers = {
                    "Content-Type": "text/csv",
                    "Content-Length": str(len(body)),
                    "Date": format_datetime(datetime.now(UTC), usegmt=True),
                } | more
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/flood-monitoring"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, part, status=200, text=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[part] = (status, self.answers[part][1] if text is None else text, headers)


@pytest.fixture
def api(monkeypatch):
    """A healthy API, with FLOOD_API_URL set to it; each answer can be replaced."""
    server = Api()
    monkeypatch.setenv("FLOOD_API_URL", server.url)
    yield server
    server.http.shutdown()
    server.http.server_close()


def found(check, level=None):
    findings = list(look(check))
    for finding in findings:
        assert finding.level in (Level.OK, Level.NOTE) or finding.remedy, finding
    return [finding.found for finding in findings if level in (None, finding.level)]


def only(check, level):
    said = found(check, level)
    assert len(said) == 1, found(check)
    return said[0]


def examined(capsys):
    code = doctor.show()
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return code, printed.out, printed.err


def claimed(api_url):
    lake = Lake.open(os.environ["FLOOD_LAKE_URL"])
    lake.claim(api_url)
    return lake


# -- everything


def test_all_well(simulated, home, monkeypatch, capsys):
    monkeypatch.setenv("FLOOD_API_URL", simulated)
    claimed(simulated)
    code, out, err = examined(capsys)
    assert (code, err) == (0, "")
    assert ", 0 warnings, 0 failed\n" in out
    assert "no Dagster daemon is running" in out
    for title in ("Settings", "API", "Lake", "Dagster home", "Dagster definitions", "Versions"):
        assert f"\n{title}\n" in out


def test_a_failed_check_does_not_stop_the_others(monkeypatch, capsys):
    monkeypatch.setenv("FLOOD_API_URL", f"http://127.0.0.1:{_free_port()}")
    monkeypatch.setenv("DAGSTER_HOME", "/nowhere/at/all")
    code, out, _ = examined(capsys)
    assert code == 1
    assert "data/readings.csv?latest: no answer: " in out
    assert "the lake can be read, written" in out
    assert "DAGSTER_HOME is '/nowhere/at/all': expected the absolute path of an existing folder" in out
    assert "the Dagster definitions load" in out
    assert ", 2 failed\n" in out


def test_a_bug_in_a_check_is_a_finding(monkeypatch, capsys):
    def wrong():
        yield ok("first")
        raise KeyError("a fault of the program")

    monkeypatch.setattr(doctor, "CHECKS", {"Wrong": wrong, "Right": check_settings})
    code, out, _ = examined(capsys)
    assert code == 1
    assert "FAILED  this check could not run: KeyError: 'a fault of the program'" in out
    assert "FLOOD_LAKE_URL" in out


@pytest.mark.parametrize("place", ["folder", "bucket", "missing bucket", "lost server"])
def test_no_secret_is_ever_shown(place, s3_server, api, home, monkeypatch, capsys):
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    token = MARKER + "t" * 900
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", MARKER)
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    password = "pw-do-not-show-either"
    monkeypatch.setenv("FLOOD_API_URL", api.url.replace("://", f"://someone:{password}@"))
    _break_definitions(monkeypatch, RuntimeError(f"password={password}"))
    (home / "dagster.yaml").write_text(f"telemetry: {{enabled: [{{password: [{password}]}}]}}\n")
    if place != "folder":
        monkeypatch.setenv(
            "FLOOD_LAKE_URL", f"s3://{BUCKET if place != 'missing bucket' else 'no-such-bucket'}/secrets"
        )
    if place == "lost server":
        monkeypatch.setenv("FLOOD_LAKE_URL", "s3://bucket/secrets")
        monkeypatch.setenv("AWS_PROFILE", "missing")
    code, out, err = examined(capsys)
    assert code == 1
    assert MARKER not in out + err
    assert password not in out + err
    assert "someone" not in out + err
    assert f"FLOOD_API_URL: {api.url} (from the environment)" in out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://someone:hunter-22@host/path", "https://***@host/path"),
        ("password=hunter-22, again", "password=***, again"),
        ('{"account_key": ["hunter-22"]}', '{"account_key": ***"]}'),
        ("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role", None),
        ("AWS_SECRET_ACCESS_KEY=hunter-22", "AWS_SECRET_ACCESS_KEY=***"),
        ("proxy http://me:p@ss@host:80 and http://x/a@b", "proxy http://***@host:80 and http://x/a@b"),
        ("the variable's value is hunter-22.", "the variable's value is ***."),
    ],
)
def test_secrets_are_replaced_wherever_they_stand(text, shown, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "hunter-22")
    monkeypatch.setenv("OTHER_PASSWORD", "path")  # too short to be one, and a part of other words
    assert without_secrets(text) == (shown or text)


def test_a_terminal_shows_the_same_and_a_pipe_whole_lines(simulated, monkeypatch, capsys):
    monkeypatch.setenv("FLOOD_API_URL", simulated)
    monkeypatch.setattr(doctor, "CHECKS", {"API": check_api})
    _, piped, _ = examined(capsys)
    assert "  ok      latest: " in piped
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    _, shown, _ = examined(capsys)
    assert "\x1b[" in shown
    assert "latest: " in shown


# -- settings


def test_settings_are_shown_with_their_origin(monkeypatch):
    said = "\n".join(found(check_settings))
    assert "environment.data.gov.uk/flood-monitoring (default: the live API)" in said
    assert "/lake (from the environment)" in said


def test_a_pretended_time_is_noted(monkeypatch):
    monkeypatch.setenv("FLOOD_NOW", "2026-11-21T09:00:00Z")
    assert only(check_settings, Level.NOTE) == "FLOOD_NOW replaces this machine's clock"
    assert "FLOOD_NOW: 2026-11-21 09:00Z (from the environment)" in found(check_settings)


@pytest.mark.parametrize(("name", "value"), [("FLOOD_NOW", "yesterday"), ("FLOOD_API_URL", "ftp://x")])
def test_a_wrong_setting_fails_once(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    assert f"{name} is '{value}'" in only(check_settings, Level.FAILED)
    assert found(check_api) == ["not checked: correct the setting above first"]


# -- the API


def test_a_sound_api_is_asked_a_handful_of_times_and_never_limited(api):
    assert found(check_api, Level.FAILED) == []
    assert len(api.asked) == 5
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert f"/flood-monitoring/data/readings.csv?date={yesterday}" in api.asked
    assert not [path for path in api.asked if "_limit" in path and any(f in path for f in ("latest", "today", "date="))]


def test_the_recorded_api_is_as_assumed(monkeypatch):
    server = REPLAY / "ea_replay.py"
    if not server.exists():
        pytest.skip(f"no replay server at {REPLAY}; FLOOD_REPLAY names its folder")
    port = _free_port()
    command = [sys.executable, server, "--data", REPLAY / "sample", "--port", str(port)]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline()
        monkeypatch.setenv("FLOOD_API_URL", f"http://127.0.0.1:{port}/flood-monitoring")
        said = found(check_api, Level.OK)
        assert "answers are compressed with gzip" in said
        assert any("[since] as valid for this endpoint" in line for line in said)
        assert found(check_api, Level.WARNING) == found(check_api, Level.FAILED) == []
    finally:
        process.kill()
        process.communicate()


def test_an_api_that_cannot_be_reached_is_not_asked_again(monkeypatch):
    monkeypatch.setenv("FLOOD_API_URL", f"http://127.0.0.1:{_free_port()}/flood-monitoring")
    (finding,) = look(check_api)
    assert finding.level is Level.FAILED
    assert finding.found.startswith(os.environ["FLOOD_API_URL"])
    assert "Connection refused" in finding.found
    assert "proxy (none is set)" in finding.remedy


def test_a_proxy_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("FLOOD_API_URL", "http://gauges.example/flood-monitoring")
    monkeypatch.setenv("HTTP_PROXY", f"http://someone:hunter-22@127.0.0.1:{_free_port()}")
    (finding,) = look(check_api)
    assert "proxy http://***@127.0.0.1:" in finding.remedy
    assert "hunter-22" not in finding.found + finding.remedy


@pytest.mark.parametrize(
    ("status", "text", "kind", "said", "remedy"),
    [
        (
            200,
            "<html>Log in</html>",
            "text/html",
            "HTTP 200 '<html>Log in</html>': a web page",
            "a log-in page or a proxy",
        ),
        (200, "<!DOCTYPE html>", "text/csv", "a web page instead of data", "proxy (none is set)"),
        (404, "Not found", "text/plain", "latest: HTTP 404 'Not found'", "must be the root of the API"),
        (403, "Forbidden", "text/plain", "HTTP 403", "another network"),
        (407, "Who are you?", "text/plain", "HTTP 407", "HTTPS_PROXY=http://"),
        (429, "Slow down", "text/plain", "HTTP 429", "wait some minutes"),
        (503, "Query timed out", "text/plain", "HTTP 503 'Query timed out'", "wait some minutes"),
        (400, "what?", "text/plain", "HTTP 400", "check FLOOD_API_URL"),
    ],
)
def test_an_api_that_refuses_is_asked_once(api, status, text, kind, said, remedy):
    api.answer("?latest", status, text, Content_Type=kind)
    (finding,) = look(check_api)
    assert finding.level is Level.FAILED
    assert said in finding.found
    assert remedy in finding.remedy
    assert api.asked == ["/flood-monitoring/data/readings.csv?latest"]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_wrong_clock_is_a_warning(api, minutes):
    api.answer("?latest", Date=format_datetime(datetime.now(UTC) - timedelta(minutes=minutes), usegmt=True))
    said = [line for line in found(check_api, Level.WARNING) if "clock" in line]
    assert len(said) == 1
    assert ("ahead of" if minutes > 0 else "behind") in said[0]


@pytest.mark.parametrize("date", ["", "soon"])
def test_a_clock_that_cannot_be_compared_is_a_note(api, date):
    api.answer("?latest", Date=date)
    assert any("clock was not compared" in line for line in found(check_api, Level.NOTE))


def test_a_cached_answer_is_no_wrong_clock(api):
    date = format_datetime(datetime.now(UTC) - timedelta(minutes=10), usegmt=True)
    api.answer("?latest", Date=date, Age="600")
    assert not [line for line in found(check_api, Level.WARNING) if "clock" in line]


def test_a_pretended_time_is_compared_with_the_readings(api, monkeypatch):
    monkeypatch.setenv("FLOOD_NOW", f"{datetime.now(UTC) - timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}")
    assert any(line.startswith("3 of 3 newest readings are dated after now") for line in found(check_api))
    monkeypatch.setenv("FLOOD_NOW", f"{datetime.now(UTC) + timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}")
    assert any(line.startswith("the newest reading is of") for line in found(check_api, Level.WARNING))


@pytest.mark.parametrize(
    ("part", "answer", "level", "said"),
    [
        ("?latest", {}, Level.WARNING, "answers are not compressed although gzip was asked for"),
        ("?latest", {"text": "time,what\r\n1,2\r\n"}, Level.FAILED, "expected the header 'dateTime,measure,value'"),
        ("?latest", {"text": "dateTime,measure,value\r\n"}, Level.WARNING, "latest: 0 rows"),
        (
            "?latest",
            {"text": "dateTime,measure,value\r\nsoon,m,1\r\n"},
            Level.WARNING,
            "latest: 1 row cannot be parsed",
        ),
        ("/data/readings?since", {"text": "{}"}, Level.WARNING, "since: HTTP 200 '{}', expected 400"),
        ("/data/readings?since", {"status": 500}, Level.WARNING, "expected 400"),
        ("/id/stations", {"text": "[]"}, Level.FAILED, "list of stations cannot be read"),
        ("/id/stations", {"status": 503}, Level.FAILED, "list of stations: HTTP 503"),
        ("/id/stations", {"text": '{"meta": {}, "items": []}'}, Level.WARNING, "list of stations: 0 rows"),
        ("/id/measures", {"text": "<html>"}, Level.FAILED, "list of measures: HTTP 200 '<html>': a web page"),
        ("/id/measures", {"text": "{"}, Level.FAILED, "list of measures cannot be read"),
        ("?date", {"status": 503}, Level.FAILED, ": HTTP 503"),
        ("?date", {"text": "dateTime,measure,value\r\n2026-11-2"}, Level.FAILED, "cut short"),
    ],
)
def test_an_unexpected_answer_is_reported(api, part, answer, level, said):
    answer = {"status": 200} | answer
    api.answer(part, **answer)
    assert any(said in line for line in found(check_api, level)), found(check_api)


def test_a_list_with_a_limit_is_a_warning(api):
    limited = {"meta": {"limit": 500}} | {"items": json.loads(api.answers["/id/stations"][1])["items"]}
    api.answer("/id/stations", text=json.dumps(limited))
    assert any("list of stations: 1 row," in line for line in found(check_api, Level.WARNING))
    assert any("limited to 500 by the API" in line for line in found(check_api, Level.WARNING))


@pytest.mark.parametrize("rows", [500, 10_000])
def test_an_answer_of_exactly_a_limit_is_a_warning(api, rows):
    row = api.csv.splitlines()[1]
    many = [row.replace("m0", f"m{i}") + "\r\n" for i in range(rows)]
    api.answer("?latest", text="dateTime,measure,value\r\n" + "".join(many))
    assert any(f"limited to {rows:,} by the API" in line for line in found(check_api, Level.WARNING))


def test_answers_that_a_refresh_would_not_accept_fail(api):
    api.answer("?latest", Content_Encoding="br")
    assert any("Content-Encoding 'br'" in line for line in found(check_api, Level.FAILED))


# -- the lake


def test_a_new_lake_is_made_and_not_claimed(tmp_path):
    said = found(check_lake, Level.NOTE)
    assert f"{tmp_path / 'lake'} does not exist yet" in said[0]
    assert said[1] == "the lake belongs to no API yet"
    lake = Lake.open(os.environ["FLOOD_LAKE_URL"])
    assert lake.source() is None
    assert [meta.key for meta in lake.store.list("") if not meta.key.startswith(".locks")] == []
    assert not (tmp_path / "lake" / "_doctor").exists()


def test_a_lake_of_another_api_fails_and_stays_as_it_is(monkeypatch):
    lake = claimed("https://other.example")
    monkeypatch.setenv("FLOOD_API_URL", "https://this.example")
    finding = next(f for f in look(check_lake) if f.level is Level.FAILED)
    assert (
        finding.found == "the lake holds readings of https://other.example, but FLOOD_API_URL is https://this.example"
    )
    assert "set FLOOD_API_URL=https://other.example" in finding.remedy
    assert lake.source() == "https://other.example"


def test_a_claim_that_cannot_be_read_fails():
    put_raw(Lake.open(os.environ["FLOOD_LAKE_URL"]), IDENTITY, b"{")
    assert "_lake.json cannot be understood" in only(check_lake, Level.FAILED)


@pytest.mark.parametrize("url", ["x3://bucket", "lake:", "file://server/lake", "file:///dev/null/lake", "s4:"])
def test_a_wrong_lake_url_fails(url, monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", url)
    assert url in only(check_lake, Level.FAILED)


@pytest.fixture
def read_only(tmp_path):
    folder = tmp_path / "read-only"
    (folder / "lake").mkdir(parents=True)
    if os.geteuid():
        (folder / "lake").chmod(0o555)
        yield folder / "lake"
        (folder / "lake").chmod(0o755)
        return
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], check=False, capture_output=True
    ).returncode:
        pytest.skip("root writes everywhere, and mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_read_only_folder_fails(read_only, monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", read_only.as_uri())
    said = only(check_lake, Level.FAILED)
    assert "could not be " in said
    assert "read-only" in said or "may not read or write" in said


def test_a_disk_that_is_nearly_full_is_a_warning(monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=999_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert only(check_lake, Level.WARNING).startswith("1.0 GB free")


@pytest.fixture
def bucket(s3_server, monkeypatch):
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLOOD_LAKE_URL", f"s3://{BUCKET}/doctor")


def test_a_bucket_that_can_be_used(bucket, s3_server):
    said = found(check_lake, Level.OK)
    assert f"AWS credentials found (method 'env'), endpoint {s3_server.endpoint_url}" in said
    assert any("refuses stale writes: " in line for line in said)
    listed = s3_server.client().list_objects_v2(Bucket=BUCKET, Prefix="doctor/")
    assert listed["KeyCount"] == 0


def test_a_missing_bucket_fails(bucket, monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", "s3://no-such-bucket/doctor")
    assert "there is no such bucket: create it, or correct FLOOD_LAKE_URL" in only(check_lake, Level.FAILED)


def test_missing_credentials_fail(monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", "s3://bucket/doctor")
    assert found(check_lake) == ["no AWS credentials found"]
    monkeypatch.setenv("AWS_PROFILE", "flood")
    assert "The config profile (flood) could not be found" in only(check_lake, Level.FAILED)


def test_a_missing_region_is_a_note(bucket, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert any("us-east-1 is assumed" in line for line in found(check_lake, Level.NOTE))


@pytest.mark.parametrize(
    ("careless", "said"),
    [
        ("create", "lets a second writer create an object that exists"),
        ("replace", "lets a writer replace a version that it has not read"),
        ("delete", "still exists after its deletion"),
    ],
)
def test_a_store_without_conditional_writes_or_deletion_fails(careless, said, monkeypatch):
    """Some servers that call themselves S3 ignore conditions, and some keep deleted objects."""
    lake = Lake.open(os.environ["FLOOD_LAKE_URL"])
    put, delete = lake.store.put, lake.store.delete

    def put_anyway(key, data, *, replaces):
        ignored = ("create" if replaces is None else "replace") == careless
        put(key, data, replaces=lake.store.head(key) if ignored else replaces)

    monkeypatch.setattr(lake.store, "put", put_anyway)
    monkeypatch.setattr(lake.store, "delete", lambda keys: None if careless == "delete" else delete(keys))
    monkeypatch.setattr(Lake, "open", lambda _: lake)
    assert said in only(check_lake, Level.FAILED)
    assert len(lake.store.list("_doctor")) == (careless == "delete")


# -- Dagster


@pytest.mark.parametrize("password", ["[hunter-22]", "22334455"])
def test_passwords_in_dagster_yaml_are_not_repeated(password, home):
    (home / "dagster.yaml").write_text(f"telemetry: {{enabled: {password}}}\n")
    with pytest.raises(dg.DagsterInvalidConfigError, match=password.strip("[]")):
        dg.DagsterInstance.get()
    said = only(check_dagster_home, Level.FAILED)
    assert "Value *** of type" in said
    assert password.strip("[]") not in said


def test_no_dagster_home_is_a_note():
    assert only(check_dagster_home, Level.NOTE).startswith("DAGSTER_HOME is not set")


@pytest.mark.parametrize("place", ["relative", "/no/such/home"])
def test_a_wrong_dagster_home_fails(place, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", place)
    said = f"DAGSTER_HOME is '{place}': expected the absolute path of an existing folder"
    assert only(check_dagster_home, Level.FAILED) == said


def test_a_home_without_settings_lacks_limits(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert "has no dagster.yaml" in only(check_dagster_home, Level.WARNING)


@pytest.mark.parametrize(
    "text", ["a: b: c", "nonsense: 3", "[1]", "concurrency: {pools: {default_limit: [1]}}", "storage: {postgres: 1}"]
)
def test_a_broken_dagster_yaml_fails(home, text):
    (home / "dagster.yaml").write_text(text)
    assert f"Dagster cannot use {home}" in only(check_dagster_home, Level.FAILED)


def test_a_storage_that_cannot_be_reached_fails(home):
    (home / "history").write_text("not a folder")
    assert f"Dagster cannot use {home}" in only(check_dagster_home, Level.FAILED)


def test_the_daemon_is_seen_by_its_heartbeats(home):
    with dg.DagsterInstance.get() as instance:
        for kind in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), kind, "1", []))
    said = found(check_dagster_home, Level.OK)
    assert said == [f"the Dagster home {home} works and has 0 runs", "the Dagster daemon is running"]
    with dg.DagsterInstance.get() as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 86_400, "SCHEDULER", "1", []))
    assert only(check_dagster_home, Level.WARNING).endswith("have no heartbeat: SCHEDULER")


def test_definitions_that_do_not_load_fail(monkeypatch):
    assert found(check_definitions, Level.FAILED) == []
    _break_definitions(monkeypatch, ModuleNotFoundError("No module named 'no_such_package'"))
    assert "No module named 'no_such_package'" in only(check_definitions, Level.FAILED)


# -- versions


def test_versions_that_do_not_fit_together_fail(monkeypatch):
    real = machine._version
    assert found(check_versions, Level.FAILED) == []
    monkeypatch.setattr(machine, "_version", lambda name: "1.13.26" if name == "dagster" else real(name))
    assert "dagster-aws needs dagster==1.13.27, installed is 1.13.26" in found(check_versions, Level.FAILED)
    monkeypatch.setattr(machine, "_version", lambda name: None if name == "obstore" else real(name))
    assert any("installed is none" in line for line in found(check_versions, Level.FAILED))


def _break_definitions(monkeypatch, error):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr(definitions, "build_defs", broken)


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# -- stored windows


def test_damaged_windows_of_any_table_are_found(monkeypatch):
    monkeypatch.setenv("FLOOD_API_URL", API)
    lake = claimed(API)
    filled(lake, "a")
    readable = "25 stored windows can be read: "
    assert any(said.startswith(readable) for said in found(check_lake, Level.OK))
    put_raw(lake, key_of(READINGS, at(9)), b"not parquet")
    put_raw(lake, key_of(STATIONS, at(8)), b"not parquet")
    assert found(check_lake, Level.FAILED) == [
        "1 window of stations cannot be read: 2026-11-21 08:00Z",
        "1 window of readings cannot be read: 2026-11-21 09:00Z",
    ]
    assert any(said.startswith("24 stored windows can be read: ") for said in found(check_lake, Level.OK))
