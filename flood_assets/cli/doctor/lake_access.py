"""Whether the lake can be used: credentials, room, every operation of a refresh tried out, and whose lake it is.

What it holds is the subject of `flood_assets.cli.status`.
"""

# ruff: noqa: PLC0415 - what a check looks at may be what fails to import, and each import's cost is its check's own

import os
import shutil
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from flood_assets import settings
from flood_assets.cli.doctor.finding import Doing, Finding, Findings, Level, brief, look
from flood_assets.errors import LakeError, SettingsError

if TYPE_CHECKING:
    from flood_assets.lake.lake import Lake
    from flood_assets.lake.objects import Meta
    from flood_assets.lake.store import Store

LEAST_FREE_BYTES = 1_000_000_000
_WRITERS = "two runs at a time could lose each other's rows: use a store with conditional writes, such as S3 itself"
_DELETION = "expired readings would stay: allow this user to delete, and look for a store that keeps what is deleted"


def check_lake(doing: Doing) -> Findings:
    """Whether the lake can be opened, read, written and deleted from, keeps two writers apart, and whose it is."""
    url = settings.lake_url()
    if url.startswith("s3://"):
        doing("looking for AWS credentials")
        for finding in look(_check_credentials):
            yield finding
            if finding.level is Level.FAILED:
                return
    if url.startswith("file://"):
        folder = Path(unquote(urlsplit(url).path))
        if not folder.exists():
            yield Finding(
                Level.NOTE, f"{folder} is not there yet: it is made now, and filled by `flood-assets refresh`"
            )
    from flood_assets.lake.lake import Lake

    doing(f"opening {url}")
    try:
        lake = Lake.open(url)
    except (LakeError, SettingsError) as error:
        yield Finding(
            Level.FAILED, str(error), "correct FLOOD_LAKE_URL, or what the message names; nothing can be stored before"
        )
        return
    if lake.store.local:
        yield from look(lambda _: _check_disk(Path(unquote(urlsplit(url).path))))
    works = yield from _try_out(lake.store, doing)
    if works:
        yield from _check_claim(lake)


