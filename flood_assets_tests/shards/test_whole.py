"""Questions about a whole network: the answers of its shards add up to those of one lake with the same readings."""

import pyarrow as pa
import pytest

from flood_assets.lake.lake import Lake
from flood_assets.ledger.account import COUNTS, take
from flood_assets.network import parse_network
from flood_assets.schemas import CONDITIONS, READINGS
from flood_assets.shards import whole
from flood_assets.shards.work import Job
from flood_assets_tests.conftest import NOW
from flood_assets_tests.support.split_lake import NAMES, split


@pytest.fixture(scope="module")
def shards(demo_lake, tmp_path_factory):
    """The demo's lake, and the job and shards of the same rows."""
    common = tmp_path_factory.mktemp("split") / "lake"
    split(Lake.open(demo_lake), common)
    described = "".join(f'[[shard]]\nname = "{name}"\nparameter = "{name}"\n' for name in NAMES)
    network = parse_network(f'name = "england"\n{described}', "http://127.0.0.1:1")
    return Lake.open(demo_lake), Job(common.as_uri(), NOW.isoformat()), network.shards


def total(rows: pa.Table, name: str) -> int:
    return sum(rows[name].to_pylist())


def test_counts_add_up(shards):
    lake, job, parts = shards
    found = whole.whole(whole.counts, job, parts)
    assert found.rows["shard"].to_pylist() == [*NAMES]
    rows = lake.read(READINGS, now=NOW)
    assert total(found.rows, "rows") >= len(rows) > 0
    assert max(found.rows["newest"].to_pylist()) == max(rows["date_time"].to_pylist())
    assert found.missing == {}


def test_completeness_adds_up(shards):
    lake, job, parts = shards
    found, one = whole.whole(whole.completeness, job, parts).rows, take(lake, NOW).totals()
    assert {name: total(found, name) for name in COUNTS} == {name: one[name] for name in COUNTS}
    assert one["expected"] > 0


def test_conditions_add_up(shards):
    lake, job, parts = shards
    found = whole.whole(whole.conditions, job, parts).rows
    one = lake.newest_snapshot(CONDITIONS, NOW)
    by = ["band", "trend", "freshness"]
    together = found.group_by(by).aggregate([("gauges", "sum")]).to_pylist()
    alone = one.group_by(by).aggregate([([], "count_all")]).to_pylist()
    assert {tuple(row[name] for name in by): row["gauges_sum"] for row in together} == {
        tuple(row[name] for name in by): row["count_all"] for row in alone
    }


def test_a_shard_that_cannot_be_read_is_told_and_never_silently_absent(shards, tmp_path):
    _, job, parts = shards
    (tmp_path / "shard=flow").touch()
    found = whole.whole(whole.counts, Job(tmp_path.as_uri(), job.now), parts)
    assert "flow" not in found.rows["shard"].to_pylist()
    assert "shard=flow cannot be made" in found.missing["flow"]
