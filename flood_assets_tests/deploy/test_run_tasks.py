"""`run_tasks = true`: Dagster's launcher takes our settings, and the command of the task that it starts does the run.

The settings are the file that Terraform fills in. ECS is moto's, which starts no containers: here the task's command is
run in its place, behind the task's entry point.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import boto3
import dagster as dg
import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.test_utils import create_run_for_test

from flood_assets_tests.support.s3 import REGION, s3_server  # noqa: F401 - a fixture
from flood_assets_tests.support.terraform import ROOT

MODULE = ROOT / "deploy" / "terraform" / "modules" / "ecs"


def launcher_settings(**given: object) -> dict:
    """Return the settings of the launcher as Terraform fills them in."""
    text = (MODULE / "run_launcher.yaml.tftpl").read_text(encoding="utf-8")
    values = {name: str(value) for name, value in given.items()} | {"jsonencode(subnets)": json.dumps(given["subnets"])}
    return yaml.safe_load(re.sub(r"\$\{(.+?)\}", lambda found: values[found[1]], text))


@pytest.mark.slow
def test_a_run_is_done_by_the_task_that_is_started_for_it(s3_server, tmp_path, monkeypatch):  # noqa: F811
    pytest.importorskip("dagster_aws.ecs", reason="not installed: pip install 'flood-assets[deploy]'")
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    # In the image Dagster's commands are on the path; here they lie beside Python.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    ecs, ec2 = boto3.client("ecs", region_name=REGION), boto3.client("ec2", region_name=REGION)
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    ecs.create_cluster(clusterName="flood-dev")
    # Moto wants to know what the container takes.
    container = {"name": "run", "image": "flood-assets", "entryPoint": ["env"], "cpu": 512, "memory": 2048}
    fargate = {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "512", "memory": "2048"}
    ecs.register_task_definition(family="flood-dev-run", containerDefinitions=[container], **fargate)
    settings = yaml.safe_load((ROOT / "dagster_home" / "dagster.yaml").read_text(encoding="utf-8"))
    settings["run_launcher"] = launcher_settings(
        cluster="flood-dev", task="flood-dev-run", subnets=subnets, group=group
    )
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        origin = RepositoryPythonOrigin(
            "python", ModuleCodePointer("flood_assets.definitions", "defs", None), None, ["dagster"]
        )
        run = create_run_for_test(
            instance, job_name="housekeeping_job", job_code_origin=JobPythonOrigin("housekeeping_job", origin)
        )
        instance.run_launcher.launch_run(LaunchRunContext(run, None))
        arn = instance.get_run_by_id(run.run_id).tags["ecs/task_arn"]
        (task,) = ecs.describe_tasks(cluster="flood-dev", tasks=[arn])["tasks"]
        assert (task["launchType"], task["taskDefinitionArn"].rpartition("/")[2]) == ("FARGATE", "flood-dev-run:1")
        (override,) = task["overrides"]["containerOverrides"]
        assert override["name"] == "run"
        assert (
            instance.run_launcher.check_run_worker_health(instance.get_run_by_id(run.run_id)).status.value == "RUNNING"
        )
        subprocess.run([*container["entryPoint"], *override["command"]], check=True, capture_output=True, timeout=240)
        assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.SUCCESS
