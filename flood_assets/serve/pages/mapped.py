"""Make the data that the map draws, for its script only: where each station is, and its band.

Places change with the list of stations, once a day or less, and bands every quarter of an hour: they are two files, so
that an open map follows by a kilobyte or two. What a mark says is asked for when somebody points at it.
"""

from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from flood_assets.grouping import Floats
from flood_assets.query.conditions import BANDS
from flood_assets.serve.bodies import Body
from flood_assets.serve.errors import BadRequestError
from flood_assets.serve.pages.overview import Overview
from flood_assets.serve.snapshot import Snapshot

# Of a degree: 11 m.
_DECIMALS = 4
# By band + 1.
_DIGITS = np.array([f"{place}" for place in range(len(BANDS) + 1)])
_DAY_S = 24 * 3600


def bands(snapshot: Snapshot, now: datetime) -> Body:
    """Return the band of each station, in the order of the list: a digit, 0 for none, else its place in `BANDS` + 1."""
    seen = Overview.of(snapshot, now)
    said = {"list": seen.name, "bands": "".join(_DIGITS[seen.band + 1].tolist())}
    return _body(said, snapshot, seen, now, {})


def places(snapshot: Snapshot, now: datetime, name: str) -> Body:
    """Return the position of each station in ten-thousandths of a degree from an origin; null without one.

    Asked for by the newest list's name they may be kept for a day; of another name they are those of the newest list.
    """
    seen = Overview.of(snapshot, now)
    kept = f"public, max-age={_DAY_S}, immutable" if name == seen.name else "no-cache"
    said = {"list": seen.name, "lat": _from_origin(seen.lat), "long": _from_origin(seen.long)}
    return _body(said, snapshot, seen, now, {"cache-control": kept})


def place_in(seen: Overview, name: str, place: str) -> int:
    """Return the row of a station by its place in a list.

    Raises:
        BadRequestError: it is another list, or has no such place.
    """
    if name != seen.name:
        raise BadRequestError(f"list is '{name[:40]}': the newest is '{seen.name}', as /map.json says")
    if not (place.isascii() and place.isdigit() and len(place) < 9 and int(place) < len(seen.stations)):
        raise BadRequestError(f"place is '{place[:40]}': the list has {len(seen.stations)} stations, counted from 0")
    return int(place)


def _from_origin(degrees: Floats) -> dict[str, Any]:
    there = np.isfinite(degrees)
    scaled = np.round(np.where(there, degrees, 0) * 10**_DECIMALS).astype(np.int64)
    origin = int(scaled[there].min()) if there.any() else 0
    return {
        "origin": origin,
        "from": [at if known else None for at, known in zip((scaled - origin).tolist(), there.tolist(), strict=True)],
    }


def _body(said: dict[str, Any], snapshot: Snapshot, seen: Overview, now: datetime, headers: dict[str, str]) -> Body:
    made = Body(msgspec.json.encode(said), "application/json", snapshot.cut(now), seen.until, headers)
    # Every browser asks for it compressed.
    assert made.gzipped  # noqa: S101
    return made
