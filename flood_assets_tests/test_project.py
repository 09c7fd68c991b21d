"""The files around the package agree with each other, name no machine, and their links lead somewhere."""

import configparser
import re
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.workspace.load import location_origins_from_yaml_paths
from dagster._core.workspace.load_target import get_origins_from_toml

import flood_assets
from flood_assets import schemas
from flood_assets.cli.main import main
from flood_assets.lake.lake import Lake
from flood_assets.query.status import look
from flood_assets.query.status_json import content
from flood_assets_tests.support import tables_page

ROOT = Path(__file__).parents[1]


def files() -> list[Path]:
    """Return the files of the repository."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    skipped = {".venv", ".git", ".demo", "lake", "build", "dist"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)]


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_workspace_and_pyproject_name_the_same_code_location():
    """With no arguments Dagster takes pyproject.toml; a deployed daemon is given workspace.yaml."""
    (deployed,) = location_origins_from_yaml_paths([str(ROOT / "workspace.yaml")])
    (local,) = get_origins_from_toml(str(ROOT / "pyproject.toml"))
    assert deployed.location_name == local.location_name == "flood_assets"
    assert (
        deployed.loadable_target_origin.module_name
        == local.loadable_target_origin.module_name
        == "flood_assets.definitions"
    )


def test_the_dg_command_is_told_the_same_root(pyproject):
    assert pyproject["tool"]["dg"]["project"]["root_module"] == "flood_assets"


def test_dagster_accepts_its_settings(tmp_path):
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster_home" / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        pools = instance.get_concurrency_config().pool_config
        assert pools.default_pool_limit == 1
        assert pools.pool_granularity.value == "run"
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_start_timeout_seconds == 180
        assert instance.run_retries_enabled
        assert not instance.telemetry_enabled
        assert instance.get_settings("retention")["schedule"]["purge_after_days"] == 3


def test_ticks_are_pruned_and_runs_that_hang_are_ended():
    settings = yaml.safe_load((ROOT / "dagster_home" / "dagster.yaml").read_text())
    assert set(settings["retention"]) == {"schedule", "sensor"}
    assert settings["run_monitoring"]["max_runtime_seconds"] <= 3600
    assert settings["run_retries"]["retry_on_asset_or_op_failure"] is False


def test_metadata_lives_in_setup_cfg_and_tools_in_pyproject(pyproject, setup):
    assert "project" not in pyproject
    assert setup["metadata"]["name"] == "flood-assets"
    assert setup["options.entry_points"]["console_scripts"].strip() == "flood-assets = flood_assets.cli.main:main"
    assert "py.typed" in setup["options.package_data"]["flood_assets"].split()
    assert flood_assets.__version__


def test_extras_are_for_notebooks_sinks_containers_and_development(setup):
    extras = setup["options.extras_require"]
    assert set(extras) == {"notebook", "kafka", "postgresql", "apprise", "dask", "deploy", "dev"}
    assert {"ipykernel", "jupyterlab", "matplotlib"} <= set(re.findall(r"^[\w-]+", extras["notebook"], re.MULTILINE))
    for name in set(extras) - {"dev"}:
        assert f"flood-assets[{name}]" in extras["dev"], "which is what `make setup` installs"
    assert {"pytest", "ruff", "mypy", "moto[server]", "hypothesis"} <= set(
        re.findall(r"^[\w\[\]-]+", extras["dev"], re.MULTILINE)
    )


def test_dagster_and_dagster_aws_move_together(setup):
    needed = setup["options"]["install_requires"]
    core = re.search(r"^dagster>=1\.(\d+)\.(\d+),<1\.(\d+)$", needed, re.MULTILINE)
    aws = re.search(r"^dagster-aws>=0\.(\d+)\.(\d+),<0\.(\d+)$", needed, re.MULTILINE)
    assert int(aws[1]) - int(core[1]) == 16
    assert core[2] == aws[2]
    assert f"dagster-postgres>=0.{aws[1]}.{aws[2]},<0.{aws[3]}" in setup["options.extras_require"]["deploy"]


def test_everything_that_is_needed_is_pinned_with_a_hash(setup):
    lock = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=\S)", lock.strip())
    pinned = {}
    for block in blocks:
        if block.startswith("#"):
            continue
        name, version = re.match(r"([A-Za-z0-9._-]+(?:\[[^\]]+\])?)==(\S+)", block).groups()
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), name
        pinned[re.sub(r"\[.*", "", name).lower().replace("_", "-")] = version
    wanted = setup["options"]["install_requires"] + "".join(setup["options.extras_require"].values())
    names = {re.match(r"[\w.-]+", line)[0].lower() for line in wanted.splitlines() if re.match(r"\w", line)}
    assert names - {"flood-assets"} <= set(pinned)


def test_the_lock_names_no_place():
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|file:|@ |--index|--find-links|--extra-index|--trusted", lock)
    assert not re.search(r"(^|\s)/\w+/", lock)


# Put together here, so that this file does not hold what it looks for.
MACHINES = re.compile(
    "|".join(
        [
            "/" + "work/",
            "/tmp/" + "wt",
            "/" + r"home/\w",
            "/" + r"Users/\w",
            "/root" + "/",
            "py" + "pi\\.org",
            "py" + "thonhosted",
            "index" + "-url",
            r"\b(?!127\.0\.0\.)(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2,3}\b:",
        ]
    )
)


def test_no_file_names_a_machine_or_a_package_index():
    found = []
    for path in files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in MACHINES.finditer(text)]
    assert found == []


def test_nothing_large_is_in_the_repository():
    assert [f"{path.name}: {path.stat().st_size:,}" for path in files() if path.stat().st_size > 3_000_000] == []


def test_every_exception_to_warnings_as_errors_has_its_reason(pyproject):
    assert pyproject["tool"]["pytest"]["ini_options"]["filterwarnings"][0] == "error"
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for number, line in enumerate(lines):
        if line.strip().startswith('"ignore:'):
            assert lines[number - 1].strip().startswith("# "), line


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(page: Path) -> str:
    """Return a page without its code, in which nothing is a link or a heading."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_the_pages_leads_somewhere(page):
    lost = []
    for link in LINK.findall(text_of(page)):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            lost.append(link)
    assert lost == []


