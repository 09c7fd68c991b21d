"""What was promised, what was found, and whether it was kept."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import dagster_share, shown
from benchmarks.harness import Figure, ratio
from benchmarks.measurements import COLD, DLT, IMPORTS, RECONCILE, REFRESH, STATION, Day

MIB = 2**20


@dataclass(frozen=True)
class Verdict:
    """One target.

    Attributes:
        target: what was promised.
        found: what was measured.
        kept: whether that keeps it; None where nothing was promised.
        why: what is behind a miss.
    """

    target: str
    found: str
    kept: bool | None
    why: str = ""

    @property
    def said(self) -> str:
        """As the page says it."""
        if self.kept is None:
            return "measured"
        return "pass" if self.kept else f"missed. {self.why}".strip()


def verdicts(day: Day | None, large: Mapping[str, Any] | None) -> list[Verdict]:
    """Of each target that there are measurements for."""
    found: list[Verdict] = []
    if day:
        makers: Sequence[Callable[[Day], Iterable[Verdict]]] = (
            _cold, _rivals, _requests, _calm_tick, _usual_ticks, _reconcile, _memory, _size, _reading, _imports,
            _dagster,
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
        # It parses while bytes arrive: when the download ended, by itself, is what the floor tells.
        beyond = [fill - download for fill, download in zip(fills, downloads, strict=True)]
        coding, which = "gzip" if gzip else "not compressed", floor.removeprefix("floor, ")
        for measure, mine in (
            (f"Cold fill of 24 h, {coding}: time after the download, beside the quicker floor's ({which})", beyond),
            (f"The same, {coding}, with all work that is done while bytes arrive", ours),
        ):
            taken = ratio(mine, theirs)
            yield Verdict(
                f"{measure}: at most 1.5 x",
                f"{shown.times(taken)}: {shown.seconds(mine)} and {shown.seconds(theirs)}",
                taken.median <= 1.5,
                "Beyond the floor it finds doubled and broken rows, gives each reading its station and its history, "
                "learns each gauge's rhythm, and looks at what is stored.",
            )


def _rivals(day: Day) -> Iterable[Verdict]:
    for name, least in zip(DLT, (8, 10), strict=True):
        theirs, ours = day.values(name, "wall"), day.values(COLD, "wall")
        if theirs and ours:
            quicker = ratio(theirs, ours)
            yield Verdict(
                f"The same beside {name}, whole processes: at least {least} x as quick",
                f"{shown.times(quicker)}: {shown.seconds(theirs)} and {shown.seconds(ours)}",
                quicker.median >= least,
                "The start of Python and the simulator's own time are in both, and weigh more in the shorter one.",
            )


def _requests(day: Day) -> Iterable[Verdict]:
    ours, theirs = day.values(COLD, "requests"), day.values(STATION, "requests")
    if ours:
        beside = f" and {theirs[0]:,.0f}" if theirs else ""
        yield Verdict(
            "Requests of a cold fill, beside one per station: 2 and 5,500",
            f"{max(ours):,.0f}{beside}",
            max(ours) <= 2,
            "It asked for a day more than once.",
        )


def _calm_tick(day: Day) -> Iterable[Verdict]:
    ticks = day.ticks(calm=True)
    if ticks:
        ours, theirs = [tick["seconds"]["own"] for tick in ticks], [tick["one_window"] for tick in ticks]
        taken = ratio(ours, theirs)
        yield Verdict(
            "A tick in which nothing jumps: own work after the download, beside reading `latest` with bare pyarrow and "
            "merging one window: at most 2 x",
            f"{shown.times(taken)}: {shown.seconds(ours)} and {shown.seconds(theirs)}",
            taken.median <= 2,
            "It also looks at every window for holes and damage, and compares every gauge with its watermark.",
        )


def _usual_ticks(day: Day) -> Iterable[Verdict]:
    ticks = day.ticks(calm=False)
    if not ticks:
        return
    ours = [tick["seconds"]["own"] for tick in ticks]
    for name, beside in (
        ("one_window", "the same floor, which loses what jumped"),
        ("same_work", "parsing the same answers with bare pyarrow and merging as many windows"),
    ):
        theirs = [tick[name] for tick in ticks]
        yield Verdict(
            f"A usual tick, beside {beside}",
            f"{shown.times(ratio(ours, theirs))}: {shown.seconds(ours)} and {shown.seconds(theirs)}",
            kept=None,
        )
    kept = [_few(tick) for tick in [*ticks, *day.ticks(calm=True)]]
    yield Verdict(
        "Requests of a tick: at most 1 and one for each gauge that jumped, or a day read again where that is cheaper",
        f"{sum(kept)} of {len(kept)} ticks; at most {max(tick['requests'] for tick in ticks)} requests",
        all(kept),
        "Some tick asked more often than its reason tells.",
    )


def _few(tick: Mapping[str, Any]) -> bool:
    """Whether a tick asked no more often than its reason says that it must."""
    days = len(set(re.findall(r"\d{4}-\d\d-\d\d", tick["reason"])))
    besides = re.search(r"and (\d+) measures \(about", tick["reason"])
    singles = int(besides[1]) if besides else 0 if days else (tick["jumped"] or 0)
    return bool(tick["requests"] <= 1 + singles + days)


def _reconcile(day: Day) -> Iterable[Verdict]:
    runs, cold = day.runs(RECONCILE), day.runs(COLD)
    if not runs or not cold:
        return
    ours = [run["told"]["seconds"]["own"] for run in runs]
    theirs = [_without_writing(run["told"]["seconds"]) for run in cold]
    taken, written = ratio(ours, theirs), max(run["told"]["written"] for run in runs)
    yield Verdict(
        "Reconcile of an unchanged day: writes nothing, and takes at most 1.3 x what the cold fill takes without its "
        "writing",
        f"{written} windows written; {shown.times(taken)}: {shown.seconds(ours)} and {shown.seconds(theirs)}",
        written == 0 and taken.median <= 1.3,
        "It reads what is stored, which the cold fill need not." if not written else "It wrote.",
    )


def _without_writing(seconds: Mapping[str, float]) -> float:
    """The own time of a fill but for writing; windows are stored side by side, so the threads' times are shares."""
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
        "Peak memory of a cold fill of the country: at most 2 x the day as an Arrow table, and 600 MB in all",
        f"{beyond:.0f} MB beyond the imports' {imports:.0f} MB, {beyond / size:.2f} x the day's {size:.0f} MB; "
        f"{shown.spread(peak, '.0f')} MB in all"
        + (f"; the whole command with Dagster {shown.spread(Figure.of(command), '.0f')} MB" if command else ""),
        beyond <= 2 * size and most <= 600,
        "Two whole days come from the API, and are held until the last 24 hours are cut out of them.",
    )


