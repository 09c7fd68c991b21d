"""The definitions as a whole: what Dagster is told, what it costs to load them, and that the real ways in work."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from flood_assets.definitions import build_defs
from flood_assets.definitions import defs as load
from flood_assets.defs import own_records
from flood_assets.schemas import READINGS, TABLES
from flood_assets_tests.conftest import NOW, Place

DEFS = load()
SNAPSHOT = Path(__file__).parent / "definitions.json"
GRAPH = DEFS.resolve_asset_graph()
OF_TABLES = [dg.AssetKey(name) for name in TABLES]
PARTITIONED = [dg.AssetKey(name) for name in ("stations", "measures", "readings")]


def described() -> dict:
    """All that a person would miss if it changed unnoticed, as plain JSON."""
    assets = {}
    for key in sorted(GRAPH.get_all_asset_keys()):
        node = GRAPH.get(key)
        partitions = node.partitions_def
        # None: stored by the step of another asset.
        op = node.assets_def.op if node.is_materializable else None
        assets[key.to_user_string()] = {
            "after": sorted(parent.to_user_string() for parent in node.parent_keys),
            "backfill": str(node.backfill_policy and node.backfill_policy.policy_type.value),
            "checks": sorted(check.name for check in node.check_keys),
            "code_version": node.code_version,
            "can_be_run": node.is_materializable,
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "owners": list(node.owners),
            "partitions": partitions and f"{type(partitions).__name__} {partitions.name}",
            "pool": op and op.pool,
            "retries": op
            and op.retry_policy
            and f"{op.retry_policy.max_retries} after about {op.retry_policy.delay} s",
        }
    return {
        "assets": assets,
        "jobs": {
            job.name: sorted(
                job.asset_layer.executable_asset_keys
                and [key.to_user_string() for key in job.asset_layer.executable_asset_keys]
            )
            for job in sorted(DEFS.resolve_all_job_defs(), key=lambda job: job.name)
            if not job.name.startswith("__")
        },
        "schedules": {
            s.name: {"cron": s.cron_schedule, "job": s.job_name, "status": s.default_status.value}
            for s in DEFS.schedules
        },
        "sensors": {
            s.name: {"seconds": s.minimum_interval_seconds, "job": s.job_name, "status": s.default_status.value}
            for s in DEFS.sensors
        },
        "resources": sorted(DEFS.resources),
    }


def test_the_definitions_are_those_that_were_reviewed():
    """When a change is meant: python -m flood_assets_tests.defs.test_definitions writes the file anew; review its
    diff."""
    assert described() == json.loads(SNAPSHOT.read_text())


def test_the_definitions_are_valid():
    dg.Definitions.validate_loadable(DEFS)


@pytest.mark.parametrize("key", OF_TABLES, ids=lambda key: key.to_user_string())
def test_each_table_shows_its_columns_with_meaning_and_unit_before_anything_ran(key):
    schema = GRAPH.get(key).metadata["dagster/column_schema"]
    table = TABLES[key.to_user_string()]
    assert [column.name for column in schema.columns] == table.schema.names
    for column, defined in zip(schema.columns, table.columns, strict=True):
        assert column.type == str(defined.type)
        assert defined.meaning in column.description
        assert column.description.startswith(f"[{defined.unit}] ") == bool(defined.unit)
        assert column.constraints.nullable == defined.nullable
    assert schema.constraints.other == [f"unique within a window: {', '.join(table.key)}"]
    assert "Environment Agency" in GRAPH.get(key).metadata["licence"]


def test_levels_have_units():
    units = {column.name: column.unit for table in TABLES.values() for column in table.columns}
    assert units["lat"] == "degrees north"
    assert units["typical_high"].startswith("m")
    assert units["period_s"] == "s"
    assert units["value"] == "the measure's unit"


@pytest.mark.parametrize("key", sorted(GRAPH.get_all_asset_keys()), ids=lambda key: key.to_user_string())
def test_each_asset_says_what_it_is(key):
    assert len(GRAPH.get(key).description) > 60


def test_jobs_schedules_and_sensors_say_what_they_are_for():
    for named in (*DEFS.resolve_all_job_defs(), *DEFS.schedules, *DEFS.sensors):
        if not named.name.startswith("__"):
            assert named.description, named.name


def test_a_range_of_windows_is_one_run():
    for key in PARTITIONED:
        assert GRAPH.get(key).backfill_policy == dg.BackfillPolicy.single_run()


def test_housekeeping_knows_all_that_is_ours():
    assert {*GRAPH.get_all_asset_keys(), own_records.SHARDS} == own_records.ASSETS
    assert set(described()["jobs"]) == {*own_records._JOBS}


def test_definitions_over_other_resources_are_of_their_own(place):
    assert place.defs.resources["lake"].lake_url == place.lake_url
    assert build_defs().resources["lake"].url == ""


# -- what loading costs


def python(code: str, *options: str, **environ: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=Path(__file__).parents[2],
        env=environ or None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_loading_the_definitions_loads_nothing_that_only_some_runs_need():
    tables = ["pandas", "polars", "duckdb", "scipy", "matplotlib", "rich", "IPython"]
    stores = ["boto3", "botocore", "obstore", "dagster_aws", "fsspec", "s3fs"]
    # Dagster's own storage, web server and parser of selections, and what they bring.
    of_dagster = ["sqlalchemy", "alembic", "antlr4", "requests", "dagster_graphql", "dagster_webserver", "uvicorn"]
    parts = ["dagster._core.execution.backfill", "dagster._core.remote_representation", "dagster._grpc"]
    ours = [f"flood_assets.{name}" for name in ("publish", "alerts", "query", "landing.ingest")]
    heavy = [*tables, *stores, *of_dagster, *parts, *ours]
    loaded = f"print(*[name for name in {heavy} if name in sys.modules])"
    found = python(f"import sys\nfrom flood_assets.definitions import defs\ndefs()\n{loaded}")
    assert (found.returncode, found.stdout.strip(), found.stderr) == (0, "", "")


def test_importing_the_package_loads_nothing_at_all():
    found = python("import sys, flood_assets; print(sorted(m for m in sys.modules if m.startswith('dagster')))")
    assert found.stdout.strip() == "[]"


def test_filling_a_lake_by_hand_takes_no_dagster():
    found = python("import sys, flood_assets.ingest; print('dagster' in sys.modules, 'pandas' in sys.modules)")
    assert (found.stdout.strip(), found.stderr) == ("False False", "")


def test_loading_the_definitions_asks_nobody_and_warns_of_nothing():
    code = (
        "import socket, warnings\n"
        "def refuse(*a, **k): raise AssertionError('a connection while definitions load')\n"
        "socket.socket.connect = refuse\n"
        "import dagster as dg\n"
        "for kind in (dg.BetaWarning, dg.PreviewWarning, dg.SupersessionWarning, DeprecationWarning, UserWarning):\n"
        "    warnings.simplefilter('error', kind)\n"
        # Dagster's own; also named in pyproject.toml.
        "warnings.filterwarnings('ignore', '.*__fields__.*')\n"
        "from flood_assets.definitions import defs\n"
        "dg.Definitions.validate_loadable(defs())\n"
        "defs().get_repository_def()\n"
    )
    found = python(code, FLOOD_API_URL="not a url", FLOOD_LAKE_URL="x3://nowhere", FLOOD_NOW="whenever")
    assert (found.returncode, found.stderr) == (0, "")


# -- the real ways in


@pytest.fixture
def shell(place: Place, tmp_path: Path):
    """Dagster's own command line, in a process of its own with an instance on disk."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((Path(__file__).parents[2] / "dagster_home" / "dagster.yaml").read_text())

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "dagster", *words],
            cwd=Path(__file__).parents[2],
            env=place.environ | {"DAGSTER_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


@pytest.mark.slow
def test_dagsters_command_line_fills_a_range_in_one_run_and_a_single_window(place, shell):
    key = "2026-10-15-05:00"
    done = shell("asset", "materialize", "--select", "readings", "--partition", key, "-m", "flood_assets.definitions")
    assert done.returncode == 0, done.stderr
    assert [found.window for found in place.lake.windows(READINGS)] == [NOW.replace(hour=5, minute=0, second=0)]
    span = "2026-10-15-06:00...2026-10-15-08:00"
    done = shell(
        "asset", "materialize", "--select", "readings", "--partition-range", span, "-m", "flood_assets.definitions"
    )
    assert done.returncode == 0, done.stderr
    assert len(place.lake.windows(READINGS)) == 4
    assert place.requests() == 2


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(described(), indent=2) + "\n")
