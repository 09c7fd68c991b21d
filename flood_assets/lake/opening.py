"""Open the store of a lake's URL: a folder, or a bucket of S3, Azure or GCS."""

# ruff: noqa: PLC0415 - definitions are loaded far more often than the lake is opened: obstore is imported with the latter

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from flood_assets.errors import RefusedError
from flood_assets.lake.bucket import Bucket
from flood_assets.lake.folder import Folder
from flood_assets.lake.objects import Put, Signed, Versions
from flood_assets.lake.s3 import S3Settings, open_s3, sign_put
from flood_assets.lake.store import Patience, Store, brief
from flood_assets.lake.versions import versions_in
from flood_assets.places import folder_of, lake_url

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig


def open_store(place: str | os.PathLike[str], s3: S3Settings | None = None, patience: Patience | None = None) -> Store:
    """Open the store of a lake's place as `Lake.open` does, with its errors.

    Azure's account comes from AZURE_STORAGE_ACCOUNT_NAME; its keys and Google's from their usual variables.
    """
    url = lake_url(place)
    if folder := folder_of(url):
        return _open_folder(url, folder)
    parts = urlsplit(url)
    patience = patience or Patience()
    return _open_bucket(
        url, parts.scheme, parts.netloc, unquote(parts.path).strip("/"), s3,
        replace(patience, tries=max(1, s3.max_attempts)) if s3 is not None else patience,
    )  # fmt: skip


def _open_bucket(url: str, scheme: str, bucket: str, prefix: str, s3: S3Settings | None, patience: Patience) -> Bucket:
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore

    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=patience.connect_s),
        "read_timeout": timedelta(seconds=patience.answer_s),
        "timeout": timedelta(seconds=60),
    }
    retry: RetryConfig = {
        "max_retries": patience.tries - 1,
        "retry_timeout": timedelta(seconds=patience.retry_s),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3), "base": 2},
    }
    versions: Callable[[], Versions] | None = None
    sign: Callable[[Put], Signed] | None = None
    try:
        if scheme == "s3":
            versions = partial(versions_in, bucket, prefix, s3, (patience.connect_s, patience.answer_s))
            sign = partial(sign_put, bucket, prefix, s3)
            store: ObjectStore = open_s3(bucket, prefix, s3, client, retry)
        else:
            kind = AzureStore if scheme == "az" else GCSStore
            store = kind(bucket, prefix=prefix or None, client_options=client, retry_config=retry)
    except (BaseError, ValueError) as error:
        raise RefusedError(f"{url} cannot be opened: {brief(str(error))}") from error
    return Bucket(url, store, patience, versions, sign)


def _open_folder(url: str, folder: Path) -> Folder:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "Make the folder, or correct FLOOD_LAKE_URL"
        raise RefusedError(f"{url} cannot be made: {error.strerror}. {remedy}") from error
    return Folder(url, folder)
