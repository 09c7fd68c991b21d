"""Run the simulator as a process of its own: `python -m flood_assets.simulator`."""

import argparse
from datetime import datetime

from flood_assets.simulator.api import as_datetime, parse_moment
from flood_assets.simulator.server import run


def _moment(text: str) -> datetime:
    try:
        return as_datetime(parse_moment(text))
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO datetime, e.g. 2026-11-21T10:00:00Z") from wrong


def main() -> None:
    """Read the command line and answer requests until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m flood_assets.simulator", description=__doc__)
    parser.add_argument("--stations", type=int, default=5500, help="number of stations")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulated country")
    parser.add_argument("--port", type=int, default=8765, help="port to listen on; 0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--now", type=_moment, help="stop the clock at this moment")
    wanted = parser.parse_args()
    now: datetime | None = wanted.now
    run(wanted.stations, wanted.seed, wanted.port, (lambda: now) if now else None, host=wanted.host)


if __name__ == "__main__":
    main()
