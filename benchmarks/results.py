"""RESULTS.md: made from the files of measurements, and from nothing else.

`make bench` writes `results/day.json`, `make bench-large` writes `results/large.json`; the page is made from whatever of
the two is there. What a figure is compared with, and what counts as kept, stands in `_targets`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import costs, dagster_share
from benchmarks.harness import Figure, ratio

COLD, RECONCILE, REFRESH = "flood_assets cold", "flood_assets reconcile", "flood-assets refresh"
FLOORS = ("floor, strings", "floor, dictionary")
DISCARD, IMPORTS = "discard", "flood_assets imports"
STATION = "one request per station"
NOTES = {
    True: "answers compressed with gzip, as the real API sends them; unpacking is everybody's own work",
    False: "answers not compressed",
}


@dataclass(frozen=True)
class Verdict:
    """One target: what was promised, what was found, whether it was kept (None: only measured)."""

    target: str
    found: str
    kept: bool | None
    why: str = ""

    @property
    def said(self) -> str:
        """For the table."""
        if self.kept is None:
            return self.why or "measured"
        return "pass" if self.kept else f"missed. {self.why}".strip()


class Day:
    """The measurements of `make bench`, and how they are asked for."""

    def __init__(self, measured: Mapping[str, Any]) -> None:
        self.all = measured
        self.readings: int = measured["prepared"]["readings"]

    def runs(self, name: str, *, gzip: bool = True) -> list[dict[str, Any]]:
        """Those that ended well, by round."""
        mine = [run for run in self.all["runs"] if run["contestant"] == name and run["gzip"] == gzip]
        return sorted((run for run in mine if not run["error"]), key=lambda run: run["round"])

    def values(self, name: str, what: str, *, gzip: bool = True) -> list[float]:
        """One value a round: `wall`, `peak_mb`, `requests`, `bytes`, or a phase of its own time."""
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
        """How right it was."""
        found: dict[str, Any] = self.all["right"]["gzip" if gzip else "plain"].get(name, {})
        return found


def render(day: Mapping[str, Any] | None, large: Mapping[str, Any] | None) -> str:
    """The whole page."""
    made = Day(day) if day else None
    parts = [_HEAD, _targets_table(targets(made, large))]
    if made:
        parts += [_conditions(made), _contestants(made), _simulator(made), _ticks(made), _reading(made)]
        parts += [_dagster(made)]
    parts += [_large(large)] if large else []
    if made:
        parts += [_decision(made, large)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


_HEAD = """
# Results

