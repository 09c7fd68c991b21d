"""Put a river's page together: its stations from one end to the other, and the list of all rivers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flood_assets.query.conditions import BANDS
from flood_assets.query.names import suggestions
from flood_assets.serve import asked
from flood_assets.serve.choosing import chosen
from flood_assets.serve.pages import words
from flood_assets.serve.pages.overview import Overview
from flood_assets.serve.snapshot import Snapshot

Row = Mapping[str, Any]


@dataclass(frozen=True)
class RiverView:
    """A river as its page shows it.

    Attributes:
        name: as the API gives it.
        stations: in the order that `order` tells.
        order: how they are sorted, in words.
        counts: how many stations have each band, the most severe first.
    """

    name: str
    stations: Sequence[Row]
    order: str
    counts: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Listed:
    """A river of the list: its stations, and how many are above their typical range."""

    name: str
    stations: int
    above: int


def view(snapshot: Snapshot, seen: Overview, name: str) -> RiverView | None:
    """Return a river by its whole name, whatever its letters' size, or by words of it; None without one.

    The API gives no order along a river: its stations are sorted along the longer side of the land that they cover.
    """
    if not len(seen.stations):
        return None
    found = chosen(snapshot, asked.Gauges(river=[name]))
    rows = found.stations
    if rows is None or not len(rows):
        return None
    lat, long = snapshot.lat[rows], snapshot.long[rows]
    placed = np.isfinite(lat) & np.isfinite(long)
    order = "by name"
    along = np.zeros(len(rows))
    if placed.sum() > 1:
        tall, wide = (float(np.ptp(each[placed])) for each in (lat, long * 0.6))
        along, order = (long, "from west to east") if wide >= tall else (-lat, "from north to south")
    by_name = sorted(range(len(rows)), key=lambda at: seen.labels[rows[at]])
    sorting = sorted(by_name, key=lambda at: (not placed[at], along[at] if placed[at] else 0))
    names = Counter(name for name in seen.stations["river"].take(rows).to_pylist() if name)
    bands = [BANDS[each] if each >= 0 else None for each in seen.band[rows].tolist()]
    return RiverView(
        names.most_common(1)[0][0] if len(names) == 1 else name,
        [seen.row(int(rows[at])) for at in sorting],
        order,
        [(said, bands.count(band)) for band, said in words.BANDS.items()],
    )


def similar(seen: Overview, name: str) -> str:
    """Return a sentence with the names of similar rivers."""
    known = [river for river in seen.stations["river"].unique().to_pylist() if river]
    return suggestions("river", [name], sorted(known))[0]


def rivers(seen: Overview) -> list[Listed]:
    """Return all rivers by name."""
    names = seen.stations["river"].to_pylist()
    high = (seen.band >= BANDS.index("above")).tolist()
    count = Counter(name for name in names if name)
    above = Counter(name for name, is_high in zip(names, high, strict=True) if name and is_high)
    return [Listed(name, count[name], above[name]) for name in sorted(count, key=str.casefold)]
