"""The files that make the image for containers: its lock, Dagster's settings, the Dockerfile and the entry."""

import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.workspace.load import location_origins_from_yaml_paths

from flood_assets_tests.support.daemon import SETTINGS, set_environment
from flood_assets_tests.support.image import DOCKER, ROOT, dagster_settings, dagster_yaml
from flood_assets_tests.support.programs import locked
from flood_assets_tests.support.s3 import s3_server  # noqa: F401 - a fixture

DOCKERFILE = (DOCKER / "Dockerfile").read_text()
# What tests, checks and draws: none of it is wanted where the product runs.
NOT_IN_THE_IMAGE = {"pytest", "ruff", "mypy", "moto", "hypothesis", "jupyterlab", "matplotlib", "playwright", "pyogrio"}


def pinned(lock: Path) -> dict[str, set[str]]:
    """Return the versions of each package, with the marker that chooses between them."""
    found: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=[\w])", lock.read_text().strip()):
        name, version = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]+\])?==([^\s\\]+)", block).groups()
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), name
        found.setdefault(name.lower(), set()).add(version)
    return found


def test_the_image_has_versions_that_were_tested_and_no_tool_of_development():
    image, tested = pinned(DOCKER / "requirements.lock"), pinned(ROOT / "requirements.lock")
    assert {name: versions for name, versions in image.items() if not versions <= tested.get(name, set())} == {}
    assert not NOT_IN_THE_IMAGE & set(image)
    wanted = {
        "dagster",
        "dagster-aws",
        "dagster-postgres",
        "dagster-webserver",
        "awslambdaric",
        "confluent-kafka",
        "mangum",
    }
    assert wanted | {"dask", "distributed", "psycopg", "apprise", "setuptools"} <= set(image)


def test_the_lock_of_the_image_names_no_place():
    lock = (DOCKER / "requirements.lock").read_text()
    assert not re.search(r"https?://|file:|@ |--index|--find-links|--extra-index|--trusted|(^|\s)/\w+/", lock)


def test_sqlalchemy_takes_a_url_of_dagster_postgres_for_psycopg2():
    (version,) = pinned(DOCKER / "requirements.lock")["sqlalchemy"]
    assert version.startswith("2.0.")


def test_dagsters_settings_are_those_of_make_ui_but_for_its_places():
    settings = yaml.safe_load(dagster_yaml())
    places = {"storage", "local_artifact_storage", "run_launcher", "compute_logs"}
    assert settings == SETTINGS | {name: settings[name] for name in places}
    assert not places & set(SETTINGS)
    in_a_bucket = yaml.safe_load(dagster_yaml("s3"))
    assert {name for name in settings if settings[name] != in_a_bucket[name]} == {"compute_logs"}


def test_dagster_accepts_the_settings_of_the_image(tmp_path):
    settings = dagster_settings(tmp_path, "s3")
    with (
        set_environment(DAGSTER_LOGS_BUCKET="flood-logs"),
        dg.instance_for_test(
            # Its Postgres is tried in test_postgres_as_store.
            {name: value for name, value in settings.items() if name != "storage"},
            temp_dir=str(tmp_path),
        ) as instance,
    ):
        assert type(instance.compute_log_manager).__name__ == "S3ComputeLogManager"
        assert type(instance.run_launcher).__name__ == "DefaultRunLauncher"
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled


def test_daemon_and_webserver_find_the_code_server():
    with set_environment(DAGSTER_CODE_HOST="code"):
        (location,) = location_origins_from_yaml_paths([str(DOCKER / "dagster" / "workspace.yaml")])
    assert (location.host, location.port, location.location_name) == ("code", 4000, "flood_assets")


def test_the_image_runs_as_a_user_of_its_own_from_wheels_with_hashes():
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert "--require-hashes --only-binary :all:" in DOCKERFILE
    # The exec form: a shell would keep signals to itself.
    assert re.search(r'^ENTRYPOINT \["flood"\]$', DOCKERFILE, re.MULTILINE)
    assert re.search(r'^HEALTHCHECK .* CMD \["flood", "healthy"\]$', DOCKERFILE, re.MULTILINE)
    assert len(re.findall(r"^FROM \$\{BASE\}", DOCKERFILE, re.MULTILINE)) == 2
    assert "apt" not in re.sub(r"^#.*$", "", DOCKERFILE, flags=re.MULTILINE)


