"""Watermarks: per measure, the time up to which everything the API published is stored.

Kept as one small object beside the tables and written after the windows: a run that is killed leaves the watermarks
behind what is stored, and the next one asks again for what is there already, which changes nothing. What a watermark
means for the next request is in `flood_assets.ea.plan`.

The object also says when the API was asked for what (`Asked`): without it, a missing reading could be the gauge's fault
or ours. What follows from it is in `flood_assets.ledger`.
"""

import json
import logging
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import ranks
from flood_assets.lake.layout import WATERMARKS_KEY
from flood_assets.lake.objects import Blob
from flood_assets.lake.parquet import pack, unpack
from flood_assets.lake.store import Revision, Store
from flood_assets.partitions import EPOCH, cutoff, from_ms, is_expired, to_ms, window_of
from flood_assets.schemas import TIME, WATERMARKS

logger = logging.getLogger("flood_assets.lake")

_SAID = _AS_OF, _ASKED, _LOSS, _FORGOTTEN = b"as_of_ms", b"asked", b"loss", b"forgotten"
_SUM = b"sum"


@dataclass(frozen=True)
class Asked:
    """Requests to the API over the retained day, and when they were made.

    Attributes:
        polls: moments at which it was asked where every measure stands, and for all that was new of those that could be
            asked; oldest first.
        read: windows that were read whole, and when that was last begun.
        behind: measures that the latest poll showed to have more than could be had, and the newest time that it showed.
    """

    polls: tuple[datetime, ...] = ()
    read: Mapping[datetime, datetime] = field(default_factory=dict)
    behind: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def last(self) -> datetime | None:
        """The time of the last request for the newest readings: a poll, or one for the window that was filling then."""
        filling = [at for window, at in self.read.items() if window == window_of(at)]
        return max((*self.polls[-1:], *filling), default=None)

    @classmethod
    def once(
        cls, at: datetime, *, polled: bool, read: Iterable[datetime] = (), behind: Mapping[str, datetime] | None = None
    ) -> "Asked":
        """Return the requests of one fetch, which began at `at`."""
        at = from_ms(to_ms(at))
        return cls((at,) if polled else (), dict.fromkeys(read, at), behind or {})

    def then(self, later: "Asked", now: datetime) -> "Asked":
        """Return both, without what is older than a day."""
        polls = sorted({poll for poll in (*self.polls, *later.polls) if poll > cutoff(now)})
        read = {
            window: max(asked.read[window] for asked in (self, later) if window in asked.read)
            for window in sorted({*self.read, *later.read})
            if not is_expired(window, now)
        }
        newer = later.polls and (not self.polls or later.polls[-1] >= self.polls[-1])
        return Asked(tuple(polls), read, later.behind if newer else self.behind)


@dataclass(frozen=True)
class Watermarks:
    """The watermarks of all measures.

    Attributes:
        rows: schema `WATERMARKS`, one row a measure, sorted.
        as_of: when the API was asked last.
        asked: what for.
        loss: which loss of stored readings they follow; empty before the first.
        forgotten: whether nothing was read whole since that loss: there are no watermarks to compare anything with.
    """

    rows: pa.Table
    as_of: datetime
    asked: Asked = field(default_factory=Asked)
    loss: str = ""
    forgotten: bool = False


def load(store: Store) -> Watermarks | None:
    """Return the lake's watermarks; None when it has none or they are damaged, which re-reading the day repairs."""
    return _decoded(store, store.read(WATERMARKS_KEY))


def loss_of(store: Store) -> str:
    """Return which loss of stored readings the watermarks follow; empty before the first."""
    found = load(store)
    return "" if found is None else found.loss


def advance(store: Store, newer: pa.Table, as_of: datetime, asked: Asked | None = None, *, loss: str = "") -> bool:
    """Move the watermarks of the measures in `newer` forward, never back.

    After a loss they move once the whole day was read again, which is when `newer` has rows.

    Args:
        store: the lake's.
        newer: schema `WATERMARKS`. A null `interval_s` leaves the one that is known.
        as_of: when the API was asked for what `newer` follows from.
        asked: what it was asked for then.
        loss: the loss that the watermarks followed before the API was asked.

    Returns:
        False when stored readings were lost since: some that this run relied on may be among them, so no watermark
        moves.
    """

    def moved(blob: Blob | None) -> Revision[bool]:
        stored = _decoded(store, blob)
        known = stored or Watermarks(WATERMARKS.empty_table(), as_of)
        if known.loss != loss:
            return Revision(None, False)
        if known.forgotten and not len(newer):
            return Revision(None, True)
        latest = max(as_of, known.as_of)
        rows = united(known.rows, newer)
        # A watermark older than a day says as much as none: gauges come and go, and this object must not grow.
        rows = rows.filter(pc.greater(rows["newest"], pa.scalar(cutoff(latest), TIME)))
        now = Watermarks(rows, latest, known.asked.then(asked or Asked(), latest), loss)
        return Revision(None if stored == now else _encoded(now), True)

    return store.update(WATERMARKS_KEY, moved)


