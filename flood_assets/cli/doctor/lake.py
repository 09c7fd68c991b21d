"""Check access to the lake: credentials, disk space, a trial of each store operation, windows, and the API."""

# ruff: noqa: PLC0415 - an import may be what fails, and each check pays for its own

import os
import shutil
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from flood_assets import settings
from flood_assets.cli.doctor.findings import Finding, Findings, Level, brief, failed, look, note, ok, warning
from flood_assets.cli.doctor.windows import check_windows
from flood_assets.errors import SettingsError
from flood_assets.places import folder_of, is_api, is_same_source, split_userinfo

if TYPE_CHECKING:
    from flood_assets.lake.lake import Lake
    from flood_assets.lake.objects import Versions
    from flood_assets.lake.store import Store

LEAST_FREE_BYTES = 1_000_000_000


def check_lake() -> Findings:
    """Check that the lake opens, takes every operation of a refresh, and belongs to FLOOD_API_URL."""
    url = settings.lake_url()
    if url.startswith("s3://"):
        for finding in look(_check_credentials):
            yield finding
            if finding.level is Level.FAILED:
                return
    folder = folder_of(url)
    if folder and not folder.exists():
        yield note(f"{folder} does not exist yet: it is created now, and `flood-assets refresh` fills it")
    from flood_assets.lake.lake import Lake

    lake = Lake.open(url)
    started = time.perf_counter()
    if fault := _trial(lake.store):
        yield failed(fault, "use another store, such as Amazon S3: readings would be lost, or kept longer than a day")
        return
    seconds = time.perf_counter() - started
    yield ok(f"the lake can be read, written, listed and deleted from, and refuses stale writes: {seconds:.2f} s")
    if not folder:
        yield _judge_versions(lake.store.versions())
    if folder:
        free = shutil.disk_usage(folder).free
        found = f"{free / 1e9:,.1f} GB free on the disk of {folder}"
        yield ok(found) if free >= LEAST_FREE_BYTES else warning(found, "free some space: a full disk stops refreshes")
    from flood_assets.lake.united import reading

    whole = reading(lake)
    yield from check_windows(whole)
    for trouble in whole.troubles:
        yield failed(trouble, "run `flood-assets status`, which shows each shard")
    yield from _check_claim(whole)


def _check_credentials() -> Findings:
    """Check that boto3 finds credentials; report their origin, region and endpoint, never their value."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        found = session.get_credentials()
        endpoint = session.client("s3", region_name=session.region_name or "us-east-1").meta.endpoint_url
    except (BotoCoreError, ValueError) as error:
        yield failed(f"the AWS configuration is wrong: {brief(error)}", "check AWS_PROFILE and ~/.aws/config")
        return
    if found is None:
        remedy = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        yield failed("no AWS credentials found", remedy)
        return
    yield ok(f"AWS credentials found (method '{found.method}'), endpoint {endpoint}")
    if not (session.region_name or os.environ.get("AWS_REGION")):
        yield note("no region is set: us-east-1 is assumed", "set AWS_DEFAULT_REGION to the region of the bucket")


def _trial(store: "Store") -> str | None:
    """Try all operations on an object of our own; return the first fault of the store, or None."""
    key = f"_doctor/{uuid.uuid4().hex}.bin"
    store.put(key, b"first", replaces=None)
    try:
        fault = _fault(store, key)
    finally:
        store.delete([key])
    return fault or (f"{key} still exists after its deletion" if store.head(key) else None)


def _fault(store: "Store", key: str) -> str | None:
    """Return the first fault in reading, listing and replacing the object `key`, which holds b"first"."""
    from flood_assets.lake.objects import Blob, ConflictError

    first = store.get(key)
    if not isinstance(first, Blob) or first.data != b"first" or key not in {meta.key for meta in store.list("_doctor")}:
        return "the store does not read or list what was written"
    store.put(key, b"second", replaces=first.meta)
    for replaces, fault in (
        (None, "the store lets a second writer create an object that exists"),
        (first.meta, "the store lets a writer replace a version that it has not read"),
    ):
        with suppress(ConflictError):
            store.put(key, b"third", replaces=replaces)
            return fault
    second = store.get(key)
    return None if isinstance(second, Blob) and second.data == b"second" else "the store changed what it refused to"


def _judge_versions(versions: "Versions") -> Finding:
    """Warn of a bucket in which expired windows stay readable."""
    level = {True: Level.WARNING, False: Level.OK, None: Level.NOTE}[versions.kept]
    return Finding(level, versions.found, versions.remedy)


def _check_claim(lake: "Lake") -> Findings:
    """Compare the API that the lake belongs to with FLOOD_API_URL, without claiming the lake."""
    api = None
    with suppress(SettingsError):
        api = split_userinfo(settings.api_url())[0]
    source = lake.source()
    if source is not None and "" not in lake.each_shard(lambda shard: shard.url):
        # Each refresh compares the API of each shard.
        yield ok(f"the shards hold readings of {source}")
    elif source is None:
        yield note("the lake belongs to no API yet", "run `flood-assets refresh`: it claims and fills the lake")
    elif not is_api(source):
        yield ok(f"the lake follows the stream {source}: `flood-assets consume {source}` fills it, not the API")
    elif api is None or is_same_source(api, source):
        yield ok(f"the lake holds readings of {source}")
    else:
        yield failed(
            f"the lake holds readings of {source}, but FLOOD_API_URL is {api}",
            f"set FLOOD_API_URL={source}, or set FLOOD_LAKE_URL to another place, or delete the lake",
        )
