"""Apply the settings of prod to moto, as `make deploy` does, and destroy them.

Moto runs as a process of its own. What it does not have is switched off: replicas of databases, workgroups of Athena,
and the mails of a budget. The rest is `envs/prod.tfvars` as it is, but for what protects prod from a destruction.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import boto3

from flood_assets.lake.lake import Lake
from flood_assets_tests.support.s3 import REGION
from flood_assets_tests.support.s3_process import s3_process
from flood_assets_tests.support.terraform import Terraform

IMAGE = "123456789012.dkr.ecr.eu-west-2.amazonaws.com/flood-assets:1.0.0"
PROGRAMS = Path(sys.executable).parent

INSTEAD = {
    "replica = true": "replica = false",
    "budget_usd ": "budget_usd = 0 #",
    "protected = true": "protected = false",
}
HERE = """
provider "aws" {
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}

terraform {
  backend "s3" {
    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_region_validation      = true
    skip_requesting_account_id  = true
  }
}
"""


class Applied:
    """What was applied: Terraform, the server, and clients of AWS."""

    def __init__(self, terraform, server):
        self.terraform, self.server = terraform, server
        self.outputs = terraform.outputs()
        self.now = datetime.now(UTC).replace(microsecond=0)
        self._clients = {}

    def client(self, service):
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service, endpoint_url=self.server.endpoint_url, region_name=REGION,
                aws_access_key_id="flood", aws_secret_access_key="flood-secret",
            )  # fmt: skip
        return self._clients[service]

    def close(self):
        for each in self._clients.values():
            each.close()

    @property
    def bucket(self):
        return self.outputs["lake"].removeprefix("s3://")

    @property
    def lake(self):
        return Lake.open(self.outputs["lake"], s3=self.server)

    def containers(self, family):
        """Return the containers of a task definition by name."""
        task = self.client("ecs").describe_task_definition(taskDefinition=family)["taskDefinition"]
        return {each["name"]: each for each in task["containerDefinitions"]}

    def settings(self, family, container):
        """Return the environment that a container is given."""
        return {each["name"]: each["value"] for each in self.containers(family)[container]["environment"]}

    def run(self, *command, **more):
        """Run a command with the environment of the daemon's container."""
        given = {n: v for n, v in self.settings("flood-prod-dagster", "daemon").items() if not n.startswith("DAGSTER_")}
        ours = {**given, **self.server.environ, "FLOOD_NOW": self.now.isoformat(), **more}
        told = subprocess.run(
            [PROGRAMS / command[0], *command[1:]], env={**plain_environment(), **ours},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-3000:]
        return told.stdout


def plain_environment():
    own = {
        name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "FLOOD_", "TF_", "DAGSTER_"))
    }
    return own | {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}


def deploy(terraform, *arguments, **environment):
    """Run deploy.py of the copy, as `make` does."""
    told = subprocess.run(
        ["nice", "-n", "10", sys.executable, "-m", "deploy.terraform.deploy", *arguments],
        cwd=terraform.folder.parents[1], env=terraform.environment | environment,
        capture_output=True, text=True, timeout=2400, check=False,
    )  # fmt: skip
    return told.returncode, told.stdout + told.stderr


@contextmanager
def applied_prod(folder: Path) -> Iterator[Applied]:
    """Yield what was applied; what is destroyed at the end has to be all of it."""
    with s3_process(free=True) as server:
        # What moto does not have it is not asked for 25 times.
        ours = server.environ | {"AWS_REGION": REGION, "AWS_MAX_ATTEMPTS": "3", "AWS_EC2_METADATA_DISABLED": "true"}
        nobody = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "PYTHONPATH": ""}
        terraform = Terraform(folder, **ours, **nobody)
        (terraform.folder / "here_override.tf").write_text(HERE)
        settings = terraform.folder / "envs" / "prod.tfvars"
        text = settings.read_text()
        for wanted, instead in INSTEAD.items():
            assert wanted in text
            text = text.replace(wanted, instead)
        settings.write_text(text + "athena = false\nforce_destroy = true\n")
        code, told = deploy(terraform, "deploy", "prod", "--image", IMAGE, CONFIRM="prod")
        assert code == 0, told[-6000:]
        found = Applied(terraform, server)
        yield found
        try:
            code, told = deploy(terraform, "destroy", "prod", CONFIRM="prod")
            assert code == 0, told[-6000:]
            assert json.loads(terraform("show", "-json")).get("values") is None
            names = {each["Name"] for each in found.client("s3").list_buckets()["Buckets"]}
            assert not {name for name in names if name.startswith("flood-prod")}
        finally:
            found.close()
