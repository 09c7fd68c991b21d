"""Test that the benchmarks report contestants truthfully. Nothing here depends on how quick anything is."""

import json
import re
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import __main__ as benchmarks
from benchmarks import costs, harness, shown, targets, truth
from benchmarks.harness import Contestant, Figure, Run
from benchmarks.measurements import Day
from flood_assets_tests.support.filled_once import filled_once

ROOT = Path(__file__).parents[1]
NOW = datetime(2026, 10, 15, 9, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECONDS = st.floats(0.001, 1000)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the results of a quick session of the contestants that need no other packages."""
    asked = ["--quick", "--only", "fills,rivals,ticks,judging,serving,publishing,imports", "--into"]
    return filled_once(tmp_path_factory, "benchmarks", lambda into: benchmarks.main([*asked, str(into)]))


def row_of(page: str, contestant: str) -> dict[str, str]:
    """Return a contestant's row in the page's first table of contestants."""
    lines = [line for line in page.splitlines() if line.startswith(("| contestant |", f"| {contestant} |"))]
    heads, cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[:2])
    return dict(zip(heads, cells, strict=True))


def run(name: str, number: int = 0, error: str = "") -> Run:
    return Run(name, gzip=True, round=number, wall=1, cpu=1, peak_mb=1, requests=0, bytes=0, told={}, error=error)


@pytest.mark.parametrize(
    "contestant", ["floor, strings", "floor, dictionary", "flood_assets cold", "flood_assets reconcile"]
)
def test_who_has_everything_is_shown_with_all_of_it(written, contestant):
    row = row_of((written / "RESULTS.md").read_text(), contestant)
    heads = ("recall", "wrong", "duplicates", "outside 24 h", "requests")
    assert [row[head] for head in heads] == ["100 %", "0", "0", "0", "2"]


def test_the_whole_command_asks_for_gauges_and_warnings_too(written):
    row = row_of((written / "RESULTS.md").read_text(), "flood-assets refresh")
    assert (row["recall"], row["requests"]) == ("100 %", "6")


def test_who_lost_rows_is_shown_with_what_is_left(written):
    row = row_of((written / "RESULTS.md").read_text(), "latest every 15 min")
    assert 40 < float(row["recall"].removesuffix(" %")) < 95
    assert row["requests"] == "97"


def test_who_keeps_nothing_has_no_recall_and_all_the_bytes(written):
    page = (written / "RESULTS.md").read_text()
    assert row_of(page, "discard")["recall"] == ""
    assert row_of(page, "discard")["MB"] == row_of(page, "flood_assets cold")["MB"]


def test_a_reconcile_of_an_unchanged_day_writes_nothing(written):
    page = (written / "RESULTS.md").read_text()
    assert re.search(r"\| Reconcile of an unchanged day: writes nothing.*\| 0 windows written;", page)


def test_a_calm_tick_is_one_request_and_stores_the_new_readings(written):
    ticks = json.loads((written / "results" / "day.json").read_text())["ticks"]
    (calm,) = [tick for tick in ticks if tick["calm"]]
    usual = [tick for tick in ticks if not tick["calm"]]
    assert (calm["requests"], calm["jumped"]) == (1, 0)
    assert calm["moved"] == calm["added"] == calm["rows"] > 0
    assert len(usual) == 4
    assert any(tick["jumped"] for tick in usual)


def test_both_ways_to_judge_a_day_are_timed_as_often(written):
    told = json.loads((written / "results" / "day.json").read_text())["judging"]
    assert len(told["seconds"]["flags"]) == len(told["seconds"]["conditions"]) == 15
    assert 0 < told["measures"] < told["readings"]
    assert "Flags and conditions of all gauges, CPU time" in (written / "RESULTS.md").read_text()


def test_the_server_and_duckdb_give_the_same_rows_and_are_timed_as_often(written):
    told = json.loads((written / "results" / "day.json").read_text())["serving"]
    for name in ("gauge", "latest", "box"):
        assert len(told[name]["ours"]) == len(told[name]["duckdb"]) == 5
    assert told["memory"] > 50e6
    assert "A changed window is served" in (written / "RESULTS.md").read_text()


def test_publishing_and_the_clients_alone_are_timed_as_often(written):
    told = json.loads((written / "results" / "day.json").read_text())["publishing"]
    for sink, sides in (("kafka", 2), ("kinesis", 2), ("dynamodb", 3)):
        timed = [side for side in told[sink].values() if isinstance(side, dict)]
        assert [len(side["seconds"]) for side in timed] == [1] * sides
        assert told[sink]["events"] > 0
    assert "by Kafka's mock cluster: at least 20,000 events" in (written / "RESULTS.md").read_text()


@pytest.mark.parametrize(("seconds", "kept"), [(1.1, [True, True, None]), (1.2, [False, False, None])])
def test_publishing_is_held_against_the_client_alone(seconds, kept):
    def side(taken):
        return {"seconds": [taken] * 3, "cpu": [0.1] * 3, "broker": [0.2] * 3}

    one = {"events": 10, "ours": side(seconds), "alone": side(1.0), "plain": side(0.5)}
    day = Day({"prepared": {"readings": 1}, "publishing": {"kinesis": one, "dynamodb": one}, "runs": []})
    assert [verdict.kept for verdict in targets._publishing(day)] == kept


@pytest.mark.parametrize(
    ("ours", "theirs", "kept"), [(0.3, 3.0, True), (0.3, 2.0, False), (0.7, 9.0, False)], ids=["kept", "ratio", "ms"]
)
def test_a_request_is_held_against_its_time_and_duckdb(ours, theirs, kept):
    requests = {name: {"ours": [ours] * 5, "duckdb": [theirs] * 5} for name in ("gauge", "latest", "box")}
    serving = {**requests, "rebuild": {"seconds": 21, "cpu": 0.2}, "memory": 399e6}
    serving["stream"] = {"clients": 1000, "got": 1000, "cpu": 0.35}
    day = Day({"prepared": {"readings": 1}, "serving": serving, "runs": []})
    gauge, *_, rebuild, memory, stream = targets._serving(day)
    assert [gauge.kept, rebuild.kept, memory.kept, stream.kept] == [kept, False, True, True]
    serving["stream"]["got"] = 999
    assert not [*targets._serving(day)][-1].kept


def test_the_files_name_no_place(written):
    for file in written.rglob("*.*"):
        text = file.read_text()
        assert str(ROOT) not in text
        assert "/tmp/" not in text
        assert "127.0.0.1" not in text


def test_the_page_keeps_the_part_of_the_other_command(written, tmp_path):
    """Render from two files: `make bench` and `make bench-large` write one each."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "day.json").write_text((written / "results" / "day.json").read_text())
    size = {
        "wall": [2.0],
        "own": [1.0],
        "peak_mb": [300.0],
        "gauges_mb": [200.0],
        "stored_bytes": 500,
        "download": [1.0],
    }
    large = {
        "sizes": {
            "1": {**size, "stations": 10, "readings": 100},
            "10": {**size, "stations": 100, "readings": 1000, "own": [12.0]},
        },
        "failed": {"100": "killed"},
        "conditions": {"date": "2026-10-15", "cores": 2, "memory_gib": 24},
    }
    (tmp_path / "results" / "large.json").write_text(json.dumps(large))
    benchmarks.main(["--render", "--into", str(tmp_path)])
    page = (tmp_path / "RESULTS.md").read_text()
    assert "flood_assets cold" in page
    assert re.search(r"\| 10 times the network: .* \| 1.20 x; 1,000 readings \| pass \|", page)
    assert re.search(r"\| 100 times the network \| failed: killed \| missed", page)


def test_a_figure_is_the_median_and_its_spread():
    assert Figure.of([3, 1, 2]) == (2, 1, 3, 3)
    assert Figure.of([4, 1, 3, 2]) == (2.5, 1, 4, 4)


def test_a_ratio_is_one_of_medians_and_its_range_is_that_of_the_rounds():
    assert harness.ratio([2, 4, 9], [1, 4, 3]) == (4 / 3, 1, 3, 3)


def test_a_ratio_counts_only_the_rounds_that_both_sides_ran():
    refresh, cold = [3.38, 3.50, 3.56], [1.0, 1.0, 1.0, 1.2, 1.2]
    assert harness.ratio(refresh, cold) == (3.50, 3.38, 3.56, 3)
    assert shown.compared(refresh, cold) == "3.50 x (3.38 to 3.56): 3.50 s and 1.00 s"


@given(st.lists(SECONDS, min_size=1, max_size=9), st.lists(SECONDS, min_size=1, max_size=9))
def test_a_ratio_lies_within_its_range(ours, theirs):
    figure = harness.ratio(ours, theirs)
    assert figure.low * (1 - 1e-9) <= figure.median <= figure.high * (1 + 1e-9)


@pytest.mark.parametrize("module", ["flood_assets.definitions", "flood_assets.notebook"])
def test_an_import_is_shown_with_the_unwanted_modules_that_it_loads(written, module):
    loads = json.loads((written / "results" / "day.json").read_text())["imports"]["loads"][module]
    page = (written / "RESULTS.md").read_text()
    said = re.search(rf"\| `import {module}`.*: at most 1.5 x .*; loads ([^|]+) \| (pass|missed)", page)
    assert said
    assert said[1] == (" and ".join(loads) or "none of them")
    assert not (loads and said[2] == "pass")


def test_contestants_take_turns_and_who_failed_is_not_tried_again():
    asked, told = [], []

    def one(contestant: Contestant, number: int) -> Run:
        asked.append((contestant.name, number))
        return run(contestant.name, number, "broke" if contestant.name == "b" else "")

    contestants = [Contestant("a", "a"), Contestant("b", "b"), Contestant("c", "c", rounds=1)]
    runs = harness.in_turn(contestants, 3, one, told.append)
    assert asked == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("a", 2)]
    assert [each.ok for each in runs] == [True, False, True, True, True]
    assert "round 1: b failed: broke" in told


