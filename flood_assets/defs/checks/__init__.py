"""What is judged after each materialization. A check says what it found; it does not stop what was stored.

One file a subject: `readings` looks at all that is stored of them, and lets `values` judge those; `gauges`
looks at the snapshots, and `completeness` at what the ledger counted.
"""

from flood_assets.defs.checks.completeness import COMPLETENESS_CHECKS, judge_account
from flood_assets.defs.checks.gauges import measures_are_sound, stations_are_sound
from flood_assets.defs.checks.readings import READINGS_CHECKS, examine, judge, look, readings_checks
from flood_assets.defs.checks.values import plausible

__all__ = [
    "COMPLETENESS_CHECKS",
    "READINGS_CHECKS",
    "examine",
    "judge",
    "judge_account",
    "look",
    "measures_are_sound",
    "plausible",
    "readings_checks",
    "stations_are_sound",
]
