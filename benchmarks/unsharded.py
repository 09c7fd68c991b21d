"""Compare this checkout with an earlier one where no shards are configured: what a run asks, writes and imports.

    python -m benchmarks.unsharded --before DIR

Both fill a lake of their own from one simulator: a cold fill, ticks of a quarter of an hour, and `status`. Each command
is a process of its own, and both take turns. Prints what differs, and the CPU time of the ticks as a ratio.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import shown
from benchmarks.harness import surroundings
from benchmarks.server import ROOT, Server, simulator

NOW = datetime(2026, 10, 15, 9, 20, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
# Runs in either checkout, so it may use only what both have.
CODE = """
import collections, json, sys, time
from flood_assets import settings
settings.use_the_systems_allocator()
calls = collections.Counter()
if sys.argv[1] == "import":
    import flood_assets.definitions
else:
    from flood_assets.lake.folder import Folder
    for name in ("get", "get_range", "head", "list", "put"):
        def counting(self, *args, _name=name, _call=getattr(Folder, name), **more):
            calls[_name] += 1
            return _call(self, *args, **more)
        setattr(Folder, name, counting)
    from flood_assets.cli.main import main
    try:
        main(sys.argv[1:], standalone_mode=False)
    except SystemExit as ended:
        assert not ended.code, ended.code
print()
print(json.dumps({"cpu": time.process_time(), "calls": calls, "modules": sorted(sys.modules)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", type=Path, required=True, help="the root of the earlier checkout")
    parser.add_argument("--stations", type=int, default=5500)
    parser.add_argument("--ticks", type=int, default=6)
    asked = parser.parse_args()
    sides = {"before": asked.before.resolve(), "now": ROOT}
    steps = [("import", 0), ("refresh", 0), *(("refresh", number + 1) for number in range(asked.ticks)), ("status", 0)]
    spent: dict[str, list[float]] = {side: [] for side in sides}
    with simulator(asked.stations, NOW) as server, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        server.warm(NOW)
        for turn, (command, quarters) in enumerate(steps):
            moment = NOW + (quarters or asked.ticks) * QUARTER if command == "status" else NOW + quarters * QUARTER
            found = {}
            for side in list(sides)[:: 1 if turn % 2 else -1]:
                found[side] = _run(command, sides[side], server, moment, Path(folder, side))
                if quarters:
                    spent[side].append(found[side].pop("cpu"))
            print(f"{moment:%H:%M} {command}: {_compared(found['before'], found['now'])}", flush=True)
    print(f"CPU of {asked.ticks} ticks: {shown.compared(spent['now'], spent['before'])}")


def _run(command: str, root: Path, server: Server, moment: datetime, lake: Path) -> dict[str, Any]:
    server.set_clock(moment)
    server.reset()
    own = {"FLOOD_API_URL": server.url, "FLOOD_LAKE_URL": lake.as_uri(), "FLOOD_NOW": moment.isoformat()}
    ran = subprocess.run(
        [sys.executable, "-c", CODE, command],
        cwd=root,
        env={**surroundings(), **own, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        check=True,
    )
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    objects = sorted(str(file.relative_to(lake)) for file in lake.rglob("*") if file.is_file())
    return {**told, "requests": server.get("stats"), "objects": objects}


def _compared(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return what is equal in words, and what differs."""
    said = []
    for name in ("requests", "calls", "objects", "modules"):
        old, new = before[name], now[name]
        if old == new:
            counts = [each["requests"] for each in old.values()] if name == "requests" else old
            size = sum(counts.values() if isinstance(counts, dict) else counts) if name in ("requests", "calls") else 0
            said.append(f"{size or len(old)} {name} equal")
        elif isinstance(old, list):
            said.append(f"{name} differ: +{sorted({*new} - {*old})} -{sorted({*old} - {*new})}")
        else:
            said.append(f"{name} differ: {old} and now {new}")
    return "; ".join(said)


if __name__ == "__main__":
    main()
