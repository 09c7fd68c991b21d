"""Render SHARDS.md: a network in shards, one and two workers, and a thousand times the country."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks import shard_model, shown
from benchmarks.harness import Figure, ratio
from benchmarks.shard_model import COUNTRIES, Model
from benchmarks.targets import Verdict

HEAD = """
# Shards

Written by `make bench-shards`; do not edit by hand. A network of {countries} countries of {stations:,} stations each is
simulated once and its answers are served from files, so that the API costs nothing: {server:.2f} s of CPU for a fill.
Each fill is the command `flood-assets refresh` with `FLOOD_NETWORK`, into an empty folder: lists, 24 hours of readings,
ledger, conditions and warnings.
"""


def render(measured: Mapping[str, Any]) -> str:
    """Return the whole page as Markdown."""
    judged = [(one.target, one.found, one.said) for one in verdicts(measured)]
    parts = [
        HEAD.format(
            countries=measured["countries"],
            stations=measured["stations"],
            server=max(run["server_cpu"] for run in measured["runs"]),
        ),
        "## Targets\n\n" + shown.table(("target", "measured", "verdict"), judged),
        _conditions(measured),
        _fills(measured),
        _sizes(measured),
    ]
    model = shard_model.of(measured)
    parts += [_model(model, measured)] if model else []
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def verdicts(measured: Mapping[str, Any]) -> list[Verdict]:
    """Return a verdict for each target that has measurements."""
    found = [*_cpu(measured), *_memory(measured), *_wall(measured), *_linear(measured)]
    counts = {(run["way"], run["readings"]) for run in measured["runs"]}
    same = len({count for _, count in counts}) <= 1
    return [
        *found,
        Verdict(
            "The same readings in one shard and in many",
            " and ".join(f"{count:,}" for count in sorted({count for _, count in counts})),
            same,
            "Some fill lacks readings.",
        ),
    ]


def _of(measured: Mapping[str, Any], way: str) -> list[dict[str, Any]]:
    return [run for run in measured["runs"] if run["way"] == way]


def _each(runs: Iterable[Mapping[str, Any]], what: str) -> list[float]:
    """Return what each run took for a million readings."""
    return [1e6 * run[what] / run["readings"] for run in runs]


def _cpu(measured: Mapping[str, Any]) -> Iterable[Verdict]:
    one, many = _of(measured, "one"), _of(measured, "many")
    if one and many:
        yield Verdict(
            f"CPU time per reading in {measured['countries']} shards: at most 1.25 x that in one",
            f"{_shown(many, one, 'cpu')} for a million readings",
            ratio(_each(many, "cpu"), _each(one, "cpu")).median <= 1.25,
            "Each shard lists its gauges, windows and present by itself.",
        )
    for name, said in (("local1", "one Dask worker"), ("local2", "two Dask workers")):
        if many and (others := _of(measured, name)):
            yield Verdict(
                f"The same by {said}, against one process without Dask", _shown(others, many, "cpu"), kept=None
            )


def _shown(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], what: str) -> str:
    return shown.compared(_each(ours, what), _each(theirs, what))


def _memory(measured: Mapping[str, Any]) -> Iterable[Verdict]:
    one = _of(measured, "one")
    many = [*_of(measured, "local1"), *_of(measured, "local2"), *measured["sizes"]]
    for name, runs in (("few", _of(measured, "few")), ("local1", many)):
        if one and runs:
            whole, shards = _peak(one).median, measured["shards"][name]
            most, limit = _peak(runs), 1.2 * whole / shards + 150
            yield Verdict(
                f"Peak memory of a Dask worker with one of {shards} shards after the other: at most 1.2 x its share of "
                f"that of one shard, and 150 MB",
                f"{shown.spread(most, '.0f')} MB; one shard {whole:,.0f} MB, the share {whole / shards:.0f} MB, so at "
                f"most {limit:.0f} MB",
                most.high <= limit,
                "Python, pyarrow, pandas and Dask take more than 150 MB before the first reading, which a share of "
                "several countries makes up for.",
            )


def _peak(runs: Iterable[Mapping[str, Any]]) -> Figure:
    return Figure.of(worker["peak_mb"] for run in runs for worker in run["workers"])


def _wall(measured: Mapping[str, Any]) -> Iterable[Verdict]:
    one, two = _of(measured, "local1"), _of(measured, "local2")
    if one and two:
        loads = Figure.of(run["load"] for run in (*one, *two))
        quicker = ratio(_each(one, "wall"), _each(two, "wall"))
        yield Verdict(
            "Wall time by two workers: at least 1.7 x quicker than by one, on two cores",
            f"{shown.times(quicker)}: {shown.seconds([run['wall'] for run in two])} and "
            f"{shown.seconds([run['wall'] for run in one])}; load {shown.spread(loads, '.1f')}",
            quicker.median >= 1.7,
            "Other programs wanted the same two cores."
            if loads.median > 3
            else f"One worker keeps {_busy(one):.2f} cores busy, two keep {_busy(two):.2f}; the start is not divided.",
        )
        own = ratio(_busiest(one), _busiest(two))
        yield Verdict(
            "The same by the CPU time of the busiest worker, which other programs hardly change",
            f"{shown.times(own)}: {shown.seconds(_busiest(two))} and {shown.seconds(_busiest(one))}",
            kept=None,
        )


def _busiest(runs: Iterable[Mapping[str, Any]]) -> list[float]:
    return [max(worker["cpu"] for worker in run["workers"]) for run in runs]


def _linear(measured: Mapping[str, Any]) -> Iterable[Verdict]:
    sizes = sorted(measured["sizes"], key=lambda run: run["shards"])
    if len(sizes) < 2:
        return
    base, *more = sizes
    for what, said in (("cpu", "CPU time"), ("wall", "wall time")):
        worst = max(more, key=lambda run: run[what] / run["readings"])
        times = _each([worst], what)[0] / _each([base], what)[0]
        yield Verdict(
            f"{said} per reading of {more[-1]['shards']} countries by two workers: at most 1.3 x that of "
            f"{base['shards']}",
            f"{times:.2f} x ({worst['shards']} countries): {_each([worst], what)[0]:.2f} s and "
            f"{_each([base], what)[0]:.2f} s for a million readings; load {worst['load']:.1f} and {base['load']:.1f}",
            times <= 1.3,
            "Other programs wanted the same two cores." if worst["load"] > base["load"] + 2 else "",
        )


def _busy(runs: Sequence[Mapping[str, Any]]) -> float:
    """Return how many cores all processes of a fill kept busy, on average."""
    return median(run["cpu"] / run["wall"] for run in runs)


def _conditions(measured: Mapping[str, Any]) -> str:
    where = measured["conditions"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(where["versions"].items()))
    rows = [
        ("measured", f"{where['date']}, up to {measured['rounds']} rounds; {measured['now']}"),
        ("machine", f"{where['cores']} cores ({where['processor']}), {where['memory_gib']} GiB, {where['system']}"),
        ("versions", f"Python {where['python']}, {versions}"),
    ]
    return "## Conditions\n\n" + shown.table(("", ""), rows)


def _fills(measured: Mapping[str, Any]) -> str:
    heads = ("fill", "runs", "seconds", "CPU s", "peak MB of a worker", "waiting for a core s", "load", "readings")
    rows = [
        (
            does,
            str(len(runs)),
            shown.spread(Figure.of(run["wall"] for run in runs), ".1f"),
            shown.spread(Figure.of(run["cpu"] for run in runs), ".1f"),
            shown.spread(_peak(runs), ".0f"),
            shown.spread(Figure.of(max(worker["waited"] for worker in run["workers"]) for run in runs), ".1f"),
            shown.spread(Figure.of(run["load"] for run in runs), ".1f"),
            f"{runs[-1]['readings']:,}",
        )
        for way, does in measured["does"].items()
        if (runs := _of(measured, way))
    ]
    return f"""
