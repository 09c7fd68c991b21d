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
from flood_assets.cli.main.doctor import dagster_setup, report, versions

from flood_assets.cli.doctor.api_answers import check_api
from flood_assets.cli.doctor.finding import Finding, Level, look
from flood_assets.cli.doctor.lake_access import check_lake
from flood_assets.cli.doctor.variables import check_settings
from flood_assets.cli.main import doctor
from flood_assets.lake.folder import Folder
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import IDENTITY
from flood_assets.simulator import Simulator, serve
from flood_assets_tests.support.lake_rows import put_raw
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
    """An API that answers each path as it is told: (status, body, headers), by what the path contains."""

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
            "/id/measures/": (404, "Not found", {}),
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
    """An API that answers as it should, with FLOOD_API_URL set to it; each answer can be spoilt."""
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
    for title in ("Settings", "API", "Lake", "Dagster", "Versions"):
        assert f"\n{title}\n" in out


def test_what_fails_in_one_part_does_not_stop_the_others(monkeypatch, capsys):
    monkeypatch.setenv("FLOOD_API_URL", f"http://127.0.0.1:{_free_port()}")
    monkeypatch.setenv("DAGSTER_HOME", "/nowhere/at/all")
    code, out, _ = examined(capsys)
    assert code == 1
    assert "cannot be reached" in out
    assert "the lake can be written" in out
    assert "DAGSTER_HOME is '/nowhere/at/all', which is not a folder" in out
    assert "the definitions load" in out
    assert ", 2 failed\n" in out


def test_a_check_that_is_itself_at_fault_is_a_finding(monkeypatch, capsys):
    def wrong(_):
        yield Finding(Level.OK, "first")
        raise KeyError("a fault of the program")

    monkeypatch.setattr(report, "CHECKS", {"Wrong": wrong, "Right": check_settings})
    code, out, _ = examined(capsys)
    assert code == 1
    assert "FAILED  this could not be looked at: KeyError: 'a fault of the program'" in out
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
    monkeypatch.setattr(dagster_setup, "_LOAD", f"raise RuntimeError('password={password}')")
    (home / "dagster.yaml").write_text(f"storage: {{sqlite: {{base_dir: [1], password: [{password}]}}}}\n")
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
    assert "***@127.0.0.1" in out


def test_a_terminal_shows_the_same_and_a_pipe_whole_lines(simulated, monkeypatch, capsys):
    monkeypatch.setenv("FLOOD_API_URL", simulated)
    monkeypatch.setattr(report, "CHECKS", {"API": check_api})
    _, piped, _ = examined(capsys)
    assert "  ok      `latest` gives " in piped
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    _, shown, _ = examined(capsys)
    assert "\x1b[" in shown
    assert "`latest` gives" in shown


# -- settings


def test_settings_say_where_they_come_from(monkeypatch):
    said = "\n".join(found(check_settings))
    assert "environment.data.gov.uk/flood-monitoring (default: the live API)" in said
    assert "/lake (from the environment)" in said


def test_a_pretended_time_is_noted(monkeypatch):
    monkeypatch.setenv("FLOOD_NOW", "2026-11-21T09:00:00Z")
    assert only(check_settings, Level.NOTE) == "FLOOD_NOW pretends that it is 2026-11-21 09:00:00Z"


