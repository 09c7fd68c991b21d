"""Remember which API or stream fills a lake, which shard it is, in which layout, and which format writers have to know.

Two versions of this package may be at work on one lake, as while a new one is rolled out: whoever writes asks here
first, and leaves the lake alone if a newer version writes columns that it would drop.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flood_assets.errors import LakeError, RefusedError, WrongLakeError
from flood_assets.lake.layout import FORMAT, IDENTITY, LAYOUT
from flood_assets.lake.objects import Blob, ConflictError
from flood_assets.lake.parquet import NewerFormatError
from flood_assets.lake.store import Store
from flood_assets.places import is_api, is_same_source, split_userinfo

if TYPE_CHECKING:  # few networks have shards
    from flood_assets.network import Shard

# Of shards and of their common URL: versions without shards find a layout that they do not know, and leave both alone.
SHARDED_LAYOUT = LAYOUT + 1


class LayoutError(RefusedError):
    """Lake of another layout."""


@dataclass(frozen=True)
class Identity:
    """Identity of a lake, or of the common URL of shards, as `_lake.json` holds it.

    Attributes:
        api: URL of the API or stream that fills the lake, without a password; of a network, its name with `network:`.
        shard: which shard it is, as `Shard.told` returns it; None for a lake without shards.
        network: the network that has its shards below this URL, which holds no readings itself; None for a lake.
    """

    api: str
    shard: Mapping[str, Any] | None = None
    network: str | None = None


def claim(store: Store, url: str, shard: "Shard | None" = None) -> None:
    """Make sure that this lake is filled from this API or stream, as this shard; the first claim decides.

    A name and a password in the URL are neither stored nor compared; `places.is_same_source` says what is the same.
    From then on versions that know only an older format leave the lake to this one.

    Raises:
        WrongLakeError: it is filled from another, or is another shard, or one that asks for something else, or a lake
            without shards where there should be a shard, or the other way round.
        NewerFormatError: as for `require_format`.
        LakeError: as for `source`.
    """
    wanted = Identity(split_userinfo(url.rstrip("/"))[0], None if shard is None else shard.told())
    blob = store.read(IDENTITY)
    stored = None if blob is None else _understood(store, blob)
    newest = 1 if blob is None else _format(store, blob)
    found = wanted if stored is None else replace(stored, api=split_userinfo(stored.api)[0])
    # Earlier versions stored the password with the URL.
    if found.network is None and (found != stored or newest < FORMAT):
        with suppress(ConflictError):
            more: dict[str, Any] = {"format": FORMAT} if FORMAT > 1 else {}
            if found.shard is not None:
                more["shard"] = found.shard
            layout = LAYOUT if found.shard is None else SHARDED_LAYOUT
            told = json.dumps({"api": found.api, "layout": layout, **more}).encode()
            store.put(IDENTITY, told, replaces=None if blob is None else blob.meta)
        found = read(store) or found
    _require_same(store, found, wanted)


def claim_network(store: Store, network: str, *, over_a_lake: bool = False) -> None:
    """Make sure that this is the common URL of this network's shards, which ordinary refreshes leave alone.

    Args:
        store: of the common URL.
        network: its name.
        over_a_lake: let the network take the place of a lake without shards, whose readings its shards have.

    Raises:
        WrongLakeError: there is a lake, or another network.
        LakeError: as for `source`.
    """
    blob = store.read(IDENTITY)
    found = None if blob is None else _understood(store, blob)
    if found is None or (over_a_lake and found.network is None):
        with suppress(ConflictError):
            identity = {"api": f"network:{network}", "layout": SHARDED_LAYOUT, "network": network}
            store.put(IDENTITY, json.dumps(identity).encode(), replaces=None if blob is None else blob.meta)
            return
        found = read(store)
    if found is not None and found.network != network:
        is_here = f"holds readings of {found.api}" if found.network is None else f"unites the shards of {found.network}"
        raise WrongLakeError(
            f"{store.url} {is_here} and not the shards of the network {network}: set FLOOD_LAKE_URL to another place, "
            "below which the shards get lakes of their own"
        )


def _require_same(store: Store, found: Identity, wanted: Identity) -> None:
    if found.network is not None:
        raise WrongLakeError(_united(store, found.network))
    if found.shard != wanted.shard:
        raise WrongLakeError(f"the lake {store.url} is {_other_shard(found.shard, wanted.shard)}")
    if not is_same_source(found.api, wanted.api):
        other_place = "set FLOOD_LAKE_URL to another place, or delete the lake"
        remedy = other_place if found.shard is None else f"{_RENAME}, or name the API that it had"
        raise WrongLakeError(
            f"the lake {store.url} holds readings of {found.api} and not of {wanted.api}: {_remedy(found.api)}{remedy}"
        )


_RENAME = "give the shard a new name in the file of the network, and run `flood-assets shards apply`"


def _other_shard(found: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None) -> str:
    """Return what a lake is and what it should have been, and the remedy."""
    from flood_assets.network import described  # noqa: PLC0415 - see the imports above

    if found is None:
        assert wanted is not None  # noqa: S101 - for the type checker: they differ
        return f"no shard, and should be {described(wanted)}: set FLOOD_LAKE_URL to another place"
    if wanted is None:
        return (
            f"{described(found)}, and a refresh without FLOOD_NETWORK would fill it with everything: set FLOOD_NETWORK "
            "to the file of the network, and FLOOD_LAKE_URL to the URL that its shards have in common"
        )
    if (found["name"], found["network"]) == (wanted["name"], wanted["network"]):
        changed = " of other stations" if "digest" in found and "digest" in wanted else ""
        return f"{described(found)}, and should now be {described(wanted)}{changed}: {_RENAME}"
    return (
        f"{described(found)}, and not {described(wanted)}: set FLOOD_LAKE_URL to the place of this network, or "
        "FLOOD_NETWORK to the file of that one"
    )


def _united(store: Store, network: str) -> str:
    return (
        f"{store.url} unites the shards of the network {network} and holds no readings itself: set FLOOD_NETWORK to "
        "the file of this network, and its shards are filled; or set FLOOD_LAKE_URL to another place"
    )


def require_format(store: Store) -> None:
    """Refuse to write a lake that a newer version writes: NewerFormatError; LayoutError for one of another layout.

    A `_lake.json` that cannot be understood says nothing; the next refresh tells of it.
    """
    blob = store.read(IDENTITY)
    if blob is not None:
        with suppress(_DamagedIdentityError):
            _require_lake(store, _understood(store, blob))
            _format(store, blob)


def require_layout(store: Store) -> None:
    """Refuse to read a lake of another layout, or the common URL of shards as a lake: LayoutError."""
    blob = store.read(IDENTITY)
    if blob is not None:
        with suppress(_DamagedIdentityError):
            _require_lake(store, _understood(store, blob))


def _require_lake(store: Store, found: Identity) -> None:
    if found.network is not None:
        raise LayoutError(_united(store, found.network))


def require_api(store: Store) -> None:
    """Refuse to fill from the API a lake that follows a stream, and a URL of shards; WrongLakeError says what does."""
    found = read(store)
    if found is None:
        return
    if found.network is not None:
        raise WrongLakeError(_united(store, found.network))
    if not is_api(found.api):
        raise WrongLakeError(
            f"the lake {store.url} follows the stream {found.api} and is not filled from the API: "
            f"{_remedy(found.api)}set FLOOD_LAKE_URL to another place"
        )


def _remedy(found: str | None) -> str:
    return "" if found is None or is_api(found) else f"`flood-assets consume {found}` fills it; "


def source(store: Store) -> str | None:
    """Return the URL of the API or stream that the lake is filled from; None and errors as for `of_lake`."""
    found = of_lake(store)
    return None if found is None else found.api


def of_lake(store: Store) -> Identity | None:
    """Return what `_lake.json` says of a lake; None as long as nobody has claimed it.

    Raises:
        LakeError: it has another layout, or its `_lake.json` cannot be read, or there is no lake but shards.
    """
    found = read(store)
    if found is not None:
        _require_lake(store, found)
    return found


def read(store: Store) -> Identity | None:
    """Return what `_lake.json` says of a lake, or of the common URL of shards; None as long as nobody has claimed it.

    Raises:
        LakeError: it has another layout, or its `_lake.json` cannot be read.
    """
    blob = store.read(IDENTITY)
    if blob is None:
        return None
    found = _understood(store, blob)
    return replace(found, api=split_userinfo(found.api)[0])


class _DamagedIdentityError(LakeError):
    pass


def _format(store: Store, blob: Blob) -> int:
    """Return the format that `_lake.json` holds; NewerFormatError if it is none that this version writes."""
    found = json.loads(blob.data.to_pybytes()).get("format", 1)
    if not isinstance(found, int) or found > FORMAT:
        raise NewerFormatError(f"{store.url}/{IDENTITY}", found)
    return found


def _understood(store: Store, blob: Blob) -> Identity:
    """Return what `_lake.json` says; errors as for `read`."""
    place = f"{store.url}/{IDENTITY}"
    try:
        told = json.loads(blob.data.to_pybytes())
        api, layout, shard, network = told["api"], told["layout"], told.get("shard"), told.get("network")
        if not isinstance(api, str) or not isinstance(layout, int):
            raise TypeError("'api' must be text and 'layout' a number")  # noqa: TRY301 - one message for all of it
        if shard is not None and not {"name", "network"} <= dict(shard).keys():
            raise TypeError("'shard' must have 'name' and 'network'")  # noqa: TRY301
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _DamagedIdentityError(
            f"{place} cannot be understood ({error}): delete it, and the next refresh writes it anew"
        ) from error
    expected = LAYOUT if shard is None and network is None else SHARDED_LAYOUT
    if layout > expected:
        raise LayoutError(f"{place} says layout {layout}; this version knows {expected}: upgrade flood_assets")
    if layout < expected:
        raise LayoutError(
            f"{store.url} is a lake of layout {layout}, and this version writes layout {LAYOUT}: set FLOOD_LAKE_URL to "
            "a new place; the next refresh fills it from the API in two requests, then delete the old lake"
        )
    return Identity(api, shard, network)