def _check_credentials(_: Doing) -> Findings:
    """Where boto3 finds credentials, region and endpoint; never what they are."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        found = session.get_credentials()
        endpoint = session.client("s3", region_name=session.region_name or "us-east-1").meta.endpoint_url
    except (BotoCoreError, ValueError) as error:
        yield Finding(Level.FAILED, f"the AWS configuration: {brief(error)}", "check AWS_PROFILE and ~/.aws/config")
        return
    if found is None:
        yield Finding(
            Level.FAILED,
            "no AWS credentials are found",
            "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role",
        )
    else:
        yield Finding(Level.OK, f"AWS credentials found by the method '{found.method}'")
    region = session.region_name or os.environ.get("AWS_REGION")
    if region:
        yield Finding(Level.OK, f"region {region}, endpoint {endpoint}")
    else:
        yield Finding(
            Level.NOTE,
            f"no region is set: us-east-1 is assumed, endpoint {endpoint}",
            "set AWS_DEFAULT_REGION to the bucket's region",
        )


def _check_disk(folder: Path) -> Findings:
    """Room for the lake: a day of the whole country is some MB, but a full disk stops everything."""
    usage = shutil.disk_usage(folder)
    free = f"{usage.free / 1e9:,.1f} GB free on the disk of {folder}"
    if usage.free < LEAST_FREE_BYTES:
        yield Finding(Level.WARNING, free, "free some space: a full disk stops refreshes")
    else:
        yield Finding(Level.OK, free)


@dataclass
class _Trial:
    """An object of our own below `_doctor/`, and what each operation on it took."""

    store: "Store"
    key: str
    doing: Doing
    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, work: Callable[[], Any]) -> Any:
        """What `work` gives."""
        self.doing(f"trying to {name} in {self.store.url}")
        started = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[name] = time.perf_counter() - started

    def put(self, data: bytes, replaces: "Meta | None") -> None:
        self.store.put(self.key, data, replaces=replaces)

    def conflicts(self, name: str, data: bytes, replaces: "Meta | None") -> bool:
        """Whether the store refuses this write, as it must."""
        from flood_assets.lake.objects import ConflictError

        try:
            self.timed(name, lambda: self.put(data, replaces))
        except ConflictError:
            return True
        return False


def _try_out(store: "Store", doing: Doing) -> Generator[Finding, None, bool]:
    """Do with an object of our own what a refresh does with windows; returns whether the lake can be used."""
    trial = _Trial(store, f"_doctor/{uuid.uuid4().hex}.bin", doing)
    wrong: list[Finding] = []
    try:
        wrong += _tried(trial)
        trial.timed("delete", lambda: store.delete([trial.key]))
        if store.head(trial.key) is not None:
            wrong.append(Finding(Level.FAILED, f"{trial.key} is still there after its deletion", _DELETION))
    except LakeError as error:
        done = list(trial.seconds)
        if len(done) > 1:  # else there is nothing to delete, and a store that does not answer is slow to say so
            with suppress(LakeError):
                store.delete([trial.key])
        yield Finding(
            Level.FAILED,
            f"{error} (while trying to {done[-1]})",
            "put right what the message names: a refresh has to list, read, write and delete here",
        )
        return False
    yield from wrong
    times = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in trial.seconds.items())
    if not wrong:
        yield Finding(
            Level.OK, f"the lake can be written, read, listed and deleted from, and refuses stale writes: {times}"
        )
    slowest = max(trial.seconds.values())
    if slowest > 1:
        yield Finding(
            Level.NOTE,
            f"the slowest operation took {slowest:.1f} s; a cold start writes 25 windows",
            "put lake and runs into the same region",
        )
    return not wrong


def _tried(trial: _Trial) -> Findings:
    """What the store does not do as it should."""
    store, key = trial.store, trial.key
    first, second, third = (os.urandom(16_384) for _ in range(3))
    trial.timed("create", lambda: trial.put(first, None))
    meta = store.head(key)
    if meta is None or _read(trial) != first:
        yield Finding(Level.FAILED, "what was written is not what is read back", "this store cannot hold a lake")
        return
    if not trial.conflicts("create again", second, None):
        yield Finding(Level.FAILED, "the store lets a second writer create what is there already", _WRITERS)
        return
    trial.timed("replace", lambda: trial.put(second, meta))
    if not trial.conflicts("replace a stale version", third, meta):
        yield Finding(Level.FAILED, "the store lets a writer replace a version that it has not seen", _WRITERS)
    elif _read(trial) != second:
        yield Finding(Level.FAILED, "a refused write changed the object all the same", _WRITERS)
    if key not in {found.key for found in trial.timed("list", lambda: store.list("_doctor"))}:
        yield Finding(Level.FAILED, "what was written is not listed", "windows would be fetched again at each run")


def _read(trial: _Trial) -> bytes | None:
    from flood_assets.lake.objects import Blob

    blob = trial.timed("read", lambda: trial.store.get(trial.key))
    return bytes(blob.data.to_pybytes()) if isinstance(blob, Blob) else None


def _check_claim(lake: "Lake") -> Findings:
    """Whose readings the lake holds, without claiming it."""
    try:
        source = lake.source()
    except LakeError as error:
        yield Finding(
            Level.FAILED, str(error), "do what the message says; the readings themselves are not touched by it"
        )
        return
    try:
        api = settings.api_url()
    except SettingsError:
        api = None
    if source is None:
        yield Finding(Level.NOTE, "the lake belongs to no API yet", "`flood-assets refresh` claims and fills it")
    elif api is not None and source != api:
        yield Finding(
            Level.FAILED,
            f"the lake is filled from {source}, and FLOOD_API_URL is {api}",
            f"set FLOOD_API_URL={source}, or FLOOD_LAKE_URL to another place, or delete the lake",
        )
    else:
        yield Finding(Level.OK, f"the lake is filled from {source}")
