"""What `make deploy` refuses, and what it tells Terraform: with moto as AWS and a script in the place of Terraform."""

import io
import json
import os
import stat

import boto3
import pytest

from deploy.terraform import deploy
from flood_assets_tests.support.s3 import s3_server  # noqa: F401 - a fixture

TERRAFORM = """#!/bin/sh
echo "$(basename "$PWD") $*" >> "$CALLS"
case "$1" in
  output) echo "$OUTPUTS" ;;
  show) echo "$CHANGES" ;;
  plan) for word in "$@"; do case "$word" in -out=*) touch "${word#-out=}" ;; esac; done ;;
esac
"""


@pytest.fixture
def called(s3_server, no_aws_of_this_machine, monkeypatch, tmp_path):  # noqa: F811 - the fixture
    """Run the script as a person would who has no terminal; give what Terraform was told."""
    for name, text in s3_server.environ.items():
        monkeypatch.setenv(name, text)
    program = tmp_path / "bin" / "terraform"
    program.parent.mkdir()
    program.write_text(TERRAFORM)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("OUTPUTS", "{}")
    monkeypatch.setenv("CHANGES", "{}")
    for name in ("IMAGE", "CONFIRM", "ALLOW_LOSS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    yield lambda: [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    client = s3_server.client()
    for bucket in client.list_buckets()["Buckets"]:
        if bucket["Name"].startswith("flood-terraform-"):
            client.delete_bucket(Bucket=bucket["Name"])
    client.close()


def verbs(called):
    return [line[1] for line in called()]


def test_a_first_deployment_makes_the_bucket_of_the_states(called, capfd):
    assert deploy.main(["deploy", "dev", "--image", "example.org/flood:1"]) == 0
    assert verbs(called) == ["init", "plan", "show", "apply"]
    init, plan = called()[0], called()[1]
    assert {"-backend-config=key=flood/dev.tfstate", "-backend-config=use_lockfile=true"} < set(init)
    assert "-var=image=example.org/flood:1" in plan
    client = boto3.client("s3")
    (name,) = [b["Name"] for b in client.list_buckets()["Buckets"] if b["Name"].startswith("flood-terraform-")]
    assert client.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert all(client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    client.close()
    assert not list(deploy.HERE.glob("*.tfplan"))
    assert "deploy dev in account" in capfd.readouterr().out


def test_a_plan_makes_nothing(called, capfd):
    assert deploy.main(["plan", "dev"]) == 1
    assert "`make deploy ENV=dev` makes" in capfd.readouterr().err


def test_without_an_image_the_one_that_runs_stays(called, monkeypatch, capfd):
    assert deploy.main(["deploy", "qa"]) == 1
    assert "IMAGE=" in capfd.readouterr().err
    monkeypatch.setenv("OUTPUTS", json.dumps({"image": {"value": "example.org/flood:7"}}))
    assert deploy.main(["deploy", "qa"]) == 0
    assert "-var=image=example.org/flood:7" in [word for line in called() for word in line]


def test_prod_is_confirmed_by_its_name(called, monkeypatch, capfd):
    for wrong in ("", "yes", "dev"):
        monkeypatch.setenv("CONFIRM", wrong)
        assert deploy.main(["deploy", "prod", "--image", "i"]) == 1
        assert "CONFIRM=prod" in capfd.readouterr().err
    assert "apply" not in verbs(called)
    monkeypatch.setenv("CONFIRM", "prod")
    assert deploy.main(["deploy", "prod", "--image", "i"]) == 0
    assert verbs(called)[-1] == "apply"


def test_every_destruction_is_confirmed(called, monkeypatch):
    deploy.main(["deploy", "dev", "--image", "i"])
    assert deploy.main(["destroy", "dev", "--image", "i"]) == 1
    monkeypatch.setenv("CONFIRM", "dev")
    assert deploy.main(["destroy", "dev", "--image", "i"]) == 0
    assert any("-destroy" in line for line in called())


def test_a_deployment_that_would_lose_data_is_refused(called, monkeypatch, capfd):
    change = {
        "address": "module.lake.aws_s3_bucket.this",
        "type": "aws_s3_bucket",
        "change": {"actions": ["delete", "create"]},
    }
    monkeypatch.setenv("CHANGES", json.dumps({"resource_changes": [change]}))
    monkeypatch.setenv("CONFIRM", "prod")
    assert deploy.main(["deploy", "prod", "--image", "i"]) == 1
    assert "module.lake.aws_s3_bucket.this" in capfd.readouterr().err
    assert "apply" not in verbs(called)
    monkeypatch.setenv("ALLOW_LOSS", "1")
    assert deploy.main(["deploy", "prod", "--image", "i"]) == 0


def test_a_person_may_type_the_name():
    deploy.confirm("deploy", "prod", "", lambda _: "prod")
    with pytest.raises(deploy.RefusedError, match="nothing was changed"):
        deploy.confirm("deploy", "prod", "", lambda _: "y")


def test_only_deletions_of_what_lasts_count_as_a_loss():
    changes = [
        {"address": "a", "type": "aws_s3_bucket", "change": {"actions": ["update"]}},
        {"address": "b", "type": "aws_iam_role", "change": {"actions": ["delete"]}},
        {"address": "c", "type": "aws_db_instance", "change": {"actions": ["delete"]}},
    ]
    assert deploy.lost(changes) == ["c"]


def test_the_account_is_a_root_of_its_own(called):
    assert deploy.main(["deploy", "account"]) == 0
    assert {line[0] for line in called()} == {"account"}
    assert any(word.startswith("-var=state_bucket=flood-terraform-") for line in called() for word in line)


def test_without_terraform_it_says_so(called, monkeypatch, capfd):
    monkeypatch.setenv("PATH", "")
    assert deploy.main(["plan", "dev"]) == 1
    assert "terraform is not installed" in capfd.readouterr().err
