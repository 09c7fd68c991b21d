"""`python -m flood_assets.simulator`: the simulator in a process of its own."""

import argparse
from datetime import datetime

from flood_assets.simulator.api import as_datetime, parse_moment
from flood_assets.simulator.server import run


def _moment(text: str) -> datetime:
    try:
        return as_datetime(parse_moment(text))
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO datetime such as 2026-11-21T10:00:00Z") from wrong


def main() -> None:
    """Read the command line and answer requests until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m flood_assets.simulator", description=__doc__)
    parser.add_argument("--stations", type=int, default=5500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=8765, help="0 for any that is free")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--now", type=_moment, help="stop the clock at this moment")
    wanted = parser.parse_args()
    now: datetime | None = wanted.now
    run(wanted.stations, wanted.seed, wanted.port, (lambda: now) if now else None, host=wanted.host)


if __name__ == "__main__":
    main()
