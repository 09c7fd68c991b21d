"""Find out what a URL is: that of a lake, or of the shards of a network, which may be others after a while."""

from collections.abc import Iterable

from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import NETWORK_KEY
from flood_assets.lake.members import Members, members
from flood_assets.lake.store import Store
from flood_assets.lake.within import Root, Within
from flood_assets.places import SHARD_FOLDER


def lakes_at(store: Store) -> dict[str, str]:
    """Return the URLs of the lakes of the shards below a store's, by name; its own, by no name, if there are none.

    Raises:
        LakeError: what the shards are cannot be read.
    """
    found = members(store)
    return {"": store.url} if found is None else {name: f"{store.url}/{SHARD_FOLDER}{name}" for name in found.names}


class Known:
    """Knowledge of a URL: shards, a lake without shards, or neither yet."""

    def __init__(self, store: Store, root: Lake) -> None:
        self.store, self.root = store, root
        self.decided, self.network = False, ""
        self.shards: dict[str, Lake] = {}
        self._found: Members | None = None
        self._missed = 0

    @property
    def at_root(self) -> bool:
        """True once something of a lake was found at the URL itself."""
        return isinstance(self.root.store, Root) and self.root.store.found

    def missed(self, keys: Iterable[str]) -> bool:
        """Return True if one of some objects was looked for at the URL itself, and was not there."""
        return isinstance(self.root.store, Root) and not self.root.store.missed.isdisjoint(keys)

    def decide(self, *, gone: bool = False) -> bool:
        """Return True if there are shards; to be called once something was asked of the lake at the root.

        It is found out when nothing of a lake was found there, or with `gone`: one request, and another one only once
        something else was not there.
        """
        missed = len(self.root.store.missed) if isinstance(self.root.store, Root) else 0
        if (gone or not self.at_root) and (self.store.local or not self.decided or missed > self._missed):
            self._missed = missed
            found = members(self.store)
            if found is not None:
                self.take(found)
            self.decided = True
        return bool(self.shards)

    def misses(self) -> int:
        """Return how often something was looked for in a shard and was not there, or a folder was listed."""
        return sum(lake.store.misses for lake in self.shards.values() if isinstance(lake.store, Within))

    def replaced(self) -> Members | None:
        """Return the shards that readers unite by now, if they are not those that are read here.

        Raises:
            LakeError: what they are cannot be read, or is said no longer.
        """
        found = members(self.store)
        if found is None:
            raise LakeError(
                f"{self.store.url}/{NETWORK_KEY} is gone: rows of the shards {', '.join(self.shards)} may be missing; "
                "`flood-assets refresh` with FLOOD_NETWORK writes it anew"
            )
        return None if found == self._found else found

    def take(self, found: Members) -> None:
        """Read these shards from now on, and write nothing."""
        assert isinstance(self.root.store, Root)  # noqa: S101 - for the type checker
        self.decided, self.network, self._found = True, found.network, found
        self.shards = {name: Lake(Within(self.store, f"{SHARD_FOLDER}{name}")) for name in found.names}
        self.root.store.refuses = (
            f"{self.store.url} could not be written: it unites the shards {', '.join(found.names)} of the network "
            f"{found.network}; write the lake of one of them, such as {self.store.url}/{SHARD_FOLDER}{found.names[0]}"
        )
