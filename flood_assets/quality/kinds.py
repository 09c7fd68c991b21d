"""Kind of each measure, and the thresholds of its series: spike, rate of change and flat line.

Limits of single values are in `quality.limits`. Amounts are in the kind's base unit: metres, m³/s, mm, m/s, degrees and
degrees Celsius. Those of a spike and of a step are for 15 minutes, the period of 93 % of all measures, and grow in
proportion where readings lie further apart.

QARTOD's manuals leave every threshold to the operator and give examples. The example is taken where one fits, else the
source is beside the number.
"""

from dataclasses import dataclass
from enum import IntEnum
from math import inf

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_HOUR = 3600


class Kind(IntEnum):
    """Kind of gauge."""

    OTHER = 0  # a battery's voltage, a gate's percentage, a measure that no snapshot lists: not evaluated
    RIVER = 1  # stage upstream or downstream of a structure, in a river, drain or canal
    TIDE = 2
    GROUNDWATER = 3
    POOL = 4  # a reservoir, or the sump of a pumping station
    FLOW = 5
    RAIN = 6  # amount of a period
    RAIN_EVENT = 7  # one row for each tip of the bucket
    RAIN_COUNTER = 8  # amount since the counter was set to zero
    WIND_SPEED = 9
    WIND_DIRECTION = 10
    TEMPERATURE = 11


@dataclass(frozen=True)
class Thresholds:
    """Flag values above these thresholds. `inf` never flags; None skips the test.

    Attributes:
        spike: suspect and fail: distance of a reading from both its neighbours.
        spike_share: added to it, as a share of the larger neighbour.
        step: suspect: change from the reading before. Never a fail: QARTOD has none for the rate of change, as it
            cannot know which of two readings is wrong.
        step_share: added to it, as a share of the smaller of the two.
        flat: suspect and fail: seconds without any change.
        flat_at_zero: True if zero may last for ever.
        turns: True if values go round at 360.
    """

    spike: tuple[float | None, float | None] = (None, None)
    spike_share: tuple[float, float] = (0.0, 0.0)
    step: float | None = None
    step_share: float = 0.0
    flat: tuple[float | None, float | None] = (None, None)
    flat_at_zero: bool = False
    turns: bool = False


THRESHOLDS: dict[Kind, Thresholds] = {
    # Nothing fails for its rise: England has floods that come as a wall of water, as on the Wansbeck in 1994 (Archer et
    # al. 2016, Hydrology Research 48:1) and the Tyne in 2002, by 160 m³/s in 15 minutes (Archer and Fowler 2014, BHS
    # Circulation 120). But water that rose does not fall again within the quarter of an hour: recessions take hours.
    # Below 0.3 m are boats, gates and locks. In low flow a gauge stands to the millimetre for hours (at most 9 readings
    # running in 26 series of the Thames in January 2024), so only most of a day is suspect; and a dry or penned reach
    # is no failure.
    Kind.RIVER: Thresholds(spike=(0.3, 1.5), step=1.0, flat=(18 * _HOUR, inf)),
    # The steepest regular tide in England, at Avonmouth (14.85 m from lowest to highest, NTSLF), rises 0.94 m in 15
    # minutes if it is a sine; bores and surges are steeper. Within 6 h 12 min a tide turns or moves; a gauge above low
    # water dries out and stands for part of the tide, but not for a whole one (12 h 25 min).
    Kind.TIDE: Thresholds(spike=(0.5, 1.5), step=1.5, flat=(6.25 * _HOUR, 12.5 * _HOUR)),
    # Boreholes answer to pumps within minutes, by metres: never a fail. Chalk stands still for days.
    Kind.GROUNDWATER: Thresholds(spike=(0.5, inf), step=0.5, flat=(72 * _HOUR, inf)),
    Kind.POOL: Thresholds(spike=(1.0, inf), step=1.0, flat=(72 * _HOUR, inf)),
    # Flows span five powers of ten, so most is a share: a step that quadruples and more, a spike of half the
    # neighbours. Six times the neighbours for one step is a fault. A gate that is shut gives zero.
    Kind.FLOW: Thresholds(
        spike=(0.1, 1.0), spike_share=(0.5, 5.0), step=1.0, step_share=3.0, flat=(18 * _HOUR, inf), flat_at_zero=True
    ),
    # A total is no sample of something continuous: a burst between dry quarters is weather. The same amount again and
    # again is not, as QARTOD's flat line, and the repeats of Lewis et al. 2021 (GSDR-QC, Environ. Model. Softw. 144).
    Kind.RAIN: Thresholds(flat=(6 * _HOUR, inf), flat_at_zero=True),
    # Rain events and counters, and other kinds, have no thresholds.
    # Spikes as in QARTOD's Manual for Wind Data (2014), test 6. A mean over 15 minutes that is the same to the last
    # digit for two hours is a stuck anemometer, but for calm.
    Kind.WIND_SPEED: Thresholds(spike=(20.0, 40.0), step=15.0, flat=(2 * _HOUR, 6 * _HOUR), flat_at_zero=True),
    # To turn and turn back is what wind does: no spikes. In calm the vane stays where it is.
    Kind.WIND_DIRECTION: Thresholds(step=120.0, flat=(6 * _HOUR, inf), turns=True),
    # Spikes as in QARTOD's Manual for In-situ Temperature and Salinity Data, test 6. A downburst cools air by
    # several degrees in minutes; melting snow holds it for hours.
    Kind.TEMPERATURE: Thresholds(spike=(3.0, 8.0), step=8.0, flat=(6 * _HOUR, inf)),
}