def _size(day: Day) -> Iterable[Verdict]:
    runs = day.runs(REFRESH) or day.runs(COLD)
    if runs:
        size = runs[-1]["told"]["stored_bytes"] / day.readings
        yield Verdict(
            "Bytes per reading at rest, all columns: at most 6",
            f"{size:.2f}: {day.readings:,} readings in {runs[-1]['told']['objects']} objects",
            size <= 6,
            "Each window has a head and a dictionary of its own, which few readings share.",
        )


def _reading(day: Day) -> Iterable[Verdict]:
    if "notebook" not in day.readers:
        return
    for question, said in (("gauge", "One gauge's day"), ("river", "One river's day"), ("day", "The whole day")):
        ours = day.readers["notebook"][question]["seconds"]
        others = {name: one[question]["seconds"] for name, one in day.readers.items() if name != "notebook"}
        if not others:
            continue
        quickest = min(others, key=lambda name: Figure.of(others[name]).median)
        taken = ratio(ours, others[quickest])
        yield Verdict(
            f"{said} as pandas from the lake, warm, beside the quicker of {' and '.join(sorted(others))}: at most "
            "1.5 x",
            f"{shown.times(taken)}: {shown.seconds(ours)} and {shown.seconds(others[quickest])} ({quickest})",
            taken.median <= 1.5,
            "It decodes whole row groups, all columns; the others decode the column first that is asked by. Smaller "
            "groups would take more than 6 bytes a reading.",
        )


def _imports(day: Day) -> Iterable[Verdict]:
    found = day.all.get("imports", {})
    if "seconds" not in found:
        return
    ours, theirs = found["seconds"]["flood_assets.definitions"], found["seconds"]["dagster"]
    taken, brings = ratio(ours, theirs), " and ".join(found["brings"])
    yield Verdict(
        "`import flood_assets.definitions`, beside `import dagster`: at most 1.5 x, without pandas, boto3 or obstore",
        f"{shown.times(taken)}: {shown.seconds(ours)} and {shown.seconds(theirs)}; brings {brings or 'none of them'}",
        taken.median <= 1.5 and not brings,
        "pyarrow and Dagster's definitions of resources, assets and checks come on top of `import dagster`.",
    )


def _dagster(day: Day) -> Iterable[Verdict]:
    if day.dagster:
        one = dagster_share.summary(day.dagster)
        yield Verdict(
            "From the tick of the schedule to the finished run: Dagster's own share",
            f"{one['dagster']:.2f} of {one['total']:.2f} s are outside the steps",
            kept=None,
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
                f"{factor} times the network: own time per reading, beside that of the country: at most 1.3 x",
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
                "A day is held whole before it is stored.",
            )
    for factor, error in large.get("failed", {}).items():
        yield Verdict(f"{factor} times the network", f"failed: {error}", kept=False, why="It did not end.")
