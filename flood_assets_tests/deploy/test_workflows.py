"""Workflows of GitHub, the changelog they make releases of, and the advisories that `make audit` can be given."""

import json
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

import flood_assets
from deploy.ci import advisories, changelog
from flood_assets_tests.support.image import ROOT
from flood_assets_tests.support.programs import locked, program, run

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# Tokens that a job asks for: what writes is given to a job, never to a workflow.
READ = {"contents": "read"}


def jobs(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from yaml.safe_load(path.read_text())["jobs"].items()


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for _, job in jobs(path):
        yield from job.get("steps", ())


def named(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_a_workflow_reads_only_and_its_jobs_end(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == READ
    # YAML takes `on` for true.
    assert "pull_request_target" not in workflow[True]
    for name, job in jobs(path):
        assert "uses" in job or job["timeout-minutes"] <= 60, name
        for scope, right in job.get("permissions", {}).items():
            assert right == "read" or (scope, right) in {
                ("id-token", "write"),
                ("attestations", "write"),
                ("contents", "write"),
            }


def test_only_a_release_writes_to_the_repository():
    writers = [
        (path.name, name)
        for path in WORKFLOWS
        for name, job in jobs(path)
        if job.get("permissions", {}).get("contents") == "write"
    ]
    assert writers == [("release.yml", "release")]


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_actions_have_a_version_and_keep_no_credentials(path):
    for step in steps(path):
        if used := step.get("uses"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})", used), used
            if used.startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_no_script_has_somebody_elses_words_in_it(path):
    """An expression in a script is pasted into it: a value comes by the environment."""
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


def test_every_target_that_a_workflow_makes_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    made = {
        target
        for path in WORKFLOWS
        for step in steps(path)
        for words in re.findall(r"\bmake ([a-z0-9 -]+)", step.get("run", ""))
        for target in words.split()
    }
    assert {"lint", "test", "audit"} <= made <= targets


def test_other_environments_than_dev_are_deployed_by_hand():
    called = [
        (path.name, job["with"]["environment"])
        for path in WORKFLOWS
        for _, job in jobs(path)
        if job.get("uses") == "./.github/workflows/deploy.yml"
    ]
    assert called == [("ci.yml", "dev")]
    (deploy,) = (job for path in WORKFLOWS if path.name == "deploy.yml" for _, job in jobs(path))
    assert deploy["environment"] == "${{ inputs.environment }}", "whose reviewers GitHub asks"


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("compose-spec", [ROOT / "deploy" / "docker" / "compose.yaml"]),
    ],
    ids=["workflows", "dependabot", "compose"],
)
def test_files_follow_their_schemas(schema, files):
    run(locked("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *files)


def test_actionlint_finds_nothing():
    run(program("actionlint"), *WORKFLOWS)


def test_the_changelog_has_notes_for_what_comes(capsys):
    assert changelog.main("Unreleased") == 0
    assert "### Added" in capsys.readouterr().out
    text = changelog.CHANGELOG.read_text()
    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert all(changelog.notes(text, version) for version in versions)


def test_a_tag_is_the_version_of_the_package(capsys):
    assert changelog.main("v99.0.0") == 1
    assert capsys.readouterr().err == (
        f"the tag v99.0.0 is not the version {flood_assets.__version__} of flood_assets/__init__.py\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# Changelog\n", "0 sections on 1.0.0"),
        ("## [1.0.0] - 2026-10-15\n\n## [0.9.0] - 2026-10-01\n- x\n", "1 sections on 1.0.0"),
        ("## [1.0.0] - 2026-10-15\n### New\n- x\n", "'New' below 1.0.0"),
        ("## 1.0.0\n- x\n", "the heading '1.0.0'"),
    ],
)
def test_a_release_without_notes_is_refused(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        changelog.notes(text, "1.0.0")


def advisory(name: str, *events: dict[str, str], versions: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "versions": list(versions)}
    affected["ranges"] = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    return {"id": f"PYSEC-{name}", "affected": [affected], **more}


@pytest.mark.parametrize(
    ("events", "version", "concerned"),
    [
        ([{"introduced": "0"}, {"fixed": "2.0"}], "1.9", True),
        ([{"introduced": "0"}, {"fixed": "2.0"}], "2.0", False),
        ([{"introduced": "1.0"}, {"fixed": "1.5"}, {"introduced": "2.0"}, {"fixed": "2.5"}], "1.9", False),
        ([{"introduced": "1.0"}, {"fixed": "1.5"}, {"introduced": "2.0"}, {"fixed": "2.5"}], "2.4.post1", True),
        ([{"introduced": "1.0"}, {"last_affected": "1.5"}], "1.5", True),
        ([{"introduced": "1.0"}, {"last_affected": "1.5"}], "1.6", False),
        ([{"introduced": "1.0"}], "0.9", False),
        ([{"introduced": "0"}], "not a version", False),
    ],
)
def test_an_advisory_concerns_the_versions_of_its_ranges(events, version, concerned):
    known = {"a-package": [advisory("A_package", *events)]}
    assert bool(advisories.concerning(known, "a.Package", version)) is concerned


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: [Errno 2]"),
        (b"no zip", "cannot be read: File is not a zip file"),
        ({"affected": [{"package": {"ecosystem": "npm", "name": "jinja2"}}]}, "has no advisory on a package of PyPI"),
    ],
    ids=["absent", "no zip", "of another index"],
)
def test_a_file_that_tells_nothing_is_no_clean_audit(tmp_path, capsys, content, said):
    archive = tmp_path / "all.zip"
    if isinstance(content, bytes):
        archive.write_bytes(content)
    elif content:
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("1.json", json.dumps(content))
    assert advisories.main(archive, [sys.executable, "-c", "0"]) == 2
    assert said in capsys.readouterr().err


def test_an_audit_that_cannot_ask_of_a_package_fails():
    """Without this pip-audit lists what it could not ask, and says that nothing was found."""
    audit = subprocess.run(
        ["make", "--dry-run", "--old-file", ".venv/.done", "audit"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip-audit --strict " in audit.stdout


def test_advisories_in_a_file_are_answered_as_osv_does(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        for number, each in enumerate(
            [
                advisory("Jinja2", versions=("3.1.6",)),
                advisory("jinja2", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z"),
                {
                    "id": "GHSA",
                    "affected": [{"package": {"ecosystem": "npm", "name": "jinja2"}, "versions": ["3.1.6"]}],
                },
            ]
        ):
            file.writestr(f"{number}.json", json.dumps(each))
    with advisories.server(advisories.read(tmp_path / "all.zip")) as answers:
        threading.Thread(target=answers.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{answers.server_port}/v1/query"

        def asked(version: str) -> Any:
            query = {"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": version}
            with urlopen(url, data=json.dumps(query).encode()) as answer:
                return json.load(answer)

        assert [each["id"] for each in asked("3.1.6")["vulns"]] == ["PYSEC-Jinja2"]
        assert asked("3.1.7") == {}
        answers.shutdown()
