"""Maps for the metadata of materializations, without an outline of the country: its gauges draw the shape.

As the charts, they are SVG of some kilobytes and coarse on purpose.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.defs.charts import picture
from flood_assets.grouping import Ints
from flood_assets.partitions import london

_BLUE, _LAND = "#1565c0", "#e3e8ea"
# Pixels of the map: 80 a degree of latitude, which is 1.4 km a pixel.
_WIDTH, _HEIGHT, _SCALE = 420, 500, 80
_WEST, _NORTH = -6.5, 56
# Pixels of a cell that is land if it has a station; cells between two of a row that are no further apart are land too.
_CELL, _GAP = 8, 4


class _Mark(NamedTuple):
    """Shape of a band on the map.

    Attributes:
        start: where it begins, from its centre.
        outline: the rest of it, back to where it begins.
        style: colours and widths.
        meaning: words for the legend.
    """

    start: tuple[int, int]
    outline: str
    style: str
    meaning: str


# From the least to the most important, which is drawn last. Each has a shape of its own, as one man in twelve cannot
# tell all colours.
_MARKS = {
    "normal": _Mark(
        (0, 0),
        "h0",
        'fill="none" stroke="#78909c" stroke-width="3.4" stroke-linecap="round"',
        "within the typical range",
    ),
    "below": _Mark((-4, -3), "h8l-4 7z", 'fill="#fff" stroke="#a15c00" stroke-width="1.4"', "below the typical range"),
    "above": _Mark((-5, 4), "h10l-5 -9z", 'fill="#0b5fae" stroke="#fff" stroke-width="0.5"', "above the typical range"),
    "record": _Mark(
        (-7, 0), "l7 -8l7 8l-7 8z", 'fill="#d50000" stroke="#000" stroke-width="1.4"', "above the highest on record"
    ),
}
_OTHERS = _Mark((-4, 0), "h8", f'stroke="{_LAND}" stroke-width="{_CELL}"', "without a range or a reading")


def map_of_stations(stations: pa.Table) -> dg.MarkdownMetadataValue:
    """Draw a dot for each cell of some kilometres that has a station (lat, long without nulls)."""
    cells = np.unique(_placed(stations)[1] // 2, axis=0)
    path = _path(cells, _MARKS["normal"])
    dots = f'<path d="{path}" stroke="{_BLUE}" stroke-width="1.4" stroke-linecap="round" fill="none"/>'
    title = f'<text x="4" y="14" font-weight="bold">{len(stations):,} stations with coordinates</text>'
    content = f'{title}<g transform="translate(0 10) scale(2)">{dots}</g>'
    return picture(_WIDTH, _HEIGHT + 20, content, "map of the stations")


def map_of_conditions(rows: pa.Table, stations: pa.Table, now: datetime) -> dg.MarkdownMetadataValue:
    """Draw each gauge with a band at its station, by shape and colour, on the land that all stations make.

    Args:
        rows: schema `schemas.CONDITIONS`.
        stations: the newest snapshot.
        now: the time of the conditions, for the title.
    """
    placed, at = _placed(stations.filter(pc.is_valid(stations["lat"])))
    drawn = [f'<path d="{_land(at)}" stroke="{_LAND}" stroke-width="{_CELL}" fill="none"/>']
    legend: list[tuple[_Mark, int]] = []
    for band, mark in _MARKS.items():
        these = rows.filter(pc.equal(rows["band"], band))
        station = pc.index_in(these["station_id"], value_set=placed["station_id"].combine_chunks()).drop_null()
        points = np.unique(at[station.to_numpy()], axis=0)
        drawn.append(f'<path class="{band}" d="{_path(points, mark)}" {mark.style}/>')
        legend.insert(0, (mark, len(these)))
    legend.append((_OTHERS, len(rows) - sum(count for _, count in legend)))
    local = now.astimezone(london())
    lines = [
        '<text x="10" y="20" font-weight="bold" font-size="13">River levels against their typical range</text>',
        f'<text x="10" y="37">{local:%a %d %b %H:%M %Z} ({now:%H:%M} UTC)</text>',
        f'<g transform="translate(0 40)">{"".join(drawn)}</g>',
        *_legend(legend),
    ]
    return picture(_WIDTH + 190, _HEIGHT + 50, "".join(lines), "map of the conditions")


def _legend(entries: Sequence[tuple[_Mark, int]]) -> list[str]:
    """Return a line for each mark: itself, how many there are, and what it means."""
    lines = []
    for number, (mark, count) in enumerate(entries):
        y = 66 + 24 * number
        lines.append(
            f'<path d="{_path(np.array([[y, _WIDTH - 50]]), mark)}" {mark.style}/>'
            f'<text x="{_WIDTH - 2}" y="{y + 4}" text-anchor="end" font-weight="bold">{count:,}</text>'
            f'<text x="{_WIDTH + 6}" y="{y + 4}">{mark.meaning}</text>'
        )
    return lines


def _placed(stations: pa.Table) -> tuple[pa.Table, Ints]:
    """Return the stations that lie on the map, and the row and column of each in pixels."""
    lat, long = stations["lat"].to_numpy(), stations["long"].to_numpy()
    # A degree of longitude is 0.6 of one of latitude at 53 degrees north.
    at = np.stack([(_NORTH - lat) * _SCALE, (long - _WEST) * 0.6 * _SCALE], axis=1)
    inside = ((at >= 0) & (at <= (_HEIGHT, _WIDTH))).all(axis=1)
    return stations.filter(pa.array(inside)), np.round(at[inside]).astype(np.int64)


def _path(points: Ints, mark: _Mark) -> str:
    """Return a path with a mark at each point (row, column), each from where the one before began."""
    (dx, dy), at, found = mark.start, (0, 0), ["M0 0"]
    for row, column in points.tolist():
        found.append(f"m{column + dx - at[1]} {row + dy - at[0]}{mark.outline}")
        at = (row + dy, column + dx)
    return "".join(found)


def _land(at: Ints) -> str:
    """Return a path of the cells that have a station, and of small gaps in a row, as horizontal lines."""
    cells = np.unique(at // _CELL, axis=0)
    row, column = cells.T
    apart = (np.diff(row) != 0) | (np.diff(column) > _GAP)
    first, last = np.append([True], apart)[: len(cells)], np.append(apart, [True])[: len(cells)]
    return "".join(
        f"M{begin * _CELL} {y * _CELL + _CELL // 2}h{(end + 1 - begin) * _CELL}"
        for y, begin, end in zip(row[first].tolist(), column[first].tolist(), column[last].tolist(), strict=True)
    )