def test_the_dockerfile_has_no_lint():
    words = [locked("hadolint"), DOCKER / "Dockerfile"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def entry(words: list[str], tmp_path: Path) -> str:
    """Return what the entry starts: each program is a script that tells its name and words."""
    for program in ("flood-assets", "dagster", "dagster-daemon", "dagster-webserver", "dask", "python"):
        script = tmp_path / program
        script.write_text('#!/bin/sh\necho "$(basename "$0") $*"\n')
        script.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        [DOCKER / "flood", *words], env=environ, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("words", "started"),
    [
        ("", "flood-assets serve --host 0.0.0.0"),
        ("serve --port 8080", "flood-assets serve --host 0.0.0.0 --port 8080"),
        ("refresh --verbose", "flood-assets refresh --verbose"),
        ("dagster", "dagster --help"),
        (
            "dagster code",
            "dagster api grpc --host 0.0.0.0 --port 4000 --module-name flood_assets.definitions",
        ),
        ("dagster daemon", "dagster-daemon run --workspace /etc/flood/local/workspace.yaml"),
        (
            "dagster webserver --read-only",
            "dagster-webserver --host 0.0.0.0 --port 3000 --workspace /etc/flood/local/workspace.yaml --read-only",
        ),
        ("dagster instance info", "dagster instance info"),
        ("dask scheduler", "dask scheduler"),
        ("dask worker tcp://scheduler:8786 --nthreads 1", "dask worker tcp://scheduler:8786 --nthreads 1"),
        ("lambda refresh", "python -m awslambdaric flood_assets.functions.refresh"),
        ("healthy", ""),
    ],
)
def test_the_entry_starts_what_it_is_told_to(words, started, tmp_path):
    assert entry(words.split(), tmp_path) == started


def test_a_lambda_needs_the_name_of_its_function():
    done = subprocess.run([DOCKER / "flood", "lambda"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert "which function?" in done.stderr


COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
OURS = {"code", "daemon", "webserver", "serve", "bucket"}


def test_compose_starts_dagster_its_postgres_the_server_and_an_s3():
    assert set(COMPOSE["services"]) == OURS | {"postgres", "s3"}
    assert set(COMPOSE["volumes"]) == {"dagster", "postgres", "s3"}
    for name, service in COMPOSE["services"].items():
        assert service["restart"] == ("no" if name == "bucket" else "unless-stopped")
        assert "healthcheck" in service
        # Nobody but this machine gets to it.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        if name not in OURS:
            assert re.search(r":\d[\w.-]*$", service["image"]), "an image of a version"


@pytest.mark.parametrize("name", sorted(OURS))
def test_containers_of_ours_are_confined_and_get_signals(name):
    service = COMPOSE["services"][name]
    assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True


def test_what_a_run_needs_stops_after_it():
    """Compose stops what depends on a service before the service: the daemon, the code server, then Postgres and S3."""
    services = COMPOSE["services"]
    assert {"code", "postgres"} == set(services["daemon"]["depends_on"]) == set(services["webserver"]["depends_on"])
    # Not by way of `bucket`, which has ended: a run under way would lose its lake.
    assert {"postgres", "s3"} <= set(services["code"]["depends_on"])
    assert "s3" in services["serve"]["depends_on"]
    assert services["code"]["stop_grace_period"] == "120s"


def test_compose_holds_no_secret():
    text = (DOCKER / "compose.yaml").read_text()
    secrets = re.findall(r"(\S*(?:PASSWORD|ACCESS_KEY\S*)): (.+)", text)
    assert len(secrets) == 6
    assert all(re.fullmatch(r"\$\{\w+:\?make up writes it to deploy/docker/\.env\}", value) for _, value in secrets)
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/deploy/docker/.env" in ignored
    assert "**/.env" in (ROOT / ".dockerignore").read_text().splitlines()


def test_compose_makes_the_bucket_once(request):
    server = request.getfixturevalue("s3_server")
    bucket = COMPOSE["services"]["bucket"]
    command = [sys.executable, *bucket["entrypoint"][1:]]
    place = {name: value for name, value in server.environ.items() if not name.endswith("REGION")}
    # The region as compose gives it: boto3 does not read AWS_REGION.
    region = {name: value for name, value in bucket["environment"].items() if name.endswith("REGION")}
    assert set(region) == {"AWS_DEFAULT_REGION"}
    for _ in range(2):
        subprocess.run(command, env={"PATH": os.environ["PATH"], **place, **region}, timeout=60, check=True)
    assert "flood" in [found["Name"] for found in server.client().list_buckets()["Buckets"]]
