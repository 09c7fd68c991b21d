"""/metrics says how the lake and the server are, to those who may know, within bounds."""

import hashlib
import subprocess
from collections import Counter
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.ledger.account import take
from flood_assets.partitions import window_of
from flood_assets.publish.publisher import publish
from flood_assets.query import health
from flood_assets.query.status import look
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets.serve.app import create
from flood_assets.serve.keys import Keys
from flood_assets.serve.limits import Limits
from flood_assets.serve.metrics import REGIONS
from flood_assets.serve.watch import NoLakeError, Watcher
from flood_assets.sinks.opening import open_sink
from flood_assets_tests.support.lake_rows import HOUR, fetched, put_raw, snapshot
from flood_assets_tests.support.programs import program
from flood_assets_tests.support.receiving import receiving
from flood_assets_tests.support.served import Served, served
from flood_assets_tests.support.seven_gauges import MEASURE_IDS, NOW, fill


@pytest.fixture
def lake(tmp_path):
    found = Lake.open(tmp_path / "lake")
    fill(found)
    return found


def samples(server: Served) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the values of each metric by the values of its labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(server.client.get("/metrics").text):
        found.setdefault(family.name, {})
        for name, labels, value, *_ in family.samples:
            found.setdefault(name, {})[tuple(labels.values())] = value
    return {name.removeprefix("flood_assets_"): values for name, values in found.items()}


def test_it_says_how_fresh_the_gauges_are(lake):
    with served(lake, NOW) as server:
        found = samples(server)
    newest = NOW.replace(minute=0, second=0).timestamp()
    assert set(found["newest_reading_timestamp_seconds"].values()) == {newest}
    assert sum(found["gauges"].values()) == len(MEASURE_IDS)
    assert found["readings"] == {(): 7 * 96}
    assert found["lake_readable"] == {(): 1}


def test_completeness_is_what_the_status_says(country):
    lake = Lake.open(country.lake)
    take(lake, country.now).store(lake)
    status = look(lake, country.now)
    with served(lake, country.now) as server:
        found = samples(server)
    counts = status.completeness.counts
    for name in ("expected", "received", "late"):
        assert sum(found[f"readings_{name}"].values()) == counts[name]
    by_cause = Counter()
    for labels, value in found["readings_missing"].items():
        by_cause[next(each for each in labels if each in counts)] += value
    assert by_cause == {cause: counts[cause] for cause in ("silent", "not_due", "not_fetched")}
    assert found["last_success_timestamp_seconds"]["readings",] == status.as_of.timestamp()
    assert sum(found["warnings_in_force"].values()) == status.warnings.in_force
    assert sum(found["gauges"].values()) == len(server.watcher.snapshot.ids)


def test_what_is_broken_shows_at_the_next_look(lake):
    with served(lake, NOW) as server:
        assert set(samples(server)["windows_damaged"].values()) == {0}
        put_raw(lake, key_of(READINGS, window_of(NOW - 3 * HOUR)), b"PAR1 broken")
        lake.store.delete([key_of(READINGS, window_of(NOW - 5 * HOUR))])
        put_raw(lake, "_quarantine/readings/date=2026-10-05/hour=01/readings.parquet.x", b"")
        put_raw(lake, "landing/west/batch-1", b"")
        lake.record_failure("readings", NOW)
        server.watcher.look()
        found = samples(server)
    assert found["windows_damaged"]["readings",] == 1
    assert found["windows_missing"] == {(): 1}
    assert found["quarantined_objects"] == {(): 1}
    assert found["landing_batches"] == {(): 1}
    assert {step for (step,), value in found["step_failed"].items() if value} == {"readings"}


def test_the_lag_of_a_sink_is_the_age_of_what_it_lacks(lake):
    """The publisher, which reads what it sends, is the oracle."""
    with receiving() as receiver, served(lake, NOW) as server:
        sink = open_sink(receiver.url, lambda: NOW, pause_s=0)
        assert publish(lake, sink, NOW).waiting == 0
        server.watcher.look()
        assert list(samples(server)["sink_lag_seconds"].values()) == [0]
        for measure, minutes in (("K1-level", 15), ("T-level", 30)):
            later = NOW + timedelta(minutes=minutes)
            lake.upsert_readings(fetched((measure, NOW, float(minutes))), later, later)
        receiver.answer = lambda _events: 403
        server.now = NOW + HOUR
        failed = publish(lake, sink, server.now)
        server.watcher.look()
        assert list(samples(server)["sink_lag_seconds"].values()) == [failed.lag_s(server.now)] == [45 * 60]
        put_raw(lake, f"_published/{sink.name}/dead/date=2026-10-05/hour=08/1.json", b"{}")
        server.watcher.look()
        assert list(samples(server)["sink_dead_letters"].values()) == [1]
        sink.close()


