"""Time the flags of a lake's day alone, and flags and conditions of all gauges together.

    python -m benchmarks.judging --lake DIR --now ISO --times N

Both judge the same rows, which are read beforehand, by turns and in one process. Prints one line of JSON with the CPU
seconds of each run.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

# After this many runs the allocators have grown to their final size.
WARM_UP = 2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    told, judged = judges(asked.lake, asked.now)
    seconds: dict[str, list[float]] = {name: [] for name in judged}
    for number in range(WARM_UP + asked.times):
        for name, judge in judged.items():
            started = time.process_time()
            judge()
            if number >= WARM_UP:
                seconds[name].append(time.process_time() - started)
    print(json.dumps({**told, "seconds": seconds}))


def judges(lake: Path, now: datetime) -> tuple[dict[str, int], dict[str, Callable[[], Any]]]:
    """Return the numbers of readings and measures, and both ways to judge them."""
    from flood_assets import quality  # noqa: PLC0415 - imports are not measured
    from flood_assets.lake.lake import Lake  # noqa: PLC0415
    from flood_assets.query.survey import day_of, judge  # noqa: PLC0415
    from flood_assets.schemas import MEASURES, READINGS, STATIONS, TIMELINESS  # noqa: PLC0415

    opened = Lake.open(lake.resolve().as_uri())
    snapshots = (opened.newest_snapshot(table, now) for table in (MEASURES, STATIONS, TIMELINESS))
    measures, stations, timeliness = snapshots
    if measures is None or stations is None:
        raise SystemExit(f"{lake} has no list of measures or of stations")
    timeliness = TIMELINESS.schema.empty_table() if timeliness is None else timeliness
    rows = opened.read(READINGS, now=now, columns=["measure_id", "date_time", "value"])
    day, _ = day_of(opened, now, [measures, timeliness])
    return {"readings": len(rows), "measures": len(measures)}, {
        "flags": lambda: quality.flags(rows, measures, stations),
        "conditions": lambda: judge(day, measures, stations, timeliness, now),
    }


if __name__ == "__main__":
    main()
