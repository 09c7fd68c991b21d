"""The measurements of `make bench`, and how the page asks for them."""

from collections.abc import Mapping
from typing import Any

from benchmarks.harness import Figure

COLD, RECONCILE, REFRESH = "flood_assets cold", "flood_assets reconcile", "flood-assets refresh"
FLOORS = ("floor, strings", "floor, dictionary")
DISCARD, IMPORTS = "discard", "flood_assets imports"
STATION = "one request per station"
DLT = ("dlt, Parquet", "dlt, Delta")


class Day:
    """What was measured of one country.

    Attributes:
        all: as it is in the file.
        readings: how many the last 24 hours hold.
    """

    def __init__(self, measured: Mapping[str, Any]) -> None:
        self.all = measured
        self.readings: int = measured["prepared"]["readings"]

    def runs(self, name: str, *, gzip: bool = True) -> list[dict[str, Any]]:
        """Those of a contestant that ended well, by round."""
        mine = [run for run in self.all["runs"] if run["contestant"] == name and run["gzip"] == gzip]
        return sorted((run for run in mine if not run["error"]), key=lambda run: run["round"])

    def values(self, name: str, what: str, *, gzip: bool = True) -> list[float]:
        """One value a round: `wall`, `peak_mb`, `requests`, `bytes`, or a phase of which the contestant tells."""
        runs = self.runs(name, gzip=gzip)
        if runs and what in runs[0]:
            return [run[what] for run in runs]
        return [run["told"]["seconds"][what] for run in runs if what in run["told"].get("seconds", {})]

    def floor(self, *, gzip: bool = True) -> str | None:
        """The quicker of the two floors."""
        own = {name: self.values(name, "own", gzip=gzip) for name in FLOORS}
        there = {name: Figure.of(values).median for name, values in own.items() if values}
        return min(there, key=lambda name: there[name]) if there else None

    def right(self, name: str, *, gzip: bool = True) -> dict[str, Any]:
        """How right a contestant was; empty where it keeps nothing."""
        found: dict[str, Any] = self.all["right"]["gzip" if gzip else "plain"].get(name, {})
        return found

    def ticks(self, *, calm: bool) -> list[dict[str, Any]]:
        """The ticks in which nothing jumped, or the usual ones."""
        return [tick for tick in self.all.get("ticks", []) if tick["calm"] == calm]

    @property
    def readers(self) -> dict[str, dict[str, Any]]:
        """What each reader needed for each question."""
        found: dict[str, dict[str, Any]] = self.all.get("reading", {}).get("engines", {})
        return found

    @property
    def dagster(self) -> list[dict[str, Any]]:
        """The ticks on an instance of Dagster."""
        found: list[dict[str, Any]] = self.all.get("dagster", {}).get("ticks", [])
        return found
