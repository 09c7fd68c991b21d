"""Remember which shards the lakes below one URL are: `_network.json`, which readers unite and every refresh asks.

Only `flood-assets shards` changes it, once the new shards are filled; see `flood_assets.network` for the file of a
network, from which it is made.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flood_assets.errors import LakeError
from flood_assets.lake.identity import claim_network
from flood_assets.lake.layout import NETWORK_KEY
from flood_assets.lake.objects import ConflictError, Meta
from flood_assets.lake.store import Store

if TYPE_CHECKING:  # readers of a lake without shards need nothing of it
    from flood_assets.network import Network


@dataclass(frozen=True)
class Members:
    """The shards that readers unite.

    Attributes:
        network: the network's name.
        shards: name and scope of each, and the URL of its API without its password, as `network.Network.told` says.
        meta: the object that says so.
    """

    network: str
    shards: tuple[dict[str, Any], ...]
    meta: Meta

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the shards, in the order of the file."""
        return tuple(each["name"] for each in self.shards)


def members(store: Store) -> Members | None:
    """Return the shards below a common URL; None if there is a lake without shards, or nothing.

    Raises:
        LakeError: the object cannot be read or understood.
    """
    blob = store.read(NETWORK_KEY)
    if blob is None:
        return None
    try:
        found = json.loads(blob.data.to_pybytes())
        network, shards = found["network"], tuple(found["shards"])
        if not shards or not all(isinstance(each["name"], str) for each in shards):
            raise ValueError("no shards")  # noqa: TRY301 - one message for all of it
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(
            f"{store.url}/{NETWORK_KEY} cannot be understood ({error}): delete it, and the next refresh of the network "
            "writes it anew"
        ) from error
    return Members(network, shards, blob.meta)


def claim(store: Store, network: "Network") -> None:
    """Make sure that the lakes below a common URL are the shards of this network; the first claim decides.

    Raises:
        NetworkError: they are those of another network, or other shards.
        WrongLakeError: there is a lake without shards.
        LakeError: as for `members`, and if it could not be written.
    """
    found = members(store)
    if found is None:
        # First what keeps an ordinary refresh away.
        claim_network(store, network.name)
        try:
            store.put(NETWORK_KEY, _encoded(network), replaces=None)
        except ConflictError:
            found = members(store)
        else:
            return
    if found is not None and network.told() != {"network": found.network, "shards": [*found.shards]}:
        from flood_assets.network import NetworkError  # noqa: PLC0415 - see the imports above

        described = ", ".join(each.name for each in network.shards)
        raise NetworkError(
            f"{store.url} unites the shards {', '.join(found.names)} of the network {found.network}, and FLOOD_NETWORK "
            f"describes {described} of {network.name}, or asks them for something else: run "
            "`flood-assets shards apply`, which fills what is new before readers change over, or set FLOOD_LAKE_URL to "
            "another place"
        )
    # A change from a lake without shards may have been killed in between: what readers see decides.
    claim_network(store, network.name, over_a_lake=True)


def replace(store: Store, network: "Network", before: Members | None) -> None:
    """Have readers unite other shards from now on, in place of others or of a lake without shards.

    Refreshes of such a lake go on until the caller lets the network take its place (`identity.claim_network`).

    Raises:
        ConflictError: somebody else has changed them since `before` was read.
        LakeError: as for `members`, and if it could not be written.
    """
    store.put(NETWORK_KEY, _encoded(network), replaces=None if before is None else before.meta)


def _encoded(network: "Network") -> bytes:
    return json.dumps(network.told(), indent=1).encode()
