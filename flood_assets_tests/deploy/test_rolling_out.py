"""What opens the lake before Dagster starts: it stops a version that must not write there, and no other one."""

import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from flood_assets.cli.main import main
from flood_assets.lake.layout import WATERMARKS_KEY, key_of
from flood_assets.schemas import READINGS
from flood_assets_tests.support.image import DOCKER, ROOT
from flood_assets_tests.support.lake_rows import put_raw

OPENS = ("expire", "--dry-run")


@pytest.fixture
def opened(filled, monkeypatch):
    """Open the lake as a new version does at its start; return the exit code and what was said."""
    monkeypatch.setenv("FLOOD_LAKE_URL", filled.lake_url)

    def run() -> tuple[int, str]:
        monkeypatch.setenv("FLOOD_NOW", filled.now.isoformat())
        result = CliRunner().invoke(main, OPENS)
        return result.exit_code, " ".join(result.output.split())

    return run


def objects(lake):
    return {meta.key: meta.e_tag for meta in lake.store.list("") if not meta.key.startswith(".locks")}


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        ({"layout": 1}, "set FLOOD_LAKE_URL to a new place"),
        ({"layout": 3}, "says layout 3; this version knows 2: upgrade flood_assets"),
        ({"layout": 2, "format": 2}, "a newer version is at work on this lake"),
    ],
    ids=["an older layout", "a newer layout", "a newer format"],
)
def test_a_version_that_must_not_write_does_not_start(filled, opened, identity, said):
    put_raw(filled.lake, "_lake.json", json.dumps({"api": filled.api_url, **identity}).encode())
    before = objects(filled.lake)
    code, told = opened()
    assert (code, objects(filled.lake)) == (1, before)
    assert said in told


def test_it_starts_where_there_is_work_to_do(filled, opened):
    """Whatever only a run of this version repairs must not keep it from starting."""
    before = objects(filled.lake)
    oldest = min(found.window for found in filled.lake.windows(READINGS))
    for key in (key_of(READINGS, oldest), WATERMARKS_KEY):
        put_raw(filled.lake, key, b"damaged")
    # The window that the cutoff crosses, and all of the day expired.
    for later in (timedelta(minutes=30), timedelta(hours=30)):
        filled.at(filled.now + later)
        assert opened()[0] == 0
    assert set(objects(filled.lake)) == set(before)


def test_it_starts_where_there_is_no_lake_yet(tmp_path, opened, monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", str(tmp_path / "new"))
    assert opened()[0] == 0


@pytest.mark.parametrize(
    "file",
    [
        "deploy/docker/flood",
        "deploy/systemd/flood-dagster-code.service",
        "deploy/terraform/modules/ec2/cloud-config.yaml.tftpl",
        "deploy/terraform/modules/ecs/dagster.tf",
    ],
)
def test_each_way_to_run_dagster_opens_the_lake_first(file):
    assert f" {' '.join(OPENS)}" in (ROOT / file).read_text().replace('", "', " ")


@pytest.mark.parametrize(
    "file",
    [
        "deploy/docker/flood",
        "deploy/systemd/flood-dagster-code.service",
        "deploy/terraform/modules/ec2/main.tf",
        "deploy/terraform/modules/ecs/dagster.tf",
    ],
)
def test_each_way_to_run_dagster_waits_for_a_run_of_any_length(file):
    """`code-server start` gives a run up half a minute after SIGTERM."""
    lines = (ROOT / file).read_text().replace('", "', " ").splitlines()
    said = [line.strip() for line in lines if not line.lstrip().startswith("#")]
    assert [line for line in said if "api grpc --host " in line]
    assert [line for line in said if "code-server" in line] == []


def test_the_code_server_of_the_image_does_not_start_on_such_a_lake(tmp_path):
    for name, does in {"flood-assets": "echo $*: refused >&2; exit 1", "dagster": "echo started"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    code = [Path(DOCKER) / "flood", "dagster", "code"]
    done = subprocess.run(code, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "expire --dry-run: refused\n")
