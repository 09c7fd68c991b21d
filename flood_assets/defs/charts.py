"""Small charts for the metadata of materializations: SVG of some kilobytes, and tables.

They are coarse on purpose, as Dagster's database keeps one with every event; plots for analysis belong in a notebook.
Maps are in `maps.py`.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

import dagster as dg
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import quality
from flood_assets.partitions import cutoff, from_ms
from flood_assets.quality.kinds import Kind
from flood_assets.schemas import TIME

_FONT = 'font-family="sans-serif" font-size="11"'
_INK, _PALE, _BLUE = "#37474f", "#cfd8dc", "#1565c0"
_COLOURS = (_BLUE, "#00838f", "#6a1b9a", "#ef6c00", "#2e7d32")

_WIDEST_FIRST = [("span", "descending"), ("measure_id", "ascending")]
# Gauges whose readings are tested for a chart, the widest span first: to test a country's takes a second.
_TESTED = 100
# Upper limits in minutes, and the label under the bar.
_AGES = ((15, "15 min"), (30, "30 min"), (60, "1 h"), (120, "2 h"), (240, "4 h"), (480, "8 h"), (1440, "24 h"))


def freshness(ages_minutes: npt.NDArray[np.float64]) -> dg.MarkdownMetadataValue:
    """Draw bars: measures by the age of their newest reading; more than 24 hours counts as silent."""
    edges = [0.0, *(end for end, _ in _AGES), np.inf]
    # A reading dated a little in the future is fresh.
    counts, _ = np.histogram(np.maximum(ages_minutes, 0), bins=edges)
    labels = [f"≤ {label}" for _, label in _AGES] + ["silent"]
    top = max(int(counts.max()), 1)
    bars = []
    for i, (count, label) in enumerate(zip(counts.tolist(), labels, strict=True)):
        x, height = 10 + i * 60, 90 * count / top
        bars.append(
            f'<rect x="{x}" y="{140 - height:.1f}" width="46" height="{height:.1f}" fill="{_BLUE}"/>'
            f'<text x="{x + 23}" y="{134 - height:.1f}" text-anchor="middle">{count:,}</text>'
            f'<text x="{x + 23}" y="156" text-anchor="middle">{label}</text>'
        )
    title = '<text x="10" y="18" font-weight="bold">Measures by age of their newest reading</text>'
    return picture(500, 164, title + "".join(bars), "freshness of the measures")


def liveliest(rows: pa.Table, measures: pa.Table, stations: pa.Table, now: datetime) -> dg.MarkdownMetadataValue:
    """Draw lines: the river levels that moved most, each on its own scale; readings that a test flags are left out.

    Tides move most on any day, and units differ: others than rivers in metres are drawn only if there are none. Without
    a unit that the tests know, no spike is found.

    Args:
        rows: measure_id, date_time, value; in any order.
        measures: the newest snapshot, schema `schemas.MEASURES`.
        stations: likewise, schema `schemas.STATIONS`.
        now: decides which readings are retained; the tests look at the others too.
    """
    rows = rows.select(["measure_id", "date_time", "value"])
    gauges = quality.Gauges.of(measures, stations)
    rivers = measures.filter(pa.array((gauges.kinds == Kind.RIVER) & np.isfinite(gauges.limits.factor)))
    of_rivers = rows.filter(pc.is_in(rows["measure_id"], value_set=rivers["measure_id"].combine_chunks()))
    title = "River levels that moved most" if len(of_rivers) else "Gauges that moved most"
    rows = of_rivers if len(of_rivers) else rows
    widest = _spans(rows)["measure_id"][:_TESTED].combine_chunks()
    rows = rows.filter(pc.is_in(rows["measure_id"], value_set=widest))
    rows = rows.set_column(0, "measure_id", rows["measure_id"].cast(pa.string()))
    # Missing values are flagged as well.
    rows = rows.filter(pc.less(quality.flags(rows, measures, stations)["flag"], quality.SUSPECT))
    time = pc.field("date_time")
    rows = rows.filter((time > pa.scalar(cutoff(now), TIME)) & (time <= pa.scalar(now, TIME)))
    chosen = _moved_most(rows, measures, stations)[: len(_COLOURS)]
    times = rows["date_time"].cast(TIME).cast(pa.int64())
    first, last = pc.min(times).as_py() or 0, pc.max(times).as_py() or 0
    drawn = [f'<text x="10" y="18" font-weight="bold">{title}</text>']
    for i, (gauge, colour) in enumerate(zip(chosen, _COLOURS, strict=False)):
        here = pc.equal(rows["measure_id"], gauge["measure_id"])
        at, value = times.filter(here).to_numpy(), rows["value"].filter(here).to_numpy()
        # A line of this width shows no more than a hundred points.
        some = np.argsort(at, kind="stable")[:: max(1, len(at) // 100)]
        x = 10 + 300 * (at[some] - first) / max(last - first, 1)
        y = 66 + i * 44 - 30 * (value[some] - gauge["value_min"]) / max(gauge["span"], 1e-9)
        points = " ".join(f"{px:.0f},{py:.0f}" for px, py in zip(x, y, strict=True))
        name = ", ".join(filter(None, (gauge["label"], gauge["river"]))) or gauge["measure_id"]
        extent = f"low {gauge['value_min']:g}, high {gauge['value_max']:g} {gauge['unit'] or ''}"
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
            f'<text x="322" y="{46 + i * 44}">{escape(name[:60])}</text>'
            f'<text x="322" y="{61 + i * 44}" fill="#607d8b">{escape(extent.strip())}</text>'
        )
    bottom = 34 + 44 * len(chosen)
    for edge, place in ((first, 'x="10"'), (last, 'x="310" text-anchor="end"')) if chosen else ():
        drawn.append(f'<text {place} y="{bottom + 18}">{from_ms(edge):%d %b %H:%M} UTC</text>')
    drawn.append(f'<path d="M10 {bottom + 4}h300" stroke="{_PALE}"/>')
    return picture(660, bottom + 28, "".join(drawn), title.lower())


def _moved_most(rows: pa.Table, measures: pa.Table, stations: pa.Table) -> list[dict[str, Any]]:
    """Return one measure per station, the one with the widest span first; of an unknown station only its measure."""
    moved = _spans(rows).join(measures.select(["measure_id", "station_id", "unit"]), "measure_id")
    moved = moved.join(stations.select(["station_id", "label", "river"]), "station_id")
    by_station: dict[str, dict[str, Any]] = {}
    for gauge in moved.sort_by(_WIDEST_FIRST).to_pylist():
        by_station.setdefault(gauge["station_id"] or gauge["measure_id"], gauge)
    return list(by_station.values())


def _spans(rows: pa.Table) -> pa.Table:
    """Return low, high and span of each measure with more than three values, the widest first."""
    found = rows.group_by("measure_id").aggregate([("value", "min"), ("value", "max"), ("value", "count")])
    ids = found["measure_id"].cast(pa.string())
    found = found.set_column(found.schema.get_field_index("measure_id"), "measure_id", ids)
    found = found.append_column("span", pc.subtract(found["value_max"], found["value_min"]))
    return found.filter(pc.greater(found["value_count"], 3)).sort_by(_WIDEST_FIRST)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """Return a Markdown table of a few rows."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = ("" if cell is None else str(cell).replace("|", "\\|") for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def picture(width: int, height: int, content: str, alternative: str) -> dg.MarkdownMetadataValue:
    """Return a drawing in SVG as an image inside Markdown."""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<rect width="{width}" height="{height}" fill="#fff" stroke="{_PALE}"/>'
        f'<g {_FONT} fill="{_INK}">{content}</g></svg>'
    )
    return dg.MetadataValue.md(f"![{alternative}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})")
