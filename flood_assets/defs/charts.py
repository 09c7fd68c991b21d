"""Small charts for the metadata of materializations: SVG of some kilobytes, and tables.

They are coarse on purpose, as Dagster's database keeps one with every event; plots for analysis belong in a notebook.
"""

import base64
from collections.abc import Sequence

import dagster as dg
import numpy as np
import numpy.typing as npt
import pyarrow as pa

_FONT = 'font-family="sans-serif" font-size="11"'
_INK, _PALE, _BLUE = "#37474f", "#cfd8dc", "#1565c0"

# Upper limits in minutes, and the label under the bar.
_AGES = ((15, "15 min"), (30, "30 min"), (60, "1 h"), (120, "2 h"), (240, "4 h"), (480, "8 h"), (1440, "24 h"))


def freshness(ages_minutes: npt.NDArray[np.float64]) -> dg.MarkdownMetadataValue:
    """Draw bars: measures by the age of their newest reading.

    Args:
        ages_minutes: one number per measure; more than 24 hours counts as silent.
    """
    edges = [0.0, *(end for end, _ in _AGES), np.inf]
    # A reading dated a little in the future is fresh.
    counts, _ = np.histogram(np.maximum(ages_minutes, 0), bins=edges)
    labels = [label for _, label in _AGES] + ["silent"]
    top = max(int(counts.max()), 1)
    bars = []
    for i, (count, label) in enumerate(zip(counts.tolist(), labels, strict=True)):
        height = 90 * count / top
        x = 10 + i * 60
        bars.append(
            f'<rect x="{x}" y="{120 - height:.1f}" width="46" height="{height:.1f}" fill="{_BLUE}"/>'
            f'<text x="{x + 23}" y="{114 - height:.1f}" text-anchor="middle">{count:,}</text>'
            f'<text x="{x + 23}" y="136" text-anchor="middle">{label}</text>'
        )
    title = '<text x="10" y="14" font-weight="bold">Measures by the age of their newest reading, up to</text>'
    return _markdown(500, 144, title + "".join(bars), "freshness of the measures")


def map_of_stations(stations: pa.Table) -> dg.MarkdownMetadataValue:
    """Draw a map: a dot for each cell of some kilometres that has a station.

    Args:
        stations: lat, long without nulls.
    """
    lat, long = stations["lat"].to_numpy(), stations["long"].to_numpy()
    # A degree of longitude is 0.6 of one of latitude at 53 degrees north.
    x = np.round((long + 6.5) * 0.6 * 40).astype(int)
    y = np.round((56 - lat) * 40).astype(int)
    inside = (x >= 0) & (x <= 210) & (y >= 0) & (y <= 250)
    cells = np.unique(np.stack([y[inside], x[inside]], axis=1), axis=0)
    at, path = (0, 0), []
    for row, column in cells.tolist():
        path.append(f"m{column - at[1]} {row - at[0]}h0")
        at = (row, column)
    dots = f'<path d="M0 0{"".join(path)}" stroke="{_BLUE}" stroke-width="1.4" stroke-linecap="round" fill="none"/>'
    title = f'<text x="4" y="14" font-weight="bold">{len(stations):,} stations with coordinates</text>'
    return _markdown(420, 520, f'{title}<g transform="translate(0 10) scale(2)">{dots}</g>', "map of the stations")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """Return a Markdown table of a few rows."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = ("" if cell is None else str(cell).replace("|", "\\|") for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def _markdown(width: int, height: int, content: str, alternative: str) -> dg.MarkdownMetadataValue:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<rect width="{width}" height="{height}" fill="#fff" stroke="{_PALE}"/>'
        f'<g {_FONT} fill="{_INK}">{content}</g></svg>'
    )
    return dg.MetadataValue.md(f"![{alternative}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})")
