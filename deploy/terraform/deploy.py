"""Plan, make or destroy an environment: `python -m deploy.terraform.deploy plan dev`. `make deploy ENV=dev` calls it.

Terraform's state is in a bucket of the account that the credentials belong to, one key for each environment. The bucket
is made with the first environment.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

HERE = Path(__file__).parent
ENVIRONMENTS = ("dev", "qa", "staging", "prod", "account")
# Whose data or readers would miss them. What is in `dev` and `qa` may go.
CAREFUL = ("staging", "prod", "account")
LASTING = ("aws_s3_bucket", "aws_db_instance", "aws_dynamodb_table", "aws_kinesis_stream", "aws_ecr_repository")
PROJECT = "flood"


class RefusedError(Exception):
    """What was asked for is not done, and why."""


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say; return the exit code: 1 if refused, 2 if the arguments are wrong."""
    parser = argparse.ArgumentParser(prog="deploy", description="Plan, make or destroy an environment on AWS.")
    parser.add_argument("action", choices=("plan", "deploy", "destroy"))
    parser.add_argument("environment", choices=ENVIRONMENTS)
    parser.add_argument("--image", default=os.environ.get("IMAGE", ""), help="default: IMAGE, else the one that runs")
    given = parser.parse_args(arguments)
    try:
        run(given.action, given.environment, given.image)
    except RefusedError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(f"AWS could not be asked: {error}\nSign in, or name a profile in AWS_PROFILE.", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"terraform ended with {error.returncode}; see above.", file=sys.stderr)
        return 1
    return 0


def run(action: str, environment: str, image: str) -> None:
    """Run Terraform in the folder of the environment, with its state and settings.

    Raises:
        RefusedError: nobody confirmed, an image is missing, or data would be lost.
        CalledProcessError: Terraform failed; it has said why.
    """
    program = shutil.which("terraform")
    if program is None:
        raise RefusedError(
            "terraform is not installed: developer.hashicorp.com/terraform/install; 1.10 or newer is needed"
        )
    session = boto3.session.Session()
    region = session.region_name or "eu-west-2"
    with closing(session.client("sts", region_name=region)) as sts:
        account = sts.get_caller_identity()["Account"]
    bucket = f"{PROJECT}-terraform-{account}"
    print(f"{action} {environment} in account {account}, {region}; state in s3://{bucket}", flush=True)
    with closing(session.client("s3", region_name=region)) as s3:
        made = make_bucket(s3, bucket, region, make=action == "deploy")
    if not made:
        raise RefusedError(
            f"there is no state yet, as there is no bucket {bucket}: `make deploy ENV={environment}` makes it"
        )

    folder = HERE / "account" if environment == "account" else HERE
    plan = folder / f"{environment}.tfplan"

    def terraform(*arguments: str, output: bool = False) -> str:
        done = subprocess.run(  # noqa: S603 - a fixed program; its arguments are no shell's
            (program, *arguments), cwd=folder, check=True, text=True, stdout=subprocess.PIPE if output else None
        )
        return done.stdout or ""

    terraform(
        "init", "-input=false", "-reconfigure", *(f"-backend-config={setting}" for setting in (
            f"bucket={bucket}", f"key={PROJECT}/{environment}.tfstate", f"region={region}", "use_lockfile=true",
        )),
    )  # fmt: skip
    settings = [f"-var-file={HERE / 'envs' / environment}.tfvars", f"-var=region={region}"]
    if environment == "account":
        settings += [f"-var=state_bucket={bucket}"]
    else:
        settings += [f"-var=image={image or _running(terraform)}"]
    try:
        wanted = ["-destroy"] if action == "destroy" else []
        terraform("plan", "-input=false", f"-out={plan.name}", *wanted, *settings)
        if action == "plan":
            return
        changes = json.loads(terraform("show", "-json", plan.name, output=True)).get("resource_changes", [])
        if action == "deploy":
            refuse_loss(environment, lost(changes), os.environ.get("ALLOW_LOSS", ""))
        confirm(action, environment, os.environ.get("CONFIRM", ""), input if sys.stdin.isatty() else None)
        terraform("apply", "-input=false", plan.name)
    finally:
        # It holds the database's password, as the state does.
        plan.unlink(missing_ok=True)


def _running(terraform: Callable[..., str]) -> str:
    found = json.loads(terraform("output", "-json", output=True) or "{}")
    image: str = found.get("image", {}).get("value", "")
    if not image:
        raise RefusedError("which image? Push one (`make deploy ENV=account` makes a registry) and say IMAGE=...")
    return image


def make_bucket(s3: Any, bucket: str, region: str, *, make: bool) -> bool:
    """Make the bucket of the states unless it is there, if it may be made; return True if it is there now."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise
    else:
        return True
    if not make:
        return False
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **where)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    blocked = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocked, True))
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    return True


def lost(changes: list[dict[str, Any]]) -> list[str]:
    """Return the addresses of what holds data and would be deleted or replaced, from a plan's `resource_changes`."""
    return [
        change["address"] for change in changes if change["type"] in LASTING and "delete" in change["change"]["actions"]
    ]


def refuse_loss(environment: str, addresses: list[str], allowed: str) -> None:
    """Raise RefusedError if something of a careful environment would be lost, and nobody allowed it."""
    if addresses and environment in CAREFUL and allowed != "1":
        raise RefusedError(
            f"this would delete or replace {', '.join(addresses)} of {environment}, with what is in it. Nothing was "
            "changed. If that is wanted, say ALLOW_LOSS=1"
        )


def confirm(action: str, environment: str, confirmed: str, ask: Callable[[str], str] | None) -> None:
    """Raise RefusedError unless a change of prod, or a destruction, was confirmed by the environment's name.

    Args:
        action: `deploy` or `destroy`.
        environment: its name.
        confirmed: the value of CONFIRM.
        ask: asks a person; None if there is nobody.
    """
    if environment != "prod" and action != "destroy":
        return
    if confirmed == environment:
        return
    if ask is not None and not confirmed and ask(f"Type {environment} to {action} it: ").strip() == environment:
        return
    raise RefusedError(f"not confirmed, so nothing was changed: say CONFIRM={environment} to {action} {environment}")


if __name__ == "__main__":
    sys.exit(main())
