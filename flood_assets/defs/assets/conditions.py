"""The conditions: the state of each gauge now, judged by its readings of the last 24 hours.

The rules are in `flood_assets.query.conditions`, the checks in `flood_assets.defs.checks.conditions`.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.defs.assets.tables import check_specs, computed
from flood_assets.defs.charts import table
from flood_assets.defs.checks.conditions import CONDITIONS_CHECKS, plausible, supported
from flood_assets.defs.checks.gauges import snapshot
from flood_assets.defs.failures import explained
from flood_assets.defs.maps import map_of_conditions
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.schemas import CONDITIONS, MEASURES, STATIONS
from flood_assets.tick.outputs import State
from flood_assets.words import counted

# Gauges above their range that are named.
NAMED = 10


@computed(
    CONDITIONS,
    # Not inputs: the readings are read once, for their flags and for the conditions. Completeness brings timeliness.
    deps=["readings", "completeness", "timeliness", "stations", "measures"],
    # In this step and not in one of their own: the flags of all readings are at hand here.
    check_specs=check_specs("conditions", CONDITIONS_CHECKS),
)
def conditions(
    context: dg.AssetExecutionContext, lake: LakeResource, clock: Clock
) -> Iterator[dg.MaterializeResult[State]]:
    """Say of each gauge how high it is, if that is usual, if it rises, how much rain fell, and if it is heard.

    Keyed by `measure_id` inside an hourly window, which holds the conditions of the hour's last run;
    `current/conditions.parquet` holds the newest. Loaded through Dagster, it is the newest. `load_conditions` in a
    notebook judges the readings at the time of asking.
    """
    # Only a run needs what answers questions: loading the definitions is quicker by a twentieth.
    from flood_assets.query.conditions import BANDS, FRESHNESS, TRENDS  # noqa: PLC0415
    from flood_assets.query.survey import survey  # noqa: PLC0415

    with explained():
        now, store = clock.now(), lake.open()
        measures, stations = (snapshot(store, listed, now) for listed in (MEASURES, STATIONS))
        found = survey(store, now, measures, stations)
    if found.damaged:
        lost = counted(len(found.damaged), "damaged window")
        context.log.warning("%s of readings: what was in them is in no condition", lost)
    rows = found.conditions
    told = {
        f"{name}_{word}": count
        for name, words in (("band", BANDS), ("trend", TRENDS), ("freshness", FRESHNESS))
        for word, count in _counts(rows[name], words).items()
    }
    high = told["band_above"] + told["band_record"]
    context.log.info(
        "%s: %s above the typical range, %d of them above the highest on record; %d rising, %d falling; %d silent",
        counted(len(rows), "gauge"), f"{high:,}", told["band_record"], told["trend_rising"], told["trend_falling"],
        told["freshness_silent"],
    )  # fmt: skip
    yield dg.MaterializeResult(
        value=State(CONDITIONS, rows, now),
        metadata={
            "map": map_of_conditions(rows, stations, now),
            "furthest_above": furthest_above(rows, measures, stations),
            "gauges": len(rows),
            **told,
        },
        check_results=[plausible(found.tally), supported(rows, stations)],
    )


def furthest_above(rows: pa.Table, measures: pa.Table, stations: pa.Table) -> dg.MarkdownMetadataValue:
    """Return the gauges that are furthest above the typical range, measured by its width, as a table."""
    high = rows.filter(pc.is_in(rows["band"], value_set=pa.array(["above", "record"])))
    station = stations.take(pc.index_in(high["station_id"], value_set=stations["station_id"].combine_chunks()))
    measure = measures.take(pc.index_in(high["measure_id"], value_set=measures["measure_id"].combine_chunks()))
    above = pc.subtract(high["value"], station["typical_high"])
    # A range of no width at all counts as one of a centimetre.
    width = pc.max_element_wise(pc.subtract(station["typical_high"], station["typical_low"]), 0.01)
    columns = {
        "id": high["measure_id"],
        **{name: high[name] for name in ("value", "band", "trend", "flag")},
        **{name: station[name] for name in ("label", "river", "typical_low", "typical_high")},
        "unit": measure["unit"],
        "above": above,
        "share": pc.divide(above, width),
    }
    order = [("share", "descending"), ("id", "ascending")]
    return table(
        ["station", "river", "value", "typical range", "above by", "of the range", ""],
        [_line(row) for row in pa.table(columns).sort_by(order)[:NAMED].to_pylist()],
    )


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    unit = row["unit"] or ""
    told = [row["trend"]]
    if row["band"] == "record":
        told.append("above the highest on record")
    return (
        row["label"] or row["id"],
        row["river"] or "",
        f"{row['value']:.3f} {unit}",
        f"{row['typical_low']:g} to {row['typical_high']:g} {unit}",
        f"{row['above']:.3f} {unit}",
        f"{row['share']:.0%}",
        ", ".join(filter(None, told)),
    )


def _counts(column: pa.ChunkedArray, words: tuple[str, ...]) -> dict[str, int]:
    """Count each of the words, and `none` for null."""
    found = {each["values"]: each["counts"] for each in column.value_counts().to_pylist()}
    return {**{word: found.get(word, 0) for word in words}, "none": found.get(None, 0)}