def test_memory_is_that_of_the_process_and_not_of_whoever_started_it():
    ours = bytearray(400_000_000)
    ours[::4096] = b"x" * len(ours[::4096])
    small = harness.launched([sys.executable, "-S", "-c", "print('{}')"])
    large = harness.launched([sys.executable, "-S", "-c", "x = bytearray(200_000_000); print('{}')"])
    assert small.peak_mb < 100
    assert 150 < large.peak_mb < 350


def test_what_a_process_said_last_is_why_it_failed():
    broken = harness.launched([sys.executable, "-c", "raise SystemExit('no such day')"])
    assert not broken.ok
    assert broken.error == "no such day"


def test_what_failed_is_told_without_naming_a_place():
    for said in (
        f"no file '{ROOT}/a/b.py'",
        "no answer from http://127.0.0.1:1/some/where",
        f"no {tempfile.gettempdir()}/x/y",
    ):
        told = harness.why(f"{said}\n\n")
        assert told.startswith("no ")
        assert not re.search(r"://|127|/", told)


@pytest.mark.parametrize(
    ("judged", "step", "kept"),
    [([0.3, 0.4], 0.8, [True, True]), ([0.62, 0.64], 0.8, [False, True]), ([0.3, 0.4], 1.6, [True, False])],
    ids=["both kept", "too slow to judge", "too slow a step"],
)
def test_conditions_are_held_against_the_flags_alone_and_the_tick_without_them(judged, step, kept):
    tick = {"total": 5.0, "counted": False, "runs": [{"each": {"conditions": step}, "download": 0.5, "events": 1}]}
    seconds = {"flags": [0.4, 0.5], "conditions": judged}
    judging = {"readings": 460_000, "measures": 7_000, "seconds": seconds}
    day = Day({"prepared": {"readings": 1}, "judging": judging, "dagster": {"ticks": [tick]}, "runs": []})
    assert [each.kept for each in (*targets._judging(day), *targets._conditions(day))] == kept