Written by `make bench` and `make bench-large`; nobody edits it by hand. A ratio is one of medians of runs that took
turns in one session on one machine; its spread, in brackets, is the least and the most ratio within one round. Absolute
times say little about another machine. Everything runs against the simulator on localhost, in a process of its own: what
the real API and the internet add is not in any figure.
"""


# -- targets


def targets(day: Day | None, large: Mapping[str, Any] | None) -> list[Verdict]:
    """Each target that there are measurements for."""
    found: list[Verdict] = []
    if day:
        makers: Sequence[Callable[[Day], Iterable[Verdict]]] = (
            _of_cold, _of_rivals, _of_ticks, _of_reconcile, _of_memory, _of_size, _of_reading, _of_imports, _of_dagster,
        )  # fmt: skip
        found += [verdict for make in makers for verdict in make(day)]
    if large:
        found += _of_large(large)
    return found


def _of_cold(day: Day) -> Iterable[Verdict]:
    for gzip in (True, False):
        floor = day.floor(gzip=gzip)
        ours = day.values(COLD, "own", gzip=gzip)
        if not floor or not ours:
            continue
        taken = ratio(ours, day.values(floor, "own", gzip=gzip))
        times = f"{_s(ours)} and {_s(day.values(floor, 'own', gzip=gzip))}"
        yield Verdict(
            f"cold fill of 24 h, {'gzip' if gzip else 'no compression'}: time after download, at most 1.5 times the "
            f"quicker floor's ({floor.removeprefix('floor, ')})",
            f"{_x(taken)}: {times}",
            taken.median <= 1.5,
            "The fill also makes ids unique, learns each gauge's rhythm for the marks, and looks for damage.",
        )


def _of_rivals(day: Day) -> Iterable[Verdict]:
    for name, least in (("dlt, Parquet", 8), ("dlt, Delta", 10)):
        theirs, ours = day.values(name, "wall"), day.values(COLD, "wall")
        if theirs and ours:
            times = ratio(theirs, ours)
            yield Verdict(
                f"the same beside {name}, whole process each: at least {least} times as quick",
                f"{_x(times)}: {_s(theirs)} and {_s(ours)}",
                times.median >= least,
                "Both times hold the simulator's own and the start of Python.",
            )
    ours, theirs = day.values(COLD, "requests"), day.values(STATION, "requests")
    if ours:
        beside = f"{theirs[0]:,.0f}" if theirs else "one a station"
        yield Verdict(
            "requests of a cold fill, beside one per station: 2 and 5,500",
            f"{ours[0]:,.0f} and {beside}",
            max(ours) <= 2,
            "It asked more than once for a day.",
        )


def _of_ticks(day: Day) -> Iterable[Verdict]:
    calm, usual = ([tick for tick in day.all.get("ticks", []) if tick["calm"] == kind] for kind in (True, False))
    for which, name, bound in (
        (calm, "one_window", 2.0),
        (usual, "same_work", None),
        (usual, "one_window", None),
    ):
        if not which:
            continue
        ours, theirs = [tick["seconds"]["own"] for tick in which], [tick[name] for tick in which]
        taken = ratio(ours, theirs)
        kind = "a tick in which nothing jumps" if which is calm else "a usual tick"
        beside = {
            "one_window": "reading `latest` with bare pyarrow and merging one window",
            "same_work": "parsing the same answers with bare pyarrow and merging as many windows",
        }[name]
        yield Verdict(
            f"{kind}: own work after download, beside {beside}" + (f": at most {bound:g} times" if bound else ""),
            f"{_x(taken)}: {_s(ours)} and {_s(theirs)}",
            taken.median <= bound if bound else None,
            "It also looks whether windows are missing or damaged and compares every gauge with its mark."
            if bound
            else "no target",
        )
    if usual:
        kept = [_few_requests(tick) for tick in usual + calm]
        yield Verdict(
            "requests of a tick: at most 1 and the gauges that jumped, or a re-read where that is cheaper",
            f"{sum(kept)} of {len(kept)} ticks; at most {max(tick['requests'] for tick in usual)}",
            all(kept),
            "Some tick asked more often.",
        )


def _few_requests(tick: Mapping[str, Any]) -> bool:
    days = len(set(re.findall(r"\d{4}-\d\d-\d\d", tick["reason"])))
    asked = re.search(r"and (\d+) measures [\d.]+ s", tick["reason"])
    singles = int(asked[1]) if asked else (tick["jumped"] or 0)
    return tick["requests"] <= 1 + singles + days


def _of_reconcile(day: Day) -> Iterable[Verdict]:
    runs, cold = day.runs(RECONCILE), day.runs(COLD)
    if not runs or not cold:
        return
    ours = [run["told"]["seconds"]["own"] for run in runs]
    theirs = [run["told"]["seconds"]["own"] - run["told"]["seconds"]["write"] for run in cold]
    taken = ratio(ours, theirs)
    written = max(run["told"]["written"] for run in runs)
    yield Verdict(
        "reconcile of an unchanged day: writes nothing, and takes at most 1.3 times the cold fill without its writing",
        f"{written} windows written; {_x(taken)}: {_s(ours)} and {_s(theirs)}",
        written == 0 and taken.median <= 1.3,
        "It reads what is stored, which the cold fill had no need to.",
    )


def _of_memory(day: Day) -> Iterable[Verdict]:
    peaks, base = day.values(COLD, "peak_mb"), day.values(IMPORTS, "peak_mb")
    arrow = day.all.get("arrow_bytes")
    if not peaks or not base or not arrow:
        return
    peak, imports = Figure.of(peaks), Figure.of(base)
    beyond = peak.median - imports.median
    yield Verdict(
        "peak memory of a cold fill of the country: at most twice the day's size as an Arrow table, and 600 MB in all",
        f"{beyond:.0f} MB beyond the {imports.median:.0f} MB of the imports, which is {beyond / (arrow / 2**20):.2f} "
        f"times the day's {arrow / 2**20:.0f} MB; {_spread(peak, '.0f')} MB in all",
        beyond <= 2 * arrow / 2**20 and peak.high <= 600,
        "See the table of contestants.",
    )


def _of_size(day: Day) -> Iterable[Verdict]:
    runs = day.runs(REFRESH) or day.runs(COLD)
    if runs:
        size = runs[-1]["told"]["stored_bytes"] / day.readings
        yield Verdict(
            "bytes per reading at rest, all columns: at most 6",
            f"{size:.2f}, {day.readings:,} readings in {runs[-1]['told']['objects']} objects",
            size <= 6,
            "",
        )


def _of_reading(day: Day) -> Iterable[Verdict]:
    engines = day.all.get("reading", {}).get("engines", {})
    if "notebook" not in engines:
        return
    for question, said in (("gauge", "one gauge's day"), ("river", "one river's day"), ("day", "the whole day")):
        ours = engines["notebook"][question]["seconds"]
        others = {name: one[question]["seconds"] for name, one in engines.items() if name != "notebook"}
        if not others:
            continue
        quickest = min(others, key=lambda name: Figure.of(others[name]).median)
        taken = ratio(ours, others[quickest])
        yield Verdict(
            f"{said} as pandas from the lake, warm: at most 1.5 times the quicker of {_listed(sorted(others))}",
            f"{_x(taken)}: {_ms(ours)} and {_ms(others[quickest])} ({quickest})",
            taken.median <= 1.5,
            "The notebook's function also looks for gauges and hours that are not there, to say why.",
        )


def _of_imports(day: Day) -> Iterable[Verdict]:
    found = day.all.get("imports", {})
    if "seconds" not in found:
        return
    ours, theirs = found["seconds"]["flood_assets.definitions"], found["seconds"]["dagster"]
    taken = ratio(ours, theirs)
    brings = ", ".join(found["brings"]) or "none of them"
    yield Verdict(
        "`import flood_assets.definitions` beside `import dagster`: at most 1.5 times, without pandas, boto3 or obstore",
        f"{_x(taken)}: {_s(ours)} and {_s(theirs)}; brings {brings}",
        taken.median <= 1.5 and not found["brings"],
        f"It brings {brings}." if found["brings"] else "",
    )


def _of_dagster(day: Day) -> Iterable[Verdict]:
    share = day.all.get("dagster", {})
    if "ticks" in share:
        one = dagster_share.summary(share["ticks"])
        yield Verdict(
            "from the tick of the schedule to the finished run: Dagster's own share",
            f"{one['dagster']:.2f} s of {one['total']:.2f} s are outside the steps",
            None,
            "measured; see below",
        )


def _of_large(large: Mapping[str, Any]) -> Iterable[Verdict]:
    sizes = large["sizes"]
    base = sizes.get("1")
    for factor, one in sizes.items():
        if factor == "1" or not one["own"]:
            continue
        if base and base["own"]:
            each = [taken / one["readings"] for taken in one["own"]]
            taken = ratio(each, [own / base["readings"] for own in base["own"]])
            yield Verdict(
                f"{factor} times the network: own time per reading at most 1.3 times that of the country",
                f"{_x(taken)}, {one['readings']:,} readings",
                taken.median <= 1.3,
                "See the table of large networks.",
            )
        if factor == "100":
            peak = Figure.of(one["peak_mb"])
            yield Verdict(
                "100 times the network: peak memory at most 4 GiB",
                f"{peak.high / 1024:.2f} GiB",
                peak.high <= 4096,
                "A day is held in memory whole before it is stored.",
            )
    for factor, error in large.get("failed", {}).items():
        yield Verdict(f"{factor} times the network", f"failed: {error}", kept=False, why="It did not end.")


def _targets_table(found: Sequence[Verdict]) -> str:
    rows = [(one.target, one.found, one.said) for one in found]
    return "## Targets\n\n" + _table(("target", "measured", "verdict"), rows)


# -- sections


def _conditions(day: Day) -> str:
    where, prepared = day.all["conditions"], day.all["prepared"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(where["versions"].items()))
    return f"""
