"""Look up the measurements of `make bench`."""

from collections.abc import Mapping
from typing import Any

from benchmarks.harness import Figure

COLD, RECONCILE, REFRESH = "flood_assets cold", "flood_assets reconcile", "flood-assets refresh"
FLOORS = ("floor, strings", "floor, dictionary")
DISCARD, IMPORTS = "discard", "flood_assets imports"
STATION = "one request per station"
DLT = ("dlt, Parquet", "dlt, Delta")


class Day:
    """Measurements of one country.

    Attributes:
        all: contents of the file.
        readings: number of readings in the last 24 hours.
    """

    def __init__(self, measured: Mapping[str, Any]) -> None:
        self.all = measured
        self.readings: int = measured["prepared"]["readings"]

    def runs(self, name: str, *, gzip: bool = True) -> list[dict[str, Any]]:
        """Return the successful runs of a contestant, by round."""
        mine = [run for run in self.all["runs"] if run["contestant"] == name and run["gzip"] == gzip]
        return sorted((run for run in mine if not run["error"]), key=lambda run: run["round"])

    def values(self, name: str, what: str, *, gzip: bool = True) -> list[float]:
        """Return one value a round: `wall`, `peak_mb`, `requests`, `bytes`, or the seconds of a phase."""
        runs = self.runs(name, gzip=gzip)
        if runs and what in runs[0]:
            return [run[what] for run in runs]
        return [run["told"]["seconds"][what] for run in runs if what in run["told"].get("seconds", {})]

    def floor(self, *, gzip: bool = True) -> str | None:
        """Return the name of the quicker floor."""
        own = {name: self.values(name, "own", gzip=gzip) for name in FLOORS}
        there = {name: Figure.of(values).median for name, values in own.items() if values}
        return min(there, key=lambda name: there[name]) if there else None

    def right(self, name: str, *, gzip: bool = True) -> dict[str, Any]:
        """Return the correctness of a contestant; empty if it keeps nothing."""
        found: dict[str, Any] = self.all["right"]["gzip" if gzip else "plain"].get(name, {})
        return found

    def ticks(self, *, calm: bool) -> list[dict[str, Any]]:
        """Return the ticks without batches (calm), or the usual ones."""
        return [tick for tick in self.all.get("ticks", []) if tick["calm"] == calm]

    @property
    def readers(self) -> dict[str, dict[str, Any]]:
        """Measurements of each reader, by query."""
        found: dict[str, dict[str, Any]] = self.all.get("reading", {}).get("engines", {})
        return found

    @property
    def dagster(self) -> list[dict[str, Any]]:
        """Ticks on a Dagster instance."""
        found: list[dict[str, Any]] = self.all.get("dagster", {}).get("ticks", [])
        return found
