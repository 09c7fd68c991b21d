"""A folder that is read as a bucket is, without a server: it counts requests, and parts of it can be away."""

from pathlib import Path

from flood_assets.errors import LakeError
from flood_assets.lake.folder import Folder
from flood_assets.lake.lake import Lake


class Bucketlike(Folder):
    """Objects that are not local.

    Attributes:
        asked: the requests so far, such as "get _network.json".
        away: folders below which nothing can be read.
    """

    local = False

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder.as_uri(), folder)
        self.asked: list[str] = []
        self.away: tuple[str, ...] = ()

    def get(self, key, *, whole_up_to=None):
        self._ask("get", key)
        return super().get(key, whole_up_to=whole_up_to)

    def head(self, key):
        self._ask("head", key)
        return super().head(key)

    def list(self, prefix):
        self._ask("list", prefix)
        if prefix == "" and self.away:
            raise LakeError(f"{self.url} could not be listed: access denied")
        return super().list(prefix)

    def _ask(self, what: str, key: str) -> None:
        self.asked.append(f"{what} {key}")
        if key.startswith(self.away) and self.away:
            raise LakeError(f"{self.url}/{key} could not be read: access denied")


def bucketlike(folder: Path) -> Lake:
    """Return the lake in a folder, read as from a bucket; its store is a `Bucketlike`."""
    return Lake(Bucketlike(folder))
