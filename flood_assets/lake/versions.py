"""Find out if a bucket keeps the old versions of what the lake replaces and deletes, and name the rule that ends it.

A bucket with versioning only hides what is deleted: each expired window can still be read by its version.
"""

# ruff: noqa: PLC0415 - boto3 takes a fifth of a second to import, and a lake in a folder never needs it

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flood_assets.lake.objects import Versions
from flood_assets.lake.s3 import S3Settings, region_of, session_of

# S3 counts whole days, and none is fewer.
DAYS = 1


def versions_in(bucket: str, prefix: str, s3: S3Settings | None, timeouts: tuple[float, float]) -> Versions:
    """Ask S3 for the versioning and the lifecycle rules of a bucket; what cannot be asked is not known.

    Args:
        bucket: its name.
        prefix: place of the lake in it.
        s3: settings as of `open_s3`.
        timeouts: seconds to wait for a connection and for an answer.
    """
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    connect, answer = timeouts
    config = Config(connect_timeout=connect, read_timeout=answer, retries={"total_max_attempts": 1})
    if s3 and s3.use_unsigned_session:
        config = config.merge(Config(signature_version=UNSIGNED))
    try:
        session = session_of(s3)
        client = session.client(
            "s3",
            region_name=region_of(session, s3),
            endpoint_url=s3.endpoint_url if s3 else None,
            verify=s3.verify if s3 else None,
            config=config,
        )
        try:
            # Suspended versioning makes no new versions, and keeps those that there are.
            if client.get_bucket_versioning(Bucket=bucket).get("Status") not in {"Enabled", "Suspended"}:
                return Versions(False, "the bucket keeps no old versions")
            return judge(_rules(client, bucket), bucket, prefix)
        finally:
            client.close()
    except (BotoCoreError, ClientError, ValueError) as error:
        return Versions(
            None,
            f"it is not known if the bucket keeps old versions of expired windows ({error})",
            "let the credentials ask (s3:GetBucketVersioning, s3:GetLifecycleConfiguration); if the bucket has "
            f"versioning, {_remedy(bucket, prefix)}",
        )


def judge(rules: Sequence[Mapping[str, Any]], bucket: str, prefix: str) -> Versions:
    """Judge the lifecycle rules of a bucket with versioning: one has to delete the lake's old versions after a day."""
    if any(_deletes(rule, prefix) for rule in rules):
        return Versions(False, "the bucket keeps old versions, and a lifecycle rule deletes them after a day")
    return Versions(
        True, "the bucket has versioning: every expired window can still be read as an old version",
        _remedy(bucket, prefix),
    )  # fmt: skip


def _rules(client: Any, bucket: str) -> list[Mapping[str, Any]]:
    from botocore.exceptions import ClientError

    try:
        found: list[Mapping[str, Any]] = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "NoSuchLifecycleConfiguration":
            return []
        raise
    return found


def _deletes(rule: Mapping[str, Any], prefix: str) -> bool:
    """Return True if a rule deletes each old version below the prefix in time."""
    expiration = rule.get("NoncurrentVersionExpiration", {})
    chosen = rule.get("Filter", {})
    # Other filters, by tags or sizes, leave out some objects.
    whole = set(chosen) <= {"Prefix"}
    return (
        rule.get("Status") == "Enabled"
        and expiration.get("NoncurrentDays", DAYS + 1) <= DAYS
        and not expiration.get("NewerNoncurrentVersions")
        and whole
        and _folder(prefix).startswith(chosen.get("Prefix", rule.get("Prefix", "")))
    )


def _remedy(bucket: str, prefix: str) -> str:
    rule = {
        "ID": "flood-assets-old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": _folder(prefix)},
        "NoncurrentVersionExpiration": {"NoncurrentDays": DAYS},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
    }
    return f"add this lifecycle rule to those of the bucket {bucket}: {json.dumps(rule)}"


def _folder(prefix: str) -> str:
    return f"{prefix}/" if prefix else ""
