"""Simulate the Environment Agency's flood-monitoring API offline, with delays, corrections and faults.

    with serve(Simulator(stations=100, seed=1)) as server:
        requests.get(f"{server.url}/data/readings.csv?latest")

It imports nothing from the rest of the package, so that neither can repeat the other's mistakes.
"""

from flood_assets.simulator.country import Simulator
from flood_assets.simulator.faults import Fault
from flood_assets.simulator.server import Server, Truth, run, serve

__all__ = ["Fault", "Server", "Simulator", "Truth", "run", "serve"]