## Conditions

{where["date"]}: {where["cores"]} cores ({where["processor"]}), {where["memory_gib"]} GiB, {where["system"]}, Python
{where["python"]}. Simulator: {prepared["stations"]:,} stations, {prepared["measures"]:,} measures, its clock stopped at
{day.all["now"]}; the last 24 hours hold {prepared["readings"]:,} readings. {day.all["rounds"]} rounds.

{versions}.
"""


def _contestants(day: Day) -> str:
    text = "## Contestants\n\nThe same day of readings for each. Time is of the whole process, with the simulator's own in it.\n"
    text += (
        "Own time is what is left after waiting for bytes, without the start of Python, where a contestant tells it.\n"
    )
    text += "The ratio is to `flood_assets cold`, whole processes. *Twice* are rows beyond one a reading, *other* are rows\n"
    text += "that do not belong to the last 24 hours, *wrong* have another value. MB are of plain answers."
    heads = (
        "contestant", "runs", "seconds", "own seconds", "ratio", "peak MB", "requests", "MB", "recall", "wrong", "twice",
        "other",
    )  # fmt: skip
    for gzip in (True, False):
        names = list(dict.fromkeys(run["contestant"] for run in day.all["runs"] if run["gzip"] == gzip))
        rows = [row for name in names if name != IMPORTS and (row := _row(day, name, gzip=gzip))]
        if rows:
            text += f"\n\n{NOTES[gzip].capitalize()}:\n\n" + _table(heads, rows)
    does = [f"- *{name}*: {said}" for name, said in day.all["does"].items() if said and name != IMPORTS]
    text += "\n\n" + "\n".join(does)
    if day.all["missing"]:
        text += "\n\nWhat could not run, and what it said:\n\n"
        text += "\n".join(f"- {name}: `{error}`" for name, error in day.all["missing"].items())
    return text


def _row(day: Day, name: str, *, gzip: bool) -> tuple[str, ...] | None:
    runs = day.runs(name, gzip=gzip)
    if not runs:
        return None
    wall, ours = day.values(name, "wall", gzip=gzip), day.values(COLD, "wall", gzip=gzip)
    own = day.values(name, "own", gzip=gzip)
    right = day.right(name, gzip=gzip)
    return (
        name,
        str(len(runs)),
        _spread(Figure.of(wall), ".2f"),
        _spread(Figure.of(own), ".2f") if own else "",
        _x(ratio(wall, ours)) if ours else "",
        f"{Figure.of(day.values(name, 'peak_mb', gzip=gzip)).median:.0f}",
        f"{runs[-1]['requests']:,}",
        f"{runs[-1]['bytes'] / 1e6:,.0f}",
        *(_right(right) if right else ("", "", "", "")),
    )


def _right(right: Mapping[str, Any]) -> tuple[str, str, str, str]:
    if "error" in right:
        return (f"unreadable: {right['error']}", "", "", "")
    return (recall(right), *(f"{right[name]:,}" for name in ("wrong", "twice", "older")))


def recall(right: Mapping[str, Any]) -> str:
    """As a percentage that says 100 only where nothing is lost."""
    if right["had"] == right["shown"]:
        return "100 %"
    return f"{min(99.99, 100 * right['recall']):.2f} %"


def _simulator(day: Day) -> str:
    lines = []
    for gzip in (True, False):
        waits, runs = day.values(DISCARD, "download", gzip=gzip), day.runs(DISCARD, gzip=gzip)
        if runs:
            sent = runs[-1]["told"]["sent_bytes"]
            how = "with gzip" if gzip else "without compression"
            lines.append(f"- {how}: {_spread(Figure.of(waits), '.2f')} s for {sent / 1e6:,.1f} MB as sent")
    if not lines:
        return ""
    return (
        "## The simulator's own time\n\nTwo days' answers, asked for and thrown away. Nobody can be quicker than this, "
        "and it is in everybody's time:\n\n" + "\n".join(lines)
    )


def _ticks(day: Day) -> str:
    ticks = [tick for tick in day.all.get("ticks", []) if tick["round"] == 0]
    if not ticks:
        return ""
    rows = [
        (
            tick["at"][11:16] + (" calm" if tick["calm"] else ""),
            str(tick["moved"]),
            str(tick["jumped"]),
            str(tick["requests"]),
            f"{tick['rows']:,}",
            f"{tick['added']:,}",
            str(tick["written"]),
            *(f"{1000 * value:.0f}" for value in (tick["seconds"]["own"], tick["one_window"], tick["same_work"])),
        )
        for tick in ticks
    ]
    heads = (
        "tick", "moved by one step", "jumped", "requests", "rows read", "new", "windows written", "own ms", "one window ms",
        "same work ms",
    )  # fmt: skip
    return (
        "## Ticks\n\nOne round of them. The floors run in the same process at the same moment: *one window* reads `latest` "
        "and merges the\nwindow that is filling; *same work* parses what this tick asked for and merges as many windows as "
        "it wrote. A *calm* tick is\nmade: in a whole country some gauge always uploads a batch, so those were asked a "
        "moment before. The first tick of a\nprocess also pays for what is made once.\n\n" + _table(heads, rows)
    )


def _reading(day: Day) -> str:
    found = day.all.get("reading", {})
    engines = found.get("engines", {})
    if not engines:
        return ""
    rows = []
    for question in ("gauge", "river", "day"):
        for engine, answers in engines.items():
            one = answers[question]
            rows.append((question, engine, f"{one['rows']:,}", _ms(one["seconds"])))
    agree = all(
        len({(answers[question]["rows"], round(answers[question]["sum"], 2)) for answers in engines.values()}) == 1
        for question in ("gauge", "river", "day")
    )
    told = "All give the same rows and the same sum of values." if agree else "They do NOT give the same rows."
    return (
        f"## Reading\n\nFrom the same files to pandas, all columns, in warm processes; the river is {found['river']}. {told}\n\n"
        + _table(("question", "reader", "rows", "time"), rows)
    )


def _dagster(day: Day) -> str:
    share = day.all.get("dagster", {})
    if "ticks" not in share:
        return ""
    one = dagster_share.summary(share["ticks"])
    rows = [
        ("evaluating the schedule", f"{one['evaluate']:.3f}"),
        ("the steps: readings, their checks, the ledger", f"{one['steps']:.3f}"),
        ("of these the step of the readings", f"{one['readings']:.3f}"),
        ("of these waiting for the API", f"{one['download']:.3f}"),
        ("outside the steps: Dagster's own", f"{one['dagster'] - one['evaluate']:.3f}"),
        ("all", f"{one['total']:.3f}"),
    ]
    return f"""
