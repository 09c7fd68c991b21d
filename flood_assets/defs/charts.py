"""Small pictures for the metadata of a materialization: SVG, drawn here, some kilobytes each.

They live in Dagster's database with every event, so they are coarse on purpose; plots for people who work with the
data are made in a notebook.
"""

import base64
from collections.abc import Sequence
from html import escape

import dagster as dg
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_FONT = 'font-family="sans-serif" font-size="11"'
_INK, _PALE, _BLUE = "#37474f", "#cfd8dc", "#1565c0"
_COLOURS = ("#1565c0", "#00838f", "#6a1b9a", "#ef6c00", "#2e7d32")

# Upper ends in minutes, and what to write under the bar.
_AGES = ((15, "15 min"), (30, "30 min"), (60, "1 h"), (120, "2 h"), (240, "4 h"), (480, "8 h"), (1440, "24 h"))


def freshness(ages_minutes: npt.NDArray[np.float64]) -> dg.MarkdownMetadataValue:
    """Bars: how old the newest reading of each measure is.

    Args:
        ages_minutes: one number a measure; older than a day counts as silent.
    """
    edges = [0.0, *(end for end, _ in _AGES), np.inf]
    # A reading from a little in the future is a fresh one.
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


def liveliest(rows: pa.Table, most: int = 5) -> dg.MarkdownMetadataValue:
    """Lines: the gauges that moved most against their own level, each on a scale of its own.

    Args:
        rows: measure_id, date_time, value; in any order.
        most: how many gauges to draw.
    """
    rows = rows.select(["measure_id", "date_time", "value"])
    rows = rows.filter(pc.is_valid(rows["value"]))
    extent = rows.group_by("measure_id").aggregate([("value", "min"), ("value", "max"), ("value", "count")])
    low, high = extent["value_min"].to_numpy(), extent["value_max"].to_numpy()
    # Rain at a dry gauge has no scale; a metre is a fair floor for "moved a lot" in every unit that occurs.
    score = (high - low) / (1 + np.abs(low)) * (extent["value_count"].to_numpy() > 3)
    chosen = np.argsort(-score, kind="stable")[:most]
    first, last = (_seconds(pc.min(rows["date_time"])), _seconds(pc.max(rows["date_time"]))) if len(rows) else (0, 1)
    drawn = []
    for i, index in enumerate(chosen.tolist()):
        measure = extent["measure_id"][index].as_py()
        line = rows.filter(pc.equal(rows["measure_id"], measure)).sort_by("date_time")
        at = line["date_time"].cast(pa.int64()).to_numpy() / 1000
        # A hundred points are more than a line of this width shows.
        step = max(1, len(line) // 100)
        x = 10 + 300 * (at[::step] - first) / max(last - first, 1)
        span = max(high[index] - low[index], 1e-9)
        y = 36 + i * 44 - 26 * (line["value"].to_numpy()[::step] - low[index]) / span
        points = " ".join(f"{px:.0f},{py:.0f}" for px, py in zip(x, y, strict=True))
        colour = _COLOURS[i % len(_COLOURS)]
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
            f'<text x="320" y="{24 + i * 44}">{escape(str(measure))}</text>'
            f'<text x="320" y="{38 + i * 44}" fill="#78909c">{low[index]:g} to {high[index]:g}</text>'
        )
    return _markdown(700, 20 + 44 * max(len(drawn), 1), "".join(drawn), "the gauges that moved most")


def map_of_stations(stations: pa.Table) -> dg.MarkdownMetadataValue:
    """Dots: where the stations are, on a grid of some kilometres.

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
    """A preview table of a few rows."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = ("" if cell is None else str(cell).replace("|", "\\|") for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def _seconds(moment: pa.Scalar) -> float:
    return moment.cast(pa.int64()).as_py() / 1000


def _markdown(width: int, height: int, content: str, alternative: str) -> dg.MarkdownMetadataValue:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<rect width="{width}" height="{height}" fill="#fff" stroke="{_PALE}"/>'
        f'<g {_FONT} fill="{_INK}">{content}</g></svg>'
    )
    return dg.MetadataValue.md(f"![{alternative}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})")