def test_a_process_that_does_not_end_is_ended():
    slow = harness.launched([sys.executable, "-S", "-c", "import time; time.sleep(60)"], limit=1)
    assert slow.error == "timed out after 1 s"


def test_lost_wrong_doubled_and_old_rows_are_counted_apart(tmp_path):
    shown = "dateTime,measure,value\n" + "".join(
        f"{NOW - age * HOUR:%Y-%m-%dT%H:%M:%SZ},{measure},{value}\n"
        for age, measure, value in [
            (1, "a", "1.000"),
            (2, "a", "2.000"),
            (3, "a", ""),
            (4, "a", "5.0|6.0"),
            (1, "b", "7.0|7.0"),
        ]
    )
    (tmp_path / "truth.csv").write_text(shown)
    given = [
        ("a", 1, 1.0),
        ("a", 1, 1.0),  # twice
        ("a", 3, None),
        ("a", 4, 5.0),  # several values count as none
        ("b", 1, 7.0),  # unless all are equal
        ("b", 25, 1.0),  # older than the day
    ]
    ids, ages, values = zip(*given, strict=True)
    times = pa.array([NOW - age * HOUR for age in ages], pa.timestamp("ms", "UTC"))
    rows = pa.table([ids, times, pa.array(values, pa.float64())], ["measure_id", "date_time", "value"])
    pq.write_table(rows, tmp_path / "rows.parquet")
    found = truth.compare(tmp_path / "rows.parquet", truth.read_truth(tmp_path / "truth.csv"), NOW)
    assert found == truth.Correctness(shown=5, had=4, wrong=1, twice=1, older=1)
    assert found.recall == 0.8