## Dagster's own share

A tick on an instance in SQLite, medians in seconds, {len(share["ticks"])} ticks in one process:

{_table(("part", "seconds"), rows)}

A daemon starts each run in a new process: importing the definitions ({share["import"]:.2f} s) and opening the instance
({share["ticks"][0]["instance"]:.2f} s) come on top. Outside the steps Dagster makes the plan of the run, resolves which
of the 25 windows each asset has, and writes {one["events"]:.0f} events; each event is a transaction of SQLite. Inside the
steps it records one materialization for each window. That is what the UI shows, so it stays: fewer windows' records
would be fewer lines of the history of each window. The records of these ticks take
{share["home_bytes"] / 1e6:.1f} MB.
"""


def _large(large: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{factor} x",
            f"{one['stations']:,}",
            f"{one['readings']:,}",
            str(len(one["wall"])),
            _spread(Figure.of(one["wall"]), ".1f"),
            _spread(Figure.of(one["own"]), ".2f"),
            f"{1e6 * Figure.of(one['own']).median / one['readings']:.2f}",
            f"{Figure.of(one['peak_mb']).high:,.0f}",
            f"{one['stored_bytes'] / one['readings']:.2f}",
            recall(one["right"]) if one.get("right") else "",
        )
        for factor, one in large["sizes"].items()
        if one["own"]
    ]
    where = large["conditions"]
    failed = "".join(f"\n- {factor} x failed: `{error}`" for factor, error in large.get("failed", {}).items())
    heads = (
        "network", "stations", "readings", "runs", "seconds", "own seconds", "own us a reading", "peak MB",
        "bytes a reading", "recall",
    )  # fmt: skip
    return (
        f"## Large networks\n\n`make bench-large`, {where['date']}, {where['cores']} cores, {where['memory_gib']} GiB: a "
        "cold fill without Dagster, gzip. Own time is what is left\nafter waiting for bytes.\n\n"
        + _table(heads, rows)
        + failed
    )


# -- for whoever must decide


def _decision(day: Day, large: Mapping[str, Any] | None) -> str:
    measured = _what_one_takes(day)
    if not measured:
        return ""
    total = costs.of(measured)
    stations = day.all["prepared"]["stations"]
    rows = [
        ("requests of the API a day", f"{total.api_requests:,.0f}", "hardly: a tick asks for the day where many jump"),
        ("MB from the API a day, with gzip", f"{total.api_bytes / 1e6:,.0f}", "in proportion"),
        ("requests of S3 a day", f"{total.gets + total.lists + total.puts:,.0f}", "not: a window is one object"),
        ("of these PUT and LIST", f"{total.lists + total.puts:,.0f}", "not"),
        ("MB to S3 a day", f"{total.put_bytes / 1e6:,.0f}", "in proportion"),
        ("MB in S3", f"{measured.stored_bytes / 1e6:,.1f}", "in proportion"),
        ("US cents a month for S3", f"{total.cents:,.0f}", "only with what is stored, which is the least of it"),
    ]
    day_in = f"{day.all['prepared']['readings']:,} readings a day"
    end = _where_it_ends(large)
    return f"""