def test_series_are_bounded_whatever_the_lists_hold(lake):
    stations = [{"station_id": f"s{n}", "catchment": f"Catchment {n // 2}"} for n in range(1000)]
    measures = [{"measure_id": f"m{n}", "station_id": f"s{n}", "parameter": f"p{n}"} for n in range(1000)]
    for table, rows in ((STATIONS, stations), (MEASURES, measures)):
        lake.put_snapshots(table, [window_of(NOW)], snapshot(table, NOW, *rows))
    with served(lake, NOW) as server:
        text, found = server.client.get("/metrics").text, samples(server)
    assert sum(found["gauges"].values()) == 1000 + len(MEASURE_IDS)
    assert len(found["gauges"]) <= (REGIONS + 1) * (len(health.PARAMETERS) + 1) * 4
    assert "K1" not in text
    assert "m17" not in text


def test_a_scrape_of_what_is_known_reads_nothing(lake, monkeypatch):
    with served(lake, NOW) as server:
        first = samples(server)
        monkeypatch.setattr(health, "health", lambda *_: pytest.fail("asked again"))
        monkeypatch.setattr(type(lake.store), "get", lambda *_a, **_k: pytest.fail("read again"))
        second = samples(server)
        assert second["gauges"] == first["gauges"]


def test_a_lake_that_is_away_leaves_its_last_state_and_says_so(lake, monkeypatch):
    def away(_store, _prefix):
        raise LakeError("away")

    with served(lake, NOW) as server:
        monkeypatch.setattr(type(lake.store), "list", away)
        server.now += HOUR
        server.watcher.look()
        found = samples(server)
    assert found["lake_readable"] == {(): 0}
    assert found["snapshot_confirmed_timestamp_seconds"] == {(): NOW.timestamp()}
    assert found["readings"] == {(): 7 * 96}


def test_without_a_lake_the_server_answers_all_the_same():
    def nothing():
        raise NoLakeError("none")

    app = create(Watcher(nothing, lambda: NOW), lambda: NOW)
    with TestClient(app) as client:
        text = client.get("/metrics").text
    assert "flood_assets_lake_readable 0.0" in text
    assert "flood_assets_snapshot_confirmed_timestamp_seconds 0.0" in text
    assert "flood_assets_gauges" not in text


def test_requests_are_counted_by_part_and_status(lake):
    with served(lake, NOW) as server:
        for path in ("/api/v1/latest", "/api/v1/latest", "/api/v1/nothing", "/ogc", "/healthz", "/flood-monitoring"):
            server.client.get(path)
        server.client.get("/api/v1/readings", params={"station": "K1"}, headers={"x": "y"})
        found = samples(server)
    counted = {key: value for key, value in found["http_requests_total"].items() if "api" in key}
    assert sorted(counted.values()) == [1, 3]
    assert {status for key in found["http_requests_total"] for status in key if status.endswith("xx")} == {"2xx", "4xx"}
    assert found["http_request_duration_seconds_count"]["api",] == 4
    assert not any(name.endswith("_created") for name in found)


@pytest.mark.parametrize(
    ("key", "rights", "status"),
    [(None, "", 401), ("fa_r", "read", 403), ("fa_m", "metrics", 200), ("fa_x", "", 401)],
)
def test_with_keys_only_who_has_the_right_may_ask(lake, tmp_path, key, rights, status):
    file = tmp_path / "keys"
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in (("read", "fa_r"), ("metrics", "fa_m"))}
    file.write_text("".join(f"{name} sha256:{digest} 50 {name}\n" for name, digest in hashes.items()))
    with served(lake, NOW, Limits(20, Keys(file, lambda: 0.0))) as server:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        answer = server.client.get("/metrics", headers=headers)
        assert answer.status_code == status
        assert ("flood_assets" in answer.text.replace("realm", "")) == (status == 200)
        assert server.client.get("/api/v1/latest").status_code == 200, "reading stays open"


def test_prometheus_finds_no_fault_with_names_and_help(lake):
    promtool = program("promtool")
    with served(lake, NOW) as server:
        text = server.client.get("/metrics").content
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