# QARTOD recommends to set thresholds by the gauge's own variability where that is larger. A spike may be as many
# standard deviations of the noise, a step as many of the steps (N_DEV = 3 in the manuals). The deviations are estimated
# by the median, so that a spike does not hide behind itself.
SPIKE_DEVIATIONS = (6.0, 12.0)
STEP_DEVIATIONS = 3.0

# Kind of a measure by its parameter and unit. A level in volts or a flow in degrees is neither. No unit at all (the API
# gives `---` to 6 % of the stages) leaves the tests that need none.
_KINDS: dict[tuple[str | None, str | None], Kind] = {
    **{("level", unit): Kind.RIVER for unit in (None, "mASD", "mAOD", "mBDAT", "m", "mm")},
    **{("flow", unit): Kind.FLOW for unit in (None, "m3/s", "l/s", "Ml/d")},
    **{("rainfall", unit): Kind.RAIN for unit in (None, "mm")},
    **{("wind", unit): Kind.WIND_SPEED for unit in ("m/s", "Knots")},
    ("wind", "deg"): Kind.WIND_DIRECTION,
    ("temperature", "deg C"): Kind.TEMPERATURE,
}
# Narrower kinds: by the qualifier of a level, by the value type of rain. Other qualifiers do not count.
_NARROWER = {
    (Kind.RIVER, "tidal level"): Kind.TIDE,
    (Kind.RIVER, "groundwater"): Kind.GROUNDWATER,
    (Kind.RIVER, "reservoir level"): Kind.POOL,
    (Kind.RIVER, "sump level"): Kind.POOL,
    (Kind.RAIN, "event"): Kind.RAIN_EVENT,
    (Kind.RAIN, "cumulative total"): Kind.RAIN_COUNTER,
}


def kinds_of(measures: pa.Table) -> npt.NDArray[np.int8]:
    """Return the kind of each measure of a snapshot, by parameter, qualifier, unit and value type; never by its id."""
    names = ("parameter", "qualifier", "unit", "value_type")
    # Some thousand measures have some dozen such descriptions.
    described = measures.select(names).append_column("row", pa.array(np.arange(len(measures))))
    kinds = np.zeros(len(measures), np.int8)
    groups = described.group_by(list(names)).aggregate([("row", "list")])
    columns = (groups[name].to_pylist() for name in (*names, "row_list"))
    for parameter, qualifier, unit, value_type, rows in zip(*columns, strict=True):
        kind = _KINDS.get((parameter, unit), Kind.OTHER)
        narrowed_by = {Kind.RIVER: qualifier, Kind.RAIN: value_type}.get(kind) or ""
        kinds[rows] = _NARROWER.get((kind, narrowed_by.replace("_", " ").casefold()), kind)
    return kinds