def test_every_page_is_reached_from_the_readme():
    assert {f"docs/{page.name}" for page in PAGES[1:]} <= set(LINK.findall(text_of(PAGES[0])))


def test_the_readme_is_short_and_shows_one_picture_and_two_commands():
    readme = PAGES[0].read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    assert readme.count("![") == 1
    assert re.search(r"^    make demo .*\n    make test ", readme, re.MULTILINE)


def test_the_page_of_the_tables_says_what_the_schemas_say():
    """Write it anew with `python -m flood_assets_tests.support.tables_page`."""
    page = tables_page.PAGE.read_text(encoding="utf-8")
    assert tables_page.written(page) == page
    assert all(f"## {name}\n" in page for name in schemas.TABLES)


def test_the_page_of_the_configuration_names_every_command_and_variable():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    settings = (ROOT / "flood_assets" / "settings.py").read_text(encoding="utf-8")
    variables = set(re.findall(r"\b(?:FLOOD|ARROW)_[A-Z_]+\b", settings))
    assert {"FLOOD_API_URL", "FLOOD_LAKE_URL", "FLOOD_NOW"} <= variables
    assert [name for name in sorted(variables) if f"| `{name}` |" not in page] == []
    assert [name for name in main.commands if f"`flood-assets {name}" not in page] == []


def test_the_page_of_the_development_names_every_target():
    page = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(targets) > 10
    assert [target for target in targets if target != "help" and f"`make {target}`" not in page] == []


def test_the_page_of_the_configuration_names_what_status_prints_as_json(tmp_path):
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    found = content(look(Lake.open(tmp_path), datetime(2026, 11, 21, 9, tzinfo=UTC)))
    assert [name for name in found if f"`{name}`" not in page] == []
    assert [name for table in found["tables"].values() for name in table if f"`{name}`" not in page] == []
