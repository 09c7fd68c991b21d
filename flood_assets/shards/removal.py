"""Delete the lake of a shard that is not united any more, once all it holds has been carried and proved.

Only objects that are listed before that are deleted, each only if it is still the same, the identity last: what
somebody writes meanwhile stays, is found by the next look, and is carried too. Batches that wait to be ingested, an
archive, the state of the alerts and files of strangers are never deleted.
"""

import logging
from collections.abc import Iterable, Sequence

from flood_assets.lake.layout import (
    FAILURE,
    IDENTITY,
    LANDING,
    PUBLISHED,
    QUARANTINE,
    RECEIPTS,
    WATERMARKS_KEY,
    current_key,
    window_of_key,
)
from flood_assets.lake.objects import Meta
from flood_assets.lake.store import Store
from flood_assets.places import SHARD_FOLDER
from flood_assets.schemas import TABLES

logger = logging.getLogger("flood_assets.shards")

_PRESENTS = {current_key(table) for table in TABLES.values()}
_BESIDE = tuple(f"{folder}/" for folder in (RECEIPTS, QUARANTINE, PUBLISHED))
# Whoever fills or carries the lake needs them to know what it is, so they go after the tables.
_LAST = (FAILURE, WATERMARKS_KEY, IDENTITY)


def lakes(listed: Iterable[Meta], *, network: bool) -> list[str]:
    """Return the names of the shards that hold anything, of all objects below the common URL.

    An empty name stands for a lake without shards at the common URL itself; if that says that it is a `network`, for
    what is left of such a lake.
    """
    found = dict[str, None]()
    for meta in listed:
        folder, _, inside = meta.key.partition("/")
        if folder.startswith(SHARD_FOLDER):
            if _is_ours(inside) or _waits(inside):
                found[folder.removeprefix(SHARD_FOLDER)] = None
        # What is kept for a whole network, such as a failure, is beside its shards.
        elif _is_of_table(meta.key) or _waits(meta.key) or (meta.key == IDENTITY and not network):
            found[""] = None
    return list(found)


def held(store: Store, *, identity: bool) -> list[Meta]:
    """List what a lake holds of its own, in the order in which it may be deleted; with its `_lake.json` or without."""
    ours = [meta for meta in store.list("") if _is_ours(meta.key) and (identity or meta.key != IDENTITY)]
    return sorted(ours, key=lambda meta: (_LAST.index(meta.key) if meta.key in _LAST else -1, meta.key))


def remove(store: Store, listed: Sequence[Meta]) -> list[str]:
    """Delete what was listed; return the names of what somebody has changed since, which stays.

    Raises:
        LakeError: something could not be deleted.
    """
    changed = list[str]()
    for meta in listed:
        # Without these nobody would know what is left of it.
        if changed and meta.key in _LAST:
            continue
        if not store.delete_unchanged(meta) and store.head(meta.key) is not None:
            changed.append(meta.key)
    if changed:
        logger.info("%s: %d objects were written meanwhile: they are carried too", store.url, len(changed))
    return changed


def _is_ours(key: str) -> bool:
    return _is_of_table(key) or key.startswith(_BESIDE) or key in _LAST


def _is_of_table(key: str) -> bool:
    windows = any(window_of_key(table, key) is not None for table in TABLES.values())
    return windows or key in _PRESENTS or key == WATERMARKS_KEY


def _waits(key: str) -> bool:
    return key.startswith(f"{LANDING}/")