## One network in several ways

- *CPU s*: of all processes, Python's start and imports included
- *waiting for a core*: how long a worker's busiest thread was ready and other programs had the cores
- *load*: threads that ran or were ready on the machine, on average, those of the fill included: with nothing beside it,
  one for each worker

{shown.table(heads, rows)}
"""


def _sizes(measured: Mapping[str, Any]) -> str:
    if not measured["sizes"]:
        return ""
    heads = (
        "countries", "readings", "seconds", "CPU s", "\u00b5s of CPU a reading", "\u00b5s a reading",
        "peak MB of a worker", "load", "objects", "MB",
    )  # fmt: skip
    rows = [
        (
            f"{run['shards']:,}",
            f"{run['readings']:,}",
            f"{run['wall']:,.1f}",
            f"{run['cpu']:,.1f}",
            f"{_each([run], 'cpu')[0]:.2f}",
            f"{_each([run], 'wall')[0]:.2f}",
            f"{max(worker['peak_mb'] for worker in run['workers']):.0f}",
            f"{run['load']:.1f}",
            f"{run['objects']:,}",
            f"{run['bytes'] / 1e6:,.0f}",
        )
        for run in sorted(measured["sizes"], key=lambda run: run["shards"])
    ]
    return f"""
## More countries

Each country is a shard; two Dask workers, cold fills. Above {measured["countries"]} countries their answers come
again, at other addresses.

