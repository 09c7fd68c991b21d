"""`flood-assets consume`, and what the other commands and doors say of a lake that follows a stream."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing

import pytest
from click.testing import CliRunner

from flood_assets.cli.main import main
from flood_assets.lake.lake import Lake
from flood_assets.ledger.account import take
from flood_assets.notebook import load_readings, load_stations
from flood_assets.publish.publisher import publish
from flood_assets.query.query import conditions
from flood_assets.sinks.opening import open_sink
from flood_assets_tests.support import examples
from flood_assets_tests.support.filled_lakes import filled
from flood_assets_tests.support.following import drain, rows_of
from flood_assets_tests.support.lake_rows import NOW, fetched

WHEN = NOW.isoformat()


@pytest.fixture
def url(aws, name, tmp_path):
    """A stream with a day of two gauges."""
    aws("kinesis").create_stream(StreamName=name, ShardCount=2)
    lake = Lake.open(tmp_path / "a")
    filled(lake, "a", "b")
    with closing(open_sink(f"kinesis://{name}", lambda: NOW)) as sink:
        publish(lake, sink, NOW)
    return f"kinesis://{name}"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", str(tmp_path / "b"))
    monkeypatch.setenv("FLOOD_NOW", WHEN)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words, code=0):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == code, result.output
        # Sentences are wrapped.
        return result.output if "--json" in words else " ".join(result.output.split())

    return run


def test_once_drains_the_stream_and_tells_what_came(run, url, tmp_path):
    said = run("consume", url, "--once")
    assert re.search(rf"{url}: 186 records read: 186 added, 0 revised, 0 unchanged, 0 expired; the newest", said)
    assert rows_of(Lake.open(tmp_path / "b"), NOW) == rows_of(Lake.open(tmp_path / "a"), NOW)
    assert "0 records read" in run("consume", url, "--once")


def test_foreign_records_are_counted(run, url, aws):
    aws("kinesis").put_record(StreamName=url.partition("//")[2], Data=b"foreign", PartitionKey="x")
    assert "1 record refused, see the table `rejects`" in run("consume", url, "--once")
    assert "rejects: 1 row or cell of the stream could not be parsed" in run("status")


def test_wrong_words_are_told_with_exit_code_2(run, aws):
    assert "'dynamodb://x' is no stream: expected kinesis://flood-readings, kafka://" in run(
        "consume", "dynamodb://x", code=2
    )
    assert "names no topic: expected kafka://localhost:9092/flood-readings" in run("consume", "kafka://h", code=2)
    assert "create it, or correct" in run("consume", "kinesis://nowhere", "--once", code=1)


def test_a_lake_of_the_api_refuses_the_stream_and_the_other_way_round(run, url, tmp_path):
    lake = Lake.open(tmp_path / "b")
    lake.claim("https://example.org/api")
    said = run("consume", url, "--once", code=2)
    assert f"holds readings of https://example.org/api and not of {url}: set FLOOD_LAKE_URL to another place" in said
    lake.store.delete(["_lake.json"])
    run("consume", url, "--once")
    for command in ("refresh", "reconcile"):
        said = run(command, code=2)
        assert f"follows the stream {url} and is not filled from the API: `flood-assets consume {url}` fills it" in said
    run("expire")


def test_status_and_doctor_say_what_fills_the_lake(run, url, monkeypatch):
    run("consume", url, "--once")
    said = run("status")
    assert f"stream: {url} newest change: 2026-11-21 09:07Z, 0 min ago" in said
    assert "fault" not in said
    assert json.loads(run("status", "--json"))["faults"] == []
    monkeypatch.setenv("FLOOD_API_URL", "http://127.0.0.1:9")
    said = CliRunner().invoke(main, ["doctor"]).output
    assert f"the lake follows the stream {url}" in " ".join(said.split())
    assert "but FLOOD_API_URL is" not in said
    monkeypatch.setenv("FLOOD_NOW", "2026-11-21T11:30:00Z")
    said = run("status", code=1)
    assert "fault: the newest change came through the stream at 2026-11-21 09:07Z, over an hour ago" in said
    assert f"`flood-assets consume {url}` running" in said


def test_readers_need_no_lists(run, url, tmp_path):
    """Without stations and measures there are readings, conditions and a ledger, and clear words for what is not."""
    run("consume", url, "--once")
    lake = Lake.open(tmp_path / "b")
    assert len(load_readings(lake=lake, now=NOW)) == len(rows_of(lake, NOW))
    with pytest.warns(UserWarning, match=f"has no stations yet: it follows {url}, which brings readings only"):
        assert load_stations(lake=lake, now=NOW).empty
    found = conditions(lake, NOW)
    assert found.rows["value"].to_pylist() == [1.0, 1.0]
    assert take(lake, NOW).totals()["not_fetched"] == 0
    assert 'measure_id,value "a",1 "b",1' in run("sql", "SELECT measure_id, value FROM latest")
    assert f"has no stations yet: it follows {url}, which brings readings only" in run("show", "a", code=1)


def test_a_signal_ends_it_after_the_batch(url, tmp_path):
    environ = {**os.environ, "FLOOD_LAKE_URL": str(tmp_path / "b"), "FLOOD_NOW": WHEN}
    command = [sys.executable, "-m", "flood_assets.cli.main", "consume", url]
    code = f"import sys; from flood_assets.cli.main import main; sys.argv = {command[2:]!r}; main()"
    with subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            lake = Lake.open(tmp_path / "b")
            # Receipts are written when a batch is ingested.
            while process.poll() is None and len(rows_of(lake, NOW)) < len(rows_of(Lake.open(tmp_path / "a"), NOW)):
                time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "added" in said
    assert drain(lake, url, NOW).added == 0


def test_the_example_of_the_page_fills_a_lake(run, aws, tmp_path):
    page = (examples.ROOT / "docs" / "consuming.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^    \.venv/bin/flood-assets (consume .*)$", page, re.MULTILINE)
    url = example.split()[1]
    client, lake = aws("kinesis"), Lake.open(tmp_path / "a")
    client.create_stream(StreamName=url.partition("//")[2], ShardCount=1)
    lake.upsert_readings(fetched(("a", NOW, 1.0)), NOW, NOW)
    with closing(open_sink(url, lambda: NOW)) as sink:
        publish(lake, sink, NOW)
    assert "1 record read: 1 added" in run(*example.split(), "--once")
    client.delete_stream(StreamName=url.partition("//")[2])
