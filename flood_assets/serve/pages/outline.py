"""Draw the map as a picture, for browsers without script: the coast, and a mark for each station by its band."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec
import numpy as np

from flood_assets.grouping import Floats, Ints
from flood_assets.query.conditions import BANDS
from flood_assets.serve.pages import words
from flood_assets.serve.pages.overview import Overview
from flood_assets.serve.pages.static import FOLDER

# 90 units a degree of latitude; a degree of longitude is 0.6 of one at 53 degrees north.
_SCALE, _NORTH, _WEST = 90, 55.95, -6.4
WIDTH, HEIGHT = 500, 560
# From the least to the most important, which is drawn last: where a mark begins, its outline, its style.
_MARKS = {
    None: (0, 0, "h0", 'stroke="#8494a1" stroke-width="2.6" stroke-linecap="round"'),
    "normal": (0, 0, "h0", 'stroke="#4d6780" stroke-width="3.4" stroke-linecap="round"'),
    "below": (-4, -3, "h8l-4 7z", 'fill="#fff" stroke="#8a4b00" stroke-width="1.6"'),
    "above": (-6, 5, "h12l-6 -11z", 'fill="#0b5fae" stroke="#fff" stroke-width="1"'),
    "record": (-8, 0, "l8 -9l8 9l-8 9z", 'fill="#c1121f" stroke="#000" stroke-width="1.4"'),
}


def outline(seen: Overview) -> bytes:
    """Return the map as SVG."""
    lat, long = (np.asarray(seen.stations[name].to_numpy(), np.float64) for name in ("lat", "long"))
    drawn = []
    for band, (x, y, shape, style) in _MARKS.items():
        code = -1 if band is None else BANDS.index(band)
        points = np.unique(_at(lat[seen.placed & (seen.band == code)], long[seen.placed & (seen.band == code)]), axis=0)
        path = "".join(f"M{px + x} {py + y}{shape}" for px, py in points.tolist())
        drawn.append(f'<path d="{path}" {style}/>' if path else "")
    said = "England's gauges by band; the list on this page says the same in words"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f'<title>{said}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="#dfe9f0"/>'
        f'<path d="{_coast()}" fill="#fbfbf8" stroke="#9aa9b5" stroke-width="1"/>{"".join(drawn)}</svg>'
    ).encode()


def mark(band: str) -> str:
    """Return the mark of a band as the content of a small SVG of 20 by 20, for lists and legends."""
    x, y, shape, style = _MARKS[band]
    # A dot would be too small among words.
    style = style.replace('width="3.4"', 'width="8"')
    return f'<path d="M{10 + x} {10 + y}{shape}" {style}/>'


MARKS = {band: mark(band) for band in words.BANDS}


@lru_cache(maxsize=1)
def _coast() -> str:
    coast = msgspec.json.decode((FOLDER / "coast.json").read_bytes())
    rings = [
        ring for feature in coast["features"] for polygon in feature["geometry"]["coordinates"] for ring in polygon
    ]
    return "".join(_ring(ring) for ring in rings)


def _ring(ring: Sequence[Sequence[float]]) -> str:
    """Return an island or lake, coarse; empty for one that is smaller than a few units."""
    points = np.array(ring)
    found = list(_distinct(_at(points[:, 1], points[:, 0])))
    inside = any(-50 < x < WIDTH + 50 and -50 < y < HEIGHT + 50 for x, y in found)
    return f"M{'L'.join(f'{x} {y}' for x, y in found)}Z" if len(found) > 3 and inside else ""


def _distinct(points: Ints) -> Iterator[tuple[int, int]]:
    before = None
    for x, y in points.tolist():
        if before is None or abs(x - before[0]) + abs(y - before[1]) > 1:
            before = (x, y)
            yield before


def _at(lat: Floats, long: Floats) -> Ints:
    """Return the places of points in the picture."""
    x, y = (long - _WEST) * 0.6 * _SCALE, (_NORTH - lat) * _SCALE
    return np.round(np.stack([x, y], axis=1)).astype(np.int64)