## For whoever must decide

What it takes to keep 24 hours of {stations:,} stations ({day_in}) in S3, refreshed every 15 minutes and read whole every
six hours:

{_table(("what", "a country of today", "how it grows with the stations"), rows)}

Prices: S3 Standard in London, {costs.PRICES_OF}: {costs.GB_MONTH_USD} USD a GB and month,
{1000 * costs.PUT_OR_LIST_USD:.4f} USD for 1,000 PUT or LIST, {1000 * costs.GET_USD:.5f} USD for 1,000 GET. AWS's own page
could not be read where this was written; they stand in `benchmarks/costs.py`, from public copies of AWS's list. Traffic
into S3, and between S3 and a machine in the same region, costs nothing. The machine is not in this: two cores and 2 GiB
are enough, and they are idle for most of each quarter of an hour. Requests of S3 were counted at the lake's store during
one tick; a cleanup and a reconcile are taken as one tick each, which is too much rather than too little.

{end}
"""


def _what_one_takes(day: Day) -> costs.Measured | None:
    share = day.all.get("dagster", {}).get("ticks", [])
    counted = [tick for tick in share if tick["counted"]]
    usual = [tick for tick in day.all.get("ticks", []) if not tick["calm"]]
    cold, discard, refresh = day.runs(COLD), day.runs(DISCARD), day.runs(REFRESH)
    if not counted or not usual or not cold or not discard or not refresh:
        return None
    calls = counted[-1]["calls"]
    return costs.Measured(
        tick_requests=Figure.of(tick["requests"] for tick in usual).median,
        tick_bytes=Figure.of(tick["bytes"] for tick in usual).median,
        day_requests=cold[-1]["requests"],
        day_bytes=cold[-1]["bytes"],
        gauges_requests=refresh[-1]["requests"] - cold[-1]["requests"],
        gauges_bytes=refresh[-1]["bytes"] - cold[-1]["bytes"],
        packed=discard[-1]["told"]["sent_bytes"] / discard[-1]["bytes"],
        gets=calls.get("GET", 0),
        lists=calls.get("LIST", 0),
        puts=calls.get("PUT", 0),
        put_bytes=calls.get("put_bytes", 0),
        stored_bytes=refresh[-1]["told"]["all_bytes"],
    )


def _where_it_ends(large: Mapping[str, Any] | None) -> str:
    if not large or not any(one["own"] for one in large["sizes"].values()):
        return "Where one machine ends is measured by `make bench-large`, which has not been run."
    factor, one = [(factor, one) for factor, one in large["sizes"].items() if one["own"]][-1]
    wall, peak = Figure.of(one["wall"]).median, Figure.of(one["peak_mb"]).high
    minutes = wall / 60
    return (
        f"Where one machine ends: {factor} times the network is {one['readings'] / 1e6:,.1f} million readings a day. A cold "
        f"fill of it takes {minutes:,.1f} minutes, the\nsimulator's own time included, and {peak / 1024:.1f} GiB at most. A "
        "tick must end within a quarter of an hour: the end is\nwhere reading a day takes longer than that, or where the "
        "API takes longer to write it. Then divide the country: one lake\nfor each part, filled by a machine of its own, by "
        "parameter or by area, which the API can filter by. Nothing in a lake knows of\nany other, and a reader opens "
        "several as one dataset."
    )


# -- how values are written


def _x(figure: Figure) -> str:
    return f"{figure.median:.2f} x ({figure.low:.2f} to {figure.high:.2f})"


def _s(values: Sequence[float]) -> str:
    figure = Figure.of(values)
    return f"{figure.median:.2f} s" if figure.median >= 0.1 else f"{1000 * figure.median:.1f} ms"


def _ms(values: Sequence[float]) -> str:
    figure = Figure.of(values)
    return f"{1000 * figure.median:.0f} ms ({1000 * figure.low:.0f} to {1000 * figure.high:.0f})"


def _spread(figure: Figure, form: str) -> str:
    if figure.count == 1:
        return f"{figure.median:{form}}"
    return f"{figure.median:{form}} ({figure.low:{form}} to {figure.high:{form}})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    return "\n".join(lines)
