"""Compare the measurements with the targets."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import dagster_share, imports, shown
from benchmarks.harness import Figure, ratio
from benchmarks.measurements import COLD, DLT, IMPORTS, RECONCILE, REFRESH, STATION, Day

MIB = 2**20


@dataclass(frozen=True)
class Verdict:
    """Verdict on one target.

    Attributes:
        target: target, or measurement without one.
        found: measured figures.
        kept: true if the target is met; None for a measurement without a target.
        why: explanation of a miss.
    """

    target: str
    found: str
    kept: bool | None
    why: str = ""

    @property
    def said(self) -> str:
        """Verdict as shown in the page."""
        if self.kept is None:
            return "measured"
        return "pass" if self.kept else f"missed. {self.why}".strip()


def verdicts(day: Day | None, large: Mapping[str, Any] | None) -> list[Verdict]:
    """Return a verdict for each target that has measurements."""
    found: list[Verdict] = []
    if day:
        makers: Sequence[Callable[[Day], Iterable[Verdict]]] = (
            _cold, _rivals, _requests, _calm_tick, _usual_ticks, _reconcile, _memory, _size, _reading, _judging,
            _serving, _publishing, _definitions, _notebook, _dagster, _conditions,
        )  # fmt: skip
        found += [verdict for make in makers for verdict in make(day)]
    if large:
        found += _large(large)
    return found


def _cold(day: Day) -> Iterable[Verdict]:
    for gzip in (True, False):
        floor, ours = day.floor(gzip=gzip), day.values(COLD, "own", gzip=gzip)
        if not floor or not ours:
            continue
        theirs, downloads = day.values(floor, "own", gzip=gzip), day.values(floor, "download", gzip=gzip)
        fills = day.values(COLD, "fill", gzip=gzip)
        # We parse while bytes arrive; the floor downloads first, so it tells how long the download alone takes.
        beyond = [fill - download for fill, download in zip(fills, downloads, strict=True)]
        coding, which = "gzip" if gzip else "not compressed", floor.removeprefix("floor, ")
        for measure, mine in (
            (f"Cold fill of 24 h, {coding}: time after the download, against the {which} floor", beyond),
            (f"Cold fill of 24 h, {coding}: all processing, including work during the download", ours),
        ):
            yield Verdict(
                f"{measure}: at most 1.5 x",
                shown.compared(mine, theirs),
                ratio(mine, theirs).median <= 1.5,
                "Unlike the floor it rejects duplicate and broken rows, adds each reading's station and history, "
                "measures reporting intervals, and inspects the stored windows.",
            )


def _rivals(day: Day) -> Iterable[Verdict]:
    for name, least in zip(DLT, (8, 10), strict=True):
        theirs, ours = day.values(name, "wall"), day.values(COLD, "wall")
        if theirs and ours:
            yield Verdict(
                f"Cold fill of 24 h, whole process: at least {least} x as quick as {name}",
                shown.compared(theirs, ours),
                ratio(theirs, ours).median >= least,
                "Both include Python's start and the simulator's time, which weigh more in the shorter run.",
            )


def _requests(day: Day) -> Iterable[Verdict]:
    ours, theirs = day.values(COLD, "requests"), day.values(STATION, "requests")
    if ours:
        others = f" and {theirs[0]:,.0f}" if theirs else ""
        yield Verdict(
            "Requests of a cold fill: at most 2, against 5,500 with one per station",
            f"{max(ours):,.0f}{others}",
            max(ours) <= 2,
            "Some day was requested more than once.",
        )


def _calm_tick(day: Day) -> Iterable[Verdict]:
    ticks = day.ticks(calm=True)
    if ticks:
        ours, theirs = [tick["seconds"]["own"] for tick in ticks], [tick["one_window"] for tick in ticks]
        yield Verdict(
            "Tick without batches: processing after the download, against reading `latest` with bare pyarrow and "
            "upserting one window: at most 2.5 x",
            shown.compared(ours, theirs),
            ratio(ours, theirs).median <= 2.5,
            "It also inspects every window for gaps and damage, and compares every gauge with its watermark.",
        )


def _usual_ticks(day: Day) -> Iterable[Verdict]:
    ticks = day.ticks(calm=False)
    if not ticks:
        return
    ours = [tick["seconds"]["own"] for tick in ticks]
    for name, floor in (
        ("one_window", "the same floor, which misses batches"),
        ("same_work", "parsing the same answers with bare pyarrow and upserting as many windows"),
    ):
        found = shown.compared(ours, [tick[name] for tick in ticks])
        yield Verdict(f"Usual tick, against {floor}", found, kept=None)
    kept = [_few(tick) for tick in [*ticks, *day.ticks(calm=True)]]
    yield Verdict(
        "Requests of a tick: at most 1, plus one for each gauge with a batch, or a re-read day where that is cheaper",
        f"{sum(kept)} of {len(kept)} ticks; at most {max(tick['requests'] for tick in ticks)} requests",
        all(kept),
        "Some tick made more requests than its reason explains.",
    )


def _few(tick: Mapping[str, Any]) -> bool:
    """Return True if a tick made no more requests than its reason explains."""
    days = len(set(re.findall(r"\d{4}-\d\d-\d\d", tick["reason"])))
    besides = re.search(r"and ([\d,]+) measures? \(about", tick["reason"])
    singles = int(besides[1].replace(",", "")) if besides else 0 if days else (tick["jumped"] or 0)
    return bool(tick["requests"] <= 1 + singles + days)


def _reconcile(day: Day) -> Iterable[Verdict]:
    runs, cold = day.runs(RECONCILE), day.runs(COLD)
    if not runs or not cold:
        return
    ours = [run["told"]["seconds"]["own"] for run in runs]
    theirs = [_without_writing(run["told"]["seconds"]) for run in cold]
    written = max(run["told"]["written"] for run in runs)
    yield Verdict(
        "Reconcile of an unchanged day: writes nothing, and takes at most 1.3 x a cold fill without its writing",
        f"{written} windows written; {shown.compared(ours, theirs)}",
        written == 0 and ratio(ours, theirs).median <= 1.3,
        "It also reads the stored windows." if not written else "It wrote unchanged windows.",
    )


def _without_writing(seconds: Mapping[str, float]) -> float:
    """Return the processing time of a fill without writing; threads write in parallel, so their times are shares."""
    work = sum(seconds[part] for part in ("read", "merge", "write"))
    return seconds["own"] - seconds["store"] * seconds["write"] / work


def _memory(day: Day) -> Iterable[Verdict]:
    peaks, base, arrow = day.values(COLD, "peak_mb"), day.values(IMPORTS, "peak_mb"), day.all.get("arrow_bytes")
    if not peaks or not base or not arrow:
        return
    peak, imports, size = Figure.of(peaks), Figure.of(base).median, arrow / MIB
    beyond = peak.median - imports
    command = day.values(REFRESH, "peak_mb")
    most = max([*peaks, *command])
    yield Verdict(
        "Peak memory of a cold fill: at most 2 x the day as an Arrow table (beyond imports), and 600 MB in total",
        f"{beyond:.0f} MB beyond the imports' {imports:.0f} MB, {beyond / size:.2f} x the day's {size:.0f} MB; "
        f"{shown.spread(peak, '.0f')} MB in total"
        + (f"; the whole command with Dagster {shown.spread(Figure.of(command), '.0f')} MB" if command else ""),
        beyond <= 2 * size and most <= 600,
        "The API sends two whole days, which are held until the last 24 hours are cut out.",
    )


def _size(day: Day) -> Iterable[Verdict]:
    runs = day.runs(REFRESH) or day.runs(COLD)
    if runs:
        size = runs[-1]["told"]["stored_bytes"] / day.readings
        yield Verdict(
            "Bytes per reading at rest, all columns: at most 8",
            f"{size:.2f}: {day.readings:,} readings in {runs[-1]['told']['objects']} objects",
            size <= 8,
            "Each window has its own footer and dictionaries, shared by few readings.",
        )


def _reading(day: Day) -> Iterable[Verdict]:
    if "notebook" not in day.readers:
        return
    for question, said, most in (
        ("gauge", "One gauge's day", 1.3),
        ("river", "One river's day", 1.3),
        ("day", "The whole day", 1.5),
    ):
        ours = day.readers["notebook"][question]["seconds"]
        others = {name: one[question]["seconds"] for name, one in day.readers.items() if name != "notebook"}
        if not others:
            continue
        quickest = min(others, key=lambda name: Figure.of(others[name]).median)
        yield Verdict(
            f"{said} as pandas from the lake, warm: at most {most} x the quicker of {' and '.join(sorted(others))}",
            f"{shown.compared(ours, others[quickest])} ({quickest})",
            ratio(ours, others[quickest]).median <= most,
            "It decodes all columns of whole row groups; the others decode the filter column first.",
        )


def _judging(day: Day) -> Iterable[Verdict]:
    told = day.all.get("judging")
    if told:
        both, flags = told["seconds"]["conditions"], told["seconds"]["flags"]
        seconds = Figure.of(both)
        yield Verdict(
            "Flags and conditions of all gauges, CPU time: at most 1.5 x the flags of the same rows alone, and 0.6 s",
            f"{shown.compared(both, flags)}; {told['readings']:,} readings of {told['measures']:,} measures",
            ratio(both, flags).median <= 1.5 and seconds.median <= 0.6,
            "Both sort the readings of each gauge.",
        )


# Of each request: what it is called, CPU milliseconds at most, and how many times less than DuckDB at least.
_REQUESTS = {
    "gauge": ("One gauge's day as JSON", 0.6, 8),
    "latest": ("The newest reading of all gauges as GeoJSON", 0.4, 100),
    "box": ("The newest readings in a box of 1.1 degrees as GeoJSON", 1.2, 50),
}


def _serving(day: Day) -> Iterable[Verdict]:
    told = day.all.get("serving")
    if not told:
        return
    for name, (said, most, least) in _REQUESTS.items():
        ours, theirs = told[name]["ours"], told[name]["duckdb"]
        less, milliseconds = ratio(theirs, ours), Figure.of(ours)
        yield Verdict(
            f"{said} over HTTP, CPU of the server: at most {most} ms, and {least} x less than DuckDB in memory",
            f"{milliseconds.median:.2f} ms; {shown.times(less)} less than {Figure.of(theirs).median:.1f} ms",
            milliseconds.median <= most and less.median >= least,
            "DuckDB's time has no HTTP in it.",
        )
    rebuild = told["rebuild"]
    yield Verdict(
        "A changed window is served: at most 20 s after its commit, and 1.5 s of CPU",
        f"{rebuild['seconds']:.1f} s; {rebuild['cpu']:.2f} s",
        rebuild["seconds"] <= 20 and rebuild["cpu"] <= 1.5,
        "The server looks every five seconds.",
    )
    yield Verdict(
        "Memory of a server of the whole country: at most 400 MB",
        f"{told['memory'] / 1e6:.0f} MB",
        told["memory"] <= 400e6,
        "It holds the day as columns, and the bodies that were asked for last.",
    )
    stream = told["stream"]
    sent = stream["cpu"] - rebuild["cpu"]
    yield Verdict(
        "A change to 1,000 clients of the stream: nobody lost, at most 0.2 s of CPU besides the rebuild",
        f"{stream['got']:,} of {stream['clients']:,} clients; {sent:.2f} s, {stream['cpu']:.2f} s with the rebuild",
        stream["got"] == stream["clients"] and sent <= 0.2,
        "Each connection is written to by itself.",
    )


def _publishing(day: Day) -> Iterable[Verdict]:
    told = day.all.get("publishing") or {}
    if kafka := told.get("kafka"):
        rate = Figure.of(kafka["events"] / taken for taken in kafka["ours"]["seconds"])
        share = Figure.of(_shares(kafka["ours"])).median
        yield Verdict(
            "From readings in the lake to their confirmation by Kafka's mock cluster: at least 20,000 events a second",
            f"{shown.spread(rate, ',.0f')} of {kafka['events']:,} events; {share:.0%} of the time is CPU of ours",
            rate.median >= 20_000,
            "Each event is made, and has a delivery report of its own.",
        )
    for sink, side, said, least in (
        ("kinesis", "alone", "Kinesis, against boto3 alone with the same documents", 0.9),
        ("dynamodb", "alone", "DynamoDB, against boto3 alone with the same items and condition", 0.9),
        ("dynamodb", "plain", "DynamoDB, against boto3 alone with the same items and no condition", None),
    ):
        if one := told.get(sink):
            ours, theirs = one["ours"], one[side]
            reached, total = ratio(theirs["seconds"], ours["seconds"]), ratio(_spent(theirs), _spent(ours))
            own, other = (1000 * Figure.of(each["cpu"]).median for each in (ours, theirs))
            yield Verdict(
                f"From readings in the lake to their confirmation by moto's {said}: "
                + (f"at least {least:.0%} of its rate" if least else "share of its rate"),
                f"{reached.median:.0%}{shown.between(reached, '.0%')} of {one['events']:,} events; by CPU of client "
                f"and broker {total.median:.0%}; {own:.0f} ms of it are ours and {other:.0f} ms boto3's alone",
                None if least is None else reached.median >= least,
                "Readings are read and events are made before the first is sent.",
            )


def _spent(side: Mapping[str, Any]) -> list[float]:
    """Return the CPU seconds of client and broker."""
    return [own + broker for own, broker in zip(side["cpu"], side["broker"], strict=True)]


def _shares(side: Mapping[str, Any]) -> list[float]:
    return [own / taken for own, taken in zip(side["cpu"], side["seconds"], strict=True)]


def _definitions(day: Day) -> Iterable[Verdict]:
    why = "It also loads pyarrow and defines resources, assets and checks."
    return _import(day, imports.DEFINITIONS, "", why)


def _notebook(day: Day) -> Iterable[Verdict]:
    return _import(day, imports.NOTEBOOK, ", CPU time", "It also loads the lake, its schemas and the query layer.")


def _import(day: Day, one: imports.Import, unit: str, why: str) -> Iterable[Verdict]:
    found = day.all.get("imports", {})
    ours, theirs = (found.get("seconds", {}).get(name) for name in (one.module, one.baseline))
    if not ours or not theirs or one.module not in found.get("loads", {}):
        return
    loads = " and ".join(found["loads"][one.module])
    yield Verdict(
        f"`import {one.module}`{unit}: at most 1.5 x `import {one.baseline}`, without {', '.join(one.unwanted)}",
        f"{shown.compared(ours, theirs)}; loads {loads or 'none of them'}",
        ratio(ours, theirs).median <= 1.5 and not loads,
        "" if loads else why,
    )


def _dagster(day: Day) -> Iterable[Verdict]:
    if day.dagster:
        one = dagster_share.summary(day.dagster)
        yield Verdict(
            "From the schedule tick to the finished run: Dagster's share",
            f"{one['dagster']:.2f} of {one['total']:.2f} s are outside the steps",
            kept=None,
        )


def _conditions(day: Day) -> Iterable[Verdict]:
    ticks = [tick for tick in day.dagster if "conditions" in tick["runs"][-1]["each"]]
    if ticks:
        spent = [tick["runs"][-1]["each"]["conditions"] for tick in ticks]
        own = [tick["total"] - tick["runs"][-1]["download"] for tick in ticks]
        without = [whole - step for whole, step in zip(own, spent, strict=True)]
        yield Verdict(
            "Conditions with each tick: at most 1.3 x the tick without their step, both without the download",
            shown.compared(own, without),
            ratio(own, without).median <= 1.3,
            "The step flags all readings, draws a map and stores the table twice.",
        )


def _large(large: Mapping[str, Any]) -> Iterable[Verdict]:
    sizes: Mapping[str, Any] = large["sizes"]
    base = sizes.get("1")
    for factor, one in sizes.items():
        if factor == "1" or not one["own"]:
            continue
        if base and base["own"]:
            ours, theirs = ([own / size["readings"] for own in size["own"]] for size in (one, base))
            taken = ratio(ours, theirs)
            yield Verdict(
                f"{factor} times the network: processing time per reading at most 1.3 x that of the country",
                f"{shown.times(taken)}; {one['readings']:,} readings",
                taken.median <= 1.3,
                "The time grows faster than the number of readings.",
            )
        if factor == "100":
            peak = Figure.of(one["peak_mb"]).high
            yield Verdict(
                "100 times the network: peak memory at most 4 GiB",
                f"{peak / 1024:.2f} GiB",
                peak <= 4096,
                "A whole day is held in memory before it is stored.",
            )
    for factor, error in large.get("failed", {}).items():
        yield Verdict(f"{factor} times the network", f"failed: {error}", kept=False, why="The run did not finish.")