@pytest.mark.parametrize(("name", "value"), [("FLOOD_NOW", "yesterday"), ("FLOOD_API_URL", "ftp://x")])
def test_a_setting_that_cannot_be_used_fails_and_is_told_once(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    assert f"{name} is '{value}'" in only(check_settings, Level.FAILED)
    assert found(check_api) == ["not asked: a setting above cannot be used"]


# -- the API


def test_a_sound_api_is_asked_a_handful_of_times_and_never_limited(api):
    assert found(check_api, Level.FAILED) == []
    assert len(api.asked) == 7
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
        assert "an unknown measure is answered with HTTP 404 'Not found'" in said
        assert found(check_api, Level.WARNING) == found(check_api, Level.FAILED) == []
    finally:
        process.kill()
        process.communicate()


def test_an_api_that_cannot_be_reached_is_not_asked_again(monkeypatch):
    monkeypatch.setenv("FLOOD_API_URL", f"http://127.0.0.1:{_free_port()}/flood-monitoring")
    (finding,) = look(check_api)
    assert finding.level is Level.FAILED
    assert "Connection refused" in finding.found
    assert "proxy (none is set)" in finding.remedy


@pytest.mark.parametrize(
    ("status", "text", "kind", "said"),
    [
        (200, "<html>Log in</html>", "text/html", "a page for people: HTTP 200 '<html>Log in</html>'"),
        (200, "<!DOCTYPE html>", "text/csv", "a page for people"),
        (404, "Not found", "text/plain", "refuses `latest`: HTTP 404 'Not found'"),
        (403, "Forbidden", "text/plain", "HTTP 403"),
        (503, "Query timed out", "text/plain", "HTTP 503 'Query timed out'"),
        (400, "what?", "text/plain", "HTTP 400"),
    ],
)
def test_an_api_that_refuses_is_asked_once(api, status, text, kind, said):
    api.answer("?latest", status, text, Content_Type=kind)
    assert said in only(check_api, Level.FAILED)
    assert len(found(check_api)) == 1
    assert set(api.asked) == {"/flood-monitoring/data/readings.csv?latest"}


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_wrong_clock_is_a_warning(api, minutes):
    api.answer("?latest", Date=format_datetime(datetime.now(UTC) - timedelta(minutes=minutes), usegmt=True))
    said = [line for line in found(check_api, Level.WARNING) if "clock" in line]
    assert len(said) == 1
    assert ("ahead of" if minutes > 0 else "behind") in said[0]


@pytest.mark.parametrize("date", ["", "soon"])
def test_a_clock_that_cannot_be_compared_is_a_note(api, date):
    api.answer("?latest", Date=date)
    assert any("could not be compared" in line for line in found(check_api, Level.NOTE))


def test_a_cached_answer_is_no_wrong_clock(api):
    date = format_datetime(datetime.now(UTC) - timedelta(minutes=10), usegmt=True)
    api.answer("?latest", Date=date, Age="600", Cache_Control="public, max-age=3600")
    warnings = found(check_api, Level.WARNING)
    assert not [line for line in warnings if "clock" in line]
    assert "answers may be 3,600 s old when they come" in warnings


def test_a_pretended_time_is_compared_with_the_readings(api, monkeypatch):
    monkeypatch.setenv("FLOOD_NOW", f"{datetime.now(UTC) - timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}")
    assert any(line.startswith("3 of 3 newest readings are dated after now") for line in found(check_api))
    assert "FLOOD_NOW is in force instead of it: the API must be a replay of that time" in found(check_api)
    monkeypatch.setenv("FLOOD_NOW", f"{datetime.now(UTC) + timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}")
    assert any(line.startswith("the newest reading is of") for line in found(check_api, Level.WARNING))


@pytest.mark.parametrize(
    ("part", "answer", "level", "said"),
    [
        ("?latest", {"ETag": '"x"'}, Level.NOTE, 'caching: ETag: "x"'),
        ("?latest", {}, Level.WARNING, "answers are not compressed although gzip was asked for"),
        ("?latest", {"text": "time,what\r\n1,2\r\n"}, Level.FAILED, "expected the header 'dateTime,measure,value'"),
        ("?latest", {"text": "dateTime,measure,value\r\n"}, Level.WARNING, "no gauge has reported in 28 days"),
        ("/data/readings?since", {"text": "{}"}, Level.WARNING, "is answered, which it was not"),
        ("/data/readings?since", {"status": 500}, Level.WARNING, "where 400 was expected"),
        ("/id/measures/", {"text": "{}"}, Level.WARNING, "where 404 was expected"),
        ("/id/measures/", {"text": "dateTime,measure,value\r\n"}, Level.WARNING, "are an empty answer"),
        ("/id/stations", {"text": "[]"}, Level.FAILED, "the list of stations cannot be used"),
        ("/id/stations", {"status": 503}, Level.FAILED, "the list of stations cannot be used: HTTP 503"),
        ("/id/stations", {"text": '{"meta": {}, "items": []}'}, Level.WARNING, "the list of stations is empty"),
        ("/id/measures", {"text": "<html>"}, Level.FAILED, "the list of measures cannot be used"),
        ("?date", {"status": 503}, Level.FAILED, "cannot be used: HTTP 503"),
        ("?date", {"text": "dateTime,measure,value\r\n2026-11-2"}, Level.FAILED, "cut short"),
    ],
)
def test_an_answer_against_the_assumptions_is_told(api, part, answer, level, said):
    answer = {"status": 200} | answer
    api.answer(part, **answer)
    assert any(said in line for line in found(check_api, level)), found(check_api)


def test_a_list_that_says_it_is_limited_is_a_warning(api):
    limited = json.loads(api.answers["/id/stations"][1]) | {"meta": {"limit": 500}}
    api.answer("/id/stations", text=json.dumps(limited))
    assert "has 1 and says that it is limited to 500" in "\n".join(found(check_api, Level.WARNING))


@pytest.mark.parametrize("rows", [500, 10_000])
def test_an_answer_of_just_a_limit_is_suspicious_and_the_day_is_not_asked(api, rows):
    row = api.csv.splitlines()[1]
    many = [row.replace("m0", f"m{i}") + "\r\n" for i in range(rows)]
    api.answer("?latest", text="dateTime,measure,value\r\n" + "".join(many))
    assert any("exactly one of the API's limits" in line for line in found(check_api, Level.WARNING))
    assert not [path for path in api.asked if "date=" in path]


def test_answers_that_a_refresh_would_not_accept_fail(api):
    api.answer("?latest", Content_Encoding="br")
    assert any("Content-Encoding 'br'" in line for line in found(check_api, Level.FAILED))


# -- the lake


def test_a_new_lake_is_made_and_not_claimed(tmp_path):
    said = found(check_lake, Level.NOTE)
    assert f"{tmp_path / 'lake'} is not there yet" in said[0]
    assert said[1] == "the lake belongs to no API yet"
    lake = Lake.open(os.environ["FLOOD_LAKE_URL"])
    assert lake.source() is None
    assert [meta.key for meta in lake.store.list("") if not meta.key.startswith(".locks")] == []
    assert not (tmp_path / "lake" / "_doctor").exists()


def test_a_lake_of_another_api_fails_and_stays_as_it_is(monkeypatch):
    lake = claimed("https://other.example")
    monkeypatch.setenv("FLOOD_API_URL", "https://this.example")
    finding = next(f for f in look(check_lake) if f.level is Level.FAILED)
    assert finding.found == "the lake is filled from https://other.example, and FLOOD_API_URL is https://this.example"
    assert "set FLOOD_API_URL=https://other.example" in finding.remedy
    assert lake.source() == "https://other.example"


def test_a_claim_that_cannot_be_read_fails():
    put_raw(Lake.open(os.environ["FLOOD_LAKE_URL"]), IDENTITY, b"{")
    assert "_lake.json cannot be understood" in only(check_lake, Level.FAILED)


@pytest.mark.parametrize("url", ["x3://bucket", "lake", "file://server/lake", "file:///dev/null/lake", "s4:"])
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
    assert "could not be locked" in said
    assert "(while trying to create)" in said


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
    assert "AWS credentials found by the method 'env'" in said
    assert f"region eu-west-2, endpoint {s3_server.endpoint_url}" in said
    assert any("refuses stale writes: create " in line for line in said)
    listed = s3_server.client().list_objects_v2(Bucket=BUCKET, Prefix="doctor/")
    assert listed["KeyCount"] == 0


def test_a_missing_bucket_fails(bucket, monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", "s3://no-such-bucket/doctor")
    assert "there is no such bucket: create it, or correct FLOOD_LAKE_URL" in only(check_lake, Level.FAILED)


def test_missing_credentials_fail(monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", "s3://bucket/doctor")
    assert found(check_lake) == ["no AWS credentials are found"]
    monkeypatch.setenv("AWS_PROFILE", "flood")
    assert "The config profile (flood) could not be found" in only(check_lake, Level.FAILED)


def test_a_missing_region_is_a_note(bucket, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert any("us-east-1 is assumed" in line for line in found(check_lake, Level.NOTE))


class Careless(Folder):
    """A store without conditional writes, as some servers are that call themselves S3."""

    ignores = ("create", "replace")

    def put(self, key, data, *, replaces):
        if ("create" if replaces is None else "replace") in self.ignores:
            super().put(key, data, replaces=self.head(key))
        else:
            super().put(key, data, replaces=replaces)


@pytest.mark.parametrize(
    ("ignored", "said"),
    [("create", "lets a second writer create what is there already"), ("replace", "replace a version that it has not")],
)
def test_a_store_that_ignores_conditions_fails(ignored, said, tmp_path, monkeypatch):
    monkeypatch.setattr(Careless, "ignores", (ignored,))
    real = Lake.open((tmp_path / "lake").as_uri()).store
    monkeypatch.setattr(Lake, "open", lambda url: Lake(Careless(url, tmp_path / "lake")))
    assert said in only(check_lake, Level.FAILED)
    assert real.list("_doctor") == []


# -- Dagster


def test_passwords_in_dagster_yaml_are_not_repeated(home):
    (home / "dagster.yaml").write_text("telemetry: {enabled: [{password: [hunter-22]}]}\n")
    with pytest.raises(dg.DagsterInvalidConfigError, match="hunter-22"):
        dg.DagsterInstance.from_config(str(home))
    said = only(dagster_setup._check_home, Level.FAILED)
    assert "***" in said
    assert "hunter-22" not in said


def test_no_dagster_home_is_a_note():
    assert only(dagster_setup._check_home, Level.NOTE).startswith("DAGSTER_HOME is not set")


@pytest.mark.parametrize(("place", "said"), [("relative", "not an absolute path"), ("/no/such/home", "not a folder")])
def test_a_wrong_dagster_home_fails(place, said, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", place)
    assert said in only(dagster_setup._check_home, Level.FAILED)


def test_a_home_without_settings_lacks_limits(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    said = found(dagster_setup._check_home, Level.WARNING)
    assert "has no dagster.yaml" in said[0]
    assert "the pool ea_api has no limit" in said[1]


@pytest.mark.parametrize(
    "text", ["a: b: c", "nonsense: 3", "[1]", "concurrency: {pools: {default_limit: [1]}}", "storage: {postgres: 1}"]
)
def test_a_broken_dagster_yaml_fails(home, text):
    (home / "dagster.yaml").write_text(text)
    assert "no Dagster instance can be made" in only(dagster_setup._check_home, Level.FAILED)


def test_a_storage_that_cannot_be_reached_fails(home):
    (home / "history").write_text("not a folder")
    said = only(dagster_setup._check_home, Level.FAILED)
    assert "cannot be used" in said or "no Dagster instance can be made" in said


def test_the_daemon_is_seen_by_its_heartbeats(home):
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for kind in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), kind, "1", []))
    said = found(dagster_setup._check_home, Level.OK)
    assert "the Dagster daemon is running" in said
    assert "the pool ea_api lets one run at the API at a time" in said
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 86_400, "SCHEDULER", "1", []))
    assert only(dagster_setup._check_home, Level.WARNING).endswith("have no heartbeat: SCHEDULER")


def test_definitions_that_do_not_load_fail(monkeypatch):
    monkeypatch.setattr(dagster_setup, "_LOAD", "import no_such_package")
    assert "No module named 'no_such_package'" in only(dagster_setup._check_definitions, Level.FAILED)


# -- versions


def test_versions_that_do_not_fit_together_fail(monkeypatch):
    real = versions._version
    assert found(versions.check_versions, Level.FAILED) == []
    monkeypatch.setattr(versions, "_version", lambda name: "1.13.26" if name == "dagster" else real(name))
    said = found(versions.check_versions, Level.FAILED)
    assert "dagster-aws needs dagster==1.13.27, and there is 1.13.26" in said
    monkeypatch.setattr(versions, "_version", lambda name: None if name == "obstore" else real(name))
    assert any("and there is none" in line for line in found(versions.check_versions, Level.FAILED))


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
