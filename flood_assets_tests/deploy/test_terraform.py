"""The plans of every size, with AWS as a mock. `test_applied.py` applies one to moto."""

import json
import re

import pytest

from flood_assets.schemas import TABLES
from flood_assets_tests.support.terraform import ROOT, Terraform, plugin_folder

SOURCES = ROOT / "deploy" / "terraform"


@pytest.mark.slow
def test_every_size_can_be_planned(tmp_path):
    terraform = Terraform(tmp_path)
    # `terraform test` keeps no state, and a backend would ask AWS for one.
    versions = terraform.folder / "versions.tf"
    versions.write_text(versions.read_text().replace('backend "s3" {}', ""))
    terraform("init", "-no-color")
    told = terraform("test", "-no-color")
    assert re.search(r"Success! 4 passed, 0 failed", told), told


@pytest.mark.slow
def test_what_an_account_has_once_is_valid(tmp_path):
    terraform = Terraform(tmp_path)
    terraform.folder = terraform.folder / "account"
    terraform("init", "-backend=false", "-no-color")
    assert json.loads(terraform("validate", "-json"))["valid"]


def test_files_are_formatted(tmp_path):
    if plugin_folder() is None:
        pytest.skip("needs terraform")
    assert Terraform(tmp_path)("fmt", "-check", "-recursive") == ""


def test_no_role_may_do_everything():
    wild = []
    for path in SOURCES.rglob("*.tf"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            # A denial of all is no right.
            if re.search(r'Action\s*= \[?"([\w-]+:)?\*"|^\s*"[\w-]+:\*",', line):
                wild.append((path.relative_to(SOURCES).as_posix(), number, line.strip()))
    assert {(name, line) for name, _, line in wild} <= {
        ("modules/lake/main.tf", 'Action    = "s3:*"'),
        ("modules/streams/main.tf", 'Action    = "sqs:*"'),
        ("modules/streams/landing.tf", 'Action    = "sqs:*"'),
    }
    for name, number, _ in wild:
        before = (SOURCES / name).read_text().splitlines()[number - 6 : number]
        assert any('"Deny"' in line for line in before), (name, number)


def test_every_exception_of_checkov_has_its_reason():
    found = [
        (path.name, line.strip())
        for path in SOURCES.rglob("*.tf")
        for line in path.read_text().splitlines()
        if "checkov:skip" in line
    ]
    assert len(found) > 40
    assert [each for each in found if not re.fullmatch(r"#checkov:skip=CKV2?_AWS_\d+:\S.{8,}", each[1])] == []


def test_the_backstop_names_tables_that_hold_what_was_read():
    text = (SOURCES / "modules/lake/main.tf").read_text()
    names = set(json.loads(re.search(r"backstop = (\[.*\])", text)[1]))
    assert names == {"readings", "completeness", "timeliness", "rejects"}
    assert names < set(TABLES)


@pytest.mark.parametrize("name", ["dev", "qa", "staging", "prod"])
def test_each_environment_has_its_settings(name):
    text = (SOURCES / "envs" / f"{name}.tfvars").read_text()
    assert f'environment   = "{name}"' in re.sub(r" +=", "   =", text)
    known = set(re.findall(r'^variable "(\w+)"', (SOURCES / "variables.tf").read_text(), re.MULTILINE))
    assert set(re.findall(r"^(\w+) +=", text, re.MULTILINE)) <= known