{shown.table(heads, rows)}
"""


def _model(model: Model, measured: Mapping[str, Any]) -> str:
    largest = max((run["shards"] for run in measured["sizes"]), default=0)
    done = f"A cold fill of {largest:,} of them is measured above" if largest else "No part of it is measured above"
    runs = [
        (name, f"{run.cpu:,.0f}", f"{run.requests:,.0f}", f"{run.bytes * model.packed / 1e9:,.1f}",
         f"{run.gets:,.0f}", f"{run.lists + run.puts:,.0f}", f"{run.s3:,.2f}")
        for name, run in (("cold fill", model.cold), ("tick", model.tick), ("reconcile", model.reconcile))
    ]  # fmt: skip
    workers = [
        (str(count), *(_minutes(model.wall(run, count)) for run in (model.cold, model.tick, model.reconcile)),
         f"{model.tick.cpu / count / shard_model.TICK_S:.0%}", f"{count * model.worker_mb / 1024:,.1f}")
        for count in (1, 2, 4, 8, 16, 32)
    ]  # fmt: skip
    larger = [
        (str(count), f"{COUNTRIES // count:,}", f"{model.month.s3 / count:,.0f}", f"{model.memory_mb(count):,.0f}")
        for count in (1, 10, 100)
    ]
    few, calls = model.enough(0.5), (model.tick.gets + model.tick.lists + model.tick.puts) / COUNTRIES
    usd = model.usd(few)
    bill = [(name, f"{each:,.0f}") for name, each in usd.items()] + [("all", f"{sum(usd.values()):,.0f}")]
    return f"""
## A thousand times the country

A model: {COUNTRIES:,} shards of one country, {model.readings / 1e6:,.0f} million readings in {model.stored[0]:,}
objects of {model.stored[1] / 1e9:,.1f} GB. {done}. A run over all shards:

{shown.table(("run", "CPU s", "requests to APIs", "GB as sent", "S3: GET", "S3: PUT and LIST", "USD for S3"), runs)}

{shown.table(("workers", "cold fill", "tick", "reconcile", "busy with ticks", "GiB of memory"), workers)}

A month with {few} workers that run all the time, which end a tick in half of its quarter of an hour:

{shown.table(("what", "USD a month"), bill)}

What it assumes:

- Everything grows with the number of shards and nothing else, as "More countries" shows for cold fills. Shards are
  independent: nothing is read, sorted or kept for all of them.
- A worker has a core of this machine's speed. What a tick and a reconcile take was measured with one country, one after
  the other in one process, in the morning; a tick that reads today's readings again gets more of them later in the day.
- Workers wait for nobody. Each country has an API of its own, which answers as quickly as the worker reads. Where an
  API takes half a minute for a day, a cold fill waits a minute longer for each shard; more workers than cores hide it.
- The store is a folder. S3 answers a request in some {shard_model.S3_MS} ms, of which a tick has {calls:.0f} for
  each shard: {calls * shard_model.S3_MS / 1000:.0f} s without CPU, if one came after the other. More workers than cores
  hide it likewise.
- Requests to S3 are counted as calls of the store. They grow with the number of shards and not with their size, as a
  lake has as many objects whatever it holds; memory grows with the size:

{shown.table(("countries in a shard", "shards", "USD a month for S3 requests", "peak MB of a worker"), larger)}

- The scheduler has one task for each shard and run, some milliseconds each.
- Prices: S3 as in [the results](RESULTS.md#running-costs); {shard_model.VCPU_HOUR_USD} USD for a vCPU and hour and
  {shard_model.GB_HOUR_USD} USD for a GB and hour are estimates for Fargate on ARM in London.
"""


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.1f} min"
