"""Estimate what a thousand times the country takes in shards, from what was measured with one, and public prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from statistics import fmean, median
from typing import Any

from benchmarks.costs import DAYS_A_MONTH, GB_MONTH_USD, GET_USD, PUT_OR_LIST_USD, RECONCILES_A_DAY, TICKS_A_DAY

COUNTRIES = 1_000
# Estimates for Fargate on ARM in London, as in deploy/terraform/costs.py.
VCPU_HOUR_USD, GB_HOUR_USD = 0.03725, 0.00409
S3_MS = 30
TICK_S = 15 * 60


@dataclass(frozen=True)
class Run:
    """One run over all shards.

    Attributes:
        cpu: CPU seconds.
        requests: to the APIs.
        bytes: of their answers, not compressed.
        gets, lists, puts: requests to S3.
    """

    cpu: float
    requests: float
    bytes: float
    gets: float
    lists: float
    puts: float

    def times(self, factor: float) -> "Run":
        """Return so many of them."""
        return Run(*(factor * each for each in vars(self).values()))

    @property
    def s3(self) -> float:
        """Dollars for its requests to S3."""
        return self.gets * GET_USD + (self.lists + self.puts) * PUT_OR_LIST_USD


@dataclass(frozen=True)
class Model:
    """Runs over a thousand countries, one in each shard.

    Attributes:
        readings: in the lakes.
        stored: objects, and their bytes.
        cold, tick, reconcile: the runs.
        start_s: seconds from the command until workers are at work.
        worker_mb: peak memory of a worker with shards of one country.
        more_mb: what each further country in a shard adds to it.
        packed: compressed bytes for each byte of an answer.
    """

    readings: int
    stored: tuple[int, int]
    cold: Run
    tick: Run
    reconcile: Run
    start_s: float
    worker_mb: float
    more_mb: float
    packed: float

    def wall(self, run: Run, workers: int) -> float:
        """Return the seconds of a run with so many workers, each with a core of its own."""
        return self.start_s + ceil(COUNTRIES / workers) * run.cpu / COUNTRIES

    def memory_mb(self, countries: int) -> float:
        """Return the peak memory of a worker with shards of so many countries."""
        return self.worker_mb + (countries - 1) * self.more_mb

    def enough(self, share: float) -> int:
        """Return how many workers end a tick in this share of a quarter of an hour."""
        return ceil(self.tick.cpu / (share * TICK_S - self.start_s))

    @property
    def month(self) -> Run:
        """All runs of a month: ticks, and reconciles beside them."""
        a_day = [self.tick.times(TICKS_A_DAY), self.reconcile.times(RECONCILES_A_DAY)]
        return Run(*(DAYS_A_MONTH * sum(each) for each in zip(*(vars(run).values() for run in a_day), strict=True)))

    def usd(self, workers: int) -> dict[str, float]:
        """Return the dollars of a month by what they are for; workers run all the time."""
        return {
            "S3 requests": self.month.s3,
            "S3 storage": self.stored[1] / 1e9 * GB_MONTH_USD,
            "workers": 24 * DAYS_A_MONTH * workers * (VCPU_HOUR_USD + ceil(self.worker_mb / 1024) * GB_HOUR_USD),
        }


def of(measured: Mapping[str, Any]) -> Model | None:
    """Return the model; None where something it is made of was not measured."""
    parts, sizes = measured["parts"], measured["sizes"]
    fills = [run for run in measured["runs"] if run["way"] == "local2"]
    if not parts or {"few", "local1", "local2"} - {run["way"] for run in measured["runs"]}:
        return None
    largest = max(sizes or fills, key=lambda run: run["readings"])
    each = COUNTRIES / largest.get("shards", measured["countries"])
    # What a worker spends on a shard: without Python's start and the imports, which are once for each worker.
    slowest = max(median(run["cpu"] / measured["countries"] for run in fills), parts["cold"]["cpu"])
    return Model(
        readings=round(each * largest["readings"]),
        stored=(round(each * largest["objects"]), round(each * largest["bytes"])),
        cold=_run([{**parts["cold"], "cpu": slowest}]),
        tick=_run(parts["ticks"]),
        reconcile=_run([parts["reconcile"]]),
        start_s=median(min(worker["from"] for worker in run["workers"]) for run in fills),
        worker_mb=max(worker["peak_mb"] for run in (*fills, *sizes) for worker in run["workers"]),
        more_mb=_more_mb(measured),
        packed=measured["sent_bytes"] / parts["cold"]["bytes"],
    )


def _more_mb(measured: Mapping[str, Any]) -> float:
    """Return what each further country in a shard adds to a worker's peak memory."""
    few, many = (
        median(worker["peak_mb"] for run in measured["runs"] if run["way"] == way for worker in run["workers"])
        for way in ("few", "local1")
    )
    return max(0.0, (few - many) / (measured["countries"] / measured["shards"]["few"] - 1))


def _run(runs: list[Mapping[str, Any]]) -> Run:
    names = ("cpu", "requests", "bytes", "GET", "LIST", "PUT")
    return Run(*(COUNTRIES * fmean(run.get(name, 0) for run in runs) for name in names))