def test_a_recall_says_all_only_where_nothing_is_lost():
    assert shown.recall({"had": 5, "shown": 5, "recall": 1.0}) == "100 %"
    assert shown.recall({"had": 999_999, "shown": 1_000_000, "recall": 0.999999}) == "99.99 %"


def test_costs_are_those_of_a_day_of_ticks_and_reconciles():
    one = costs.Measured(
        tick_requests=2, tick_bytes=10e6, day_requests=2, day_bytes=100e6, gauges_requests=2, gauges_bytes=0,
        packed=0.1, gets=100, lists=5, puts=5, put_bytes=1000, stored_bytes=1e9,
    )  # fmt: skip
    total = costs.of(one)
    assert total.api_requests == 96 * 2 + 24 * 2 + 4 * 2
    assert total.api_bytes == pytest.approx(0.1 * (96 * 10e6 + 4 * 100e6))
    runs = 2 * 96 + 4
    a_day = runs * (100 * costs.GET_USD + 10 * costs.PUT_OR_LIST_USD)
    assert total.cents == pytest.approx(100 * (30.4 * a_day + costs.GB_MONTH_USD))


@pytest.mark.parametrize(
    "lock", sorted((ROOT / "benchmarks" / "requirements").glob("*.lock")), ids=lambda path: path.stem
)
def test_each_environment_is_pinned_with_hashes_and_names_no_place(lock):
    text = lock.read_text()
    assert not re.search(r"https?://|file:|@ |--index|--find-links|--extra-index|--trusted|(^|\s)/\w+/", text)
    blocks = [block for block in re.split(r"\n(?=\S)", text.strip()) if not block.startswith("#")]
    assert blocks
    assert all(re.match(r"[\w.-]+(\[[^\]]+\])?==", block) and "--hash=sha256:" in block for block in blocks)


def test_the_page_of_the_performance_quotes_what_was_measured():
    page, results = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("docs/performance.md", "benchmarks/RESULTS.md")
    )
    _, begun, rest = page.partition("<!-- Lines of benchmarks/RESULTS.md; a test compares them. -->\n")
    quoted, ended, _ = rest.partition("<!-- end -->")
    lines = quoted.splitlines()
    assert begun
    assert ended
    assert len(lines) > 6
    assert set(lines) <= set(results.splitlines())
