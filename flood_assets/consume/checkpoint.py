"""Remember how far a stream was read, in one object of the lake, `_consumed/{stream}.json`.

It moves forward only, by compare-and-swap, and after the records are safe: of two consumers at once each may take what
the other has taken, and nothing is left out. Positions count for the stream and the lake that they were made with. If
the stream was made anew, or readings of the lake were lost since, it is read again from its beginning.
"""

from collections.abc import Mapping

import msgspec

from flood_assets.consume.stream import Position
from flood_assets.errors import LakeError
from flood_assets.lake.layout import consumed_key
from flood_assets.lake.objects import Blob
from flood_assets.lake.store import Revision, Store


class Checkpoint(msgspec.Struct, frozen=True):
    """The positions in a stream.

    Attributes:
        stream: its identity.
        loss: the loss of stored readings that they follow; empty before the first.
        places: position by shard or partition.
    """

    stream: str
    loss: str
    places: Mapping[str, Position] = {}

    def holds(self, other: "Checkpoint") -> bool:
        """Return True if both are of the same stream and lake."""
        return (self.stream, self.loss) == (other.stream, other.loss)


def begin(store: Store, stream: str, fresh: Checkpoint) -> tuple[Checkpoint, Checkpoint | None]:
    """Return the checkpoint to go on from, and the one that does not count any more.

    Args:
        store: the lake's.
        stream: name of the stream.
        fresh: what is stored if there is none, or one of another stream or before a loss.

    Raises:
        LakeError: the lake could not be read or written.
    """

    def begun(blob: Blob | None) -> Revision[tuple[Checkpoint, Checkpoint | None]]:
        stored = _decoded(store, blob)
        if stored is not None and stored.holds(fresh):
            return Revision(None, (stored, None))
        return Revision(msgspec.json.encode(fresh), (fresh, stored))

    return store.update(consumed_key(stream), begun)


def advance(store: Store, stream: str, at: Checkpoint, places: Mapping[str, Position]) -> bool:
    """Move positions forward; return False if those that the reading began with do not count any more.

    Args:
        store: the lake's.
        stream: name of the stream.
        at: as `begin` returned it.
        places: the positions of the places that were read.
    """

    def moved(blob: Blob | None) -> Revision[bool]:
        stored = _decoded(store, blob)
        if stored is None or not stored.holds(at):
            return Revision(None, False)
        further = {
            place: position.and_(stored.places[place]) if place in stored.places else position
            for place, position in places.items()
        }
        new = msgspec.structs.replace(stored, places={**stored.places, **further})
        return Revision(None if new == stored else msgspec.json.encode(new), True)

    return store.update(consumed_key(stream), moved)


def _decoded(store: Store, blob: Blob | None) -> Checkpoint | None:
    if blob is None:
        return None
    try:
        return msgspec.json.decode(blob.data.to_pybytes(), type=Checkpoint)
    except ValueError as error:
        raise LakeError(
            f"{store.url}/{blob.meta.key} is damaged ({error}): delete it, and the stream is read again from its "
            "beginning"
        ) from error