def forget(store: Store) -> None:
    """Reset the watermarks, so that the lake does not count as complete and the next refresh reads the whole day.

    To be called before stored readings are taken away. A run that is under way, which may have stored some of them,
    cannot `advance` the watermarks afterwards: it started before this loss.
    """

    def nothing(blob: Blob | None) -> Revision[None]:
        stored = _decoded(store, blob)
        as_of = stored.as_of if stored else EPOCH
        reset = Watermarks(WATERMARKS.empty_table(), as_of, loss=uuid.uuid4().hex, forgotten=True)
        return Revision(_encoded(reset), None)

    store.update(WATERMARKS_KEY, nothing)


def united(watermarks: pa.Table, newer: pa.Table) -> pa.Table:
    """Unite both: of each measure the newest time, and the reporting interval that was learnt last."""
    both = pa.concat_tables([watermarks, newer]).combine_chunks()
    ids, code = ranks(both["measure_id"].combine_chunks())
    if code is None:
        return both
    time, interval_s = (both[name].cast(pa.int64()).combine_chunks() for name in ("newest", "interval_s"))
    newest, interval = np.full(len(ids), np.iinfo(np.int64).min), np.full(len(ids), -1, np.int32)
    np.maximum.at(newest, code, time.to_numpy())
    # Of several values for one place numpy keeps the last.
    known = interval_s.is_valid().to_numpy(zero_copy_only=False)
    interval[code[known]] = interval_s.drop_null().to_numpy()
    return pa.table([ids, pa.array(newest).cast(TIME), pa.array(interval, mask=interval < 0)], schema=WATERMARKS)


def _decoded(store: Store, blob: Blob | None) -> Watermarks | None:
    if blob is None:
        return None
    try:
        rows, said = unpack(blob.data)
        if said.get(_SUM, _sum(said)) != _sum(said):
            raise ValueError("what it says of itself has changed")  # noqa: TRY301 - one message for all of it
        return Watermarks(
            rows=rows.cast(WATERMARKS),
            as_of=from_ms(int(said[_AS_OF])),
            asked=_asked(said.get(_ASKED)),
            loss=said.get(_LOSS, b"").decode(),
            forgotten=_FORGOTTEN in said,
        )
    except (pa.ArrowException, OSError, TypeError, KeyError, ValueError, OverflowError) as error:
        logger.error("%s/%s is damaged (%s): the day will be read again", store.url, WATERMARKS_KEY, error)  # noqa: TRY400
        return None


def _encoded(watermarks: Watermarks) -> bytes:
    asked = {
        "polls": [to_ms(poll) for poll in watermarks.asked.polls],
        "read": [[to_ms(window), to_ms(at)] for window, at in watermarks.asked.read.items()],
        "behind": {measure: to_ms(shown) for measure, shown in watermarks.asked.behind.items()},
    }
    said = {
        _AS_OF: str(to_ms(watermarks.as_of)).encode(),
        _ASKED: json.dumps(asked).encode(),
        _LOSS: watermarks.loss.encode(),
    }
    if watermarks.forgotten:
        said[_FORGOTTEN] = b""
    said[_SUM] = _sum(said)
    # Damage that went unseen could put a watermark past readings that were never asked for.
    return pack(watermarks.rows, said)


def _asked(said: bytes | None) -> Asked:
    """Decode the requests; those that an older version did not store count as not made."""
    if said is None:
        return Asked()
    asked = json.loads(said)
    return Asked(
        polls=tuple(from_ms(poll) for poll in asked["polls"]),
        read={from_ms(window): from_ms(at) for window, at in asked["read"]},
        behind={measure: from_ms(shown) for measure, shown in asked["behind"].items()},
    )


def _sum(said: Mapping[bytes, bytes]) -> bytes:
    """Return a checksum of the metadata: the pages have checksums, the footer has none."""
    return f"{zlib.crc32(repr(sorted((k, said[k]) for k in _SAID if k in said)).encode()):08x}".encode()
