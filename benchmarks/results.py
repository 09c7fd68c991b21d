"""Render RESULTS.md from the saved measurements.

`make bench` writes `results/day.json`, `make bench-large` writes `results/large.json`; the page uses whichever exists.
The verdicts are in `targets`, the running costs in `decision`.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks import dagster_share, decision, shown
from benchmarks.harness import Figure, ratio
from benchmarks.measurements import COLD, DISCARD, IMPORTS, Day
from benchmarks.targets import verdicts

HEAD = """
# Results

Compared with common tools. Written by `make bench` and `make bench-large`; do not edit by hand. Everything runs against
the simulator in its own process on localhost, so no figure includes the real API or the internet. Figures are medians.
A ratio is one of medians over the rounds that both sides ran, taking turns in one session; brackets hold the lowest and
the highest ratio within a round. Times depend on the machine, ratios less so.
"""

NOTES = {
    True: "Answers compressed with gzip, as the real API sends them; each contestant decompresses them itself:",
    False: "Answers not compressed:",
}


def render(day: Mapping[str, Any] | None, large: Mapping[str, Any] | None) -> str:
    """Return the whole page as Markdown."""
    made = Day(day) if day else None
    judged = [(one.target, one.found, one.said) for one in verdicts(made, large)]
    parts = [HEAD, "## Targets\n\n" + shown.table(("target", "measured", "verdict"), judged)]
    if made:
        parts += [_conditions(made), _contestants(made), _simulator(made), _ticks(made), _reading(made), _dagster(made)]
    parts += [_large(large)] if large else []
    parts += [decision.page(made, large)] if made else []
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _conditions(day: Day) -> str:
    where, prepared = day.all["conditions"], day.all["prepared"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(where["versions"].items()))
    rows = [
        ("measured", f"{where['date']}, {day.all['rounds']} rounds"),
        ("machine", f"{where['cores']} cores ({where['processor']}), {where['memory_gib']} GiB, {where['system']}"),
        ("versions", f"Python {where['python']}, {versions}"),
        ("simulator", f"{prepared['stations']:,} stations, {prepared['measures']:,} measures; {day.all['now']}"),
        ("the last 24 hours", f"{day.readings:,} readings"),
    ]
    return "## Conditions\n\n" + shown.table(("", ""), rows)


def _contestants(day: Day) -> str:
    heads = (
        "contestant", "runs", "seconds", "processing s", "ratio", "peak MB", "requests", "MB", "recall", "wrong",
        "duplicates", "outside 24 h",
    )  # fmt: skip
    text = """
## Contestants

Each fetches the same day of readings. Its rows are compared with the simulator's truth after the measurement.

- *floor*: a hand-written pyarrow script that only downloads, parses, sorts and writes; targets use the quicker of two
- *seconds*: wall time of the whole process, including Python's start and the simulator's time; *ratio*: to
  `flood_assets cold`
- *processing s*: seconds without imports and waiting for bytes, where a contestant reports them. `flood_assets` parses
  while it downloads, and that work counts; the floor downloads first
- *MB*: uncompressed answers; *peak MB*: peak memory of the process
- *recall*: share of the readings of the last 24 hours; *wrong*: readings with another value; *duplicates*: rows beyond
  one a reading; *outside 24 h*: rows outside the last 24 hours
""".strip()
    for gzip, note in NOTES.items():
        names = dict.fromkeys(run["contestant"] for run in day.all["runs"] if run["gzip"] == gzip)
        rows = [row for name in names if name != IMPORTS and (row := _row(day, name, gzip=gzip))]
        if rows:
            text += f"\n\n{note}\n\n{shown.table(heads, rows)}"
    does = [f"- {name}: {said}" for name, said in day.all["does"].items() if said and name != IMPORTS]
    text += "\n\nThe contestants:\n\n" + "\n".join(does)
    if day.all["missing"]:
        missing = [f"- {name}: `{error}`" for name, error in day.all["missing"].items()]
        text += "\n\nNot run, with the error:\n\n" + "\n".join(missing)
    return text


def _row(day: Day, name: str, *, gzip: bool) -> tuple[str, ...] | None:
    runs = day.runs(name, gzip=gzip)
    if not runs:
        return None
    wall, ours = day.values(name, "wall", gzip=gzip), day.values(COLD, "wall", gzip=gzip)
    own, right = day.values(name, "own", gzip=gzip), day.right(name, gzip=gzip)
    return (
        name,
        str(len(runs)),
        shown.spread(Figure.of(wall), ".2f"),
        shown.spread(Figure.of(own), ".2f") if own else "",
        shown.times(ratio(wall, ours)) if ours and name != COLD else "",
        f"{Figure.of(day.values(name, 'peak_mb', gzip=gzip)).median:.0f}",
        f"{runs[-1]['requests']:,}",
        f"{runs[-1]['bytes'] / 1e6:,.0f}",
        *_right(right),
    )


def _right(right: Mapping[str, Any]) -> tuple[str, str, str, str]:
    if not right:
        return ("", "", "", "")
    if "error" in right:
        return (f"not readable: {right['error']}", "", "", "")
    return (shown.recall(right), f"{right['wrong']:,}", f"{right['twice']:,}", f"{right['older']:,}")


def _simulator(day: Day) -> str:
    rows = []
    for gzip, how in ((True, "gzip"), (False, "not compressed")):
        waits, runs = day.values(DISCARD, "download", gzip=gzip), day.runs(DISCARD, gzip=gzip)
        if runs:
            sent = runs[-1]["told"]["sent_bytes"] / 1e6
            rows.append((how, f"{sent:,.1f}", shown.spread(Figure.of(waits), ".2f")))
    if not rows:
        return ""
    return f"""
## The simulator's time

Both days' answers, requested and discarded. Every contestant's time includes it.

{shown.table(("answers", "MB as sent", "seconds"), rows)}
"""


def _ticks(day: Day) -> str:
    ticks = [tick for tick in day.all.get("ticks", []) if tick["round"] == 0]
    if not ticks:
        return ""
    heads = (
        "tick", "one interval", "batches", "requests", "rows read", "new", "windows written", "processing ms",
        "one window ms", "same work ms",
    )  # fmt: skip
    rows = [
        (
            f"{tick['at'][11:16]}{', calm' if tick['calm'] else ''}",
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
    return f"""
## Ticks

One round; each floor runs in the same process at the same moment.

- *one interval*: gauges with one new reading, one reporting interval after their watermark; *batches*: gauges with more
- *one window*: a floor that reads `latest` with bare pyarrow and upserts the current window
- *same work*: a floor that parses this tick's answers with bare pyarrow and upserts as many windows as the tick wrote
- *calm*: a tick without batches. In a whole country some gauge always uploads a batch, so the benchmark stores the
  batches just before

The first tick of a process includes one-time work.

{shown.table(heads, rows)}
"""


def _reading(day: Day) -> str:
    if not day.readers:
        return ""
    questions = ("gauge", "river", "day")
    rows = [
        (question, reader, f"{answers[question]['rows']:,}", shown.milliseconds(answers[question]["seconds"]))
        for question in questions
        for reader, answers in day.readers.items()
    ]
    given = [{(one[each]["rows"], round(one[each]["sum"], 2)) for one in day.readers.values()} for each in questions]
    told = "All return the same rows, with the same sum of values."
    if any(len(answers) > 1 for answers in given):
        told = "**They do not return the same rows.**"
    return f"""
## Reading

From the same files to pandas, all columns, in warm processes. The river is {day.all["reading"]["river"]}. {told}

{shown.table(("query", "reader", "rows", "time"), rows)}
"""


def _dagster(day: Day) -> str:
    if not day.dagster:
        return ""
    one, share = dagster_share.summary(day.dagster), day.all["dagster"]
    rows = [
        ("evaluating the schedule", f"{one['evaluate']:.3f}"),
        ("the steps: readings, checks, ledger, conditions", f"{one['steps']:.3f}"),
        ("of these, the readings step", f"{one['readings']:.3f}"),
        ("of these, waiting for the API", f"{one['download']:.3f}"),
        ("outside the steps", f"{one['dagster'] - one['evaluate']:.3f}"),
        ("all", f"{one['total']:.3f}"),
    ]
    return f"""
## Dagster's share

A tick on an instance in SQLite: the schedule is evaluated, and the requested runs are executed in the same process.
Medians of ticks without a snapshot of the gauges.

{shown.table(("part", "seconds"), rows)}

A daemon starts each run in a new process: importing the definitions ({share["import"]:.2f} s) and opening the instance
({day.dagster[0]["instance"]:.2f} s) come on top. The rest of Dagster's time:

- Outside the steps Dagster plans the run, resolves the 25 windows of each asset, and stores {one["events"]:.0f} events
  for its history and its UI.
- Inside the steps it stores a materialization for each window, which the UI shows as the window's history.
- After these {len(day.dagster)} ticks the instance takes {share["home_bytes"] / 1e6:.1f} MB.
"""


def _large(large: Mapping[str, Any]) -> str:
    heads = (
        "network", "stations", "readings", "runs", "seconds", "processing s", "processing \u00b5s a reading",
        "peak MB", "peak MB, lists of gauges", "bytes a reading", "recall",
    )  # fmt: skip
    rows = [
        (
            f"{factor} x",
            f"{one['stations']:,}",
            f"{one['readings']:,}",
            str(len(one["wall"])),
            shown.spread(Figure.of(one["wall"]), ".1f"),
            shown.spread(Figure.of(one["own"]), ".2f"),
            f"{1e6 * Figure.of(one['own']).median / one['readings']:.2f}",
            f"{Figure.of(one['peak_mb']).high:,.0f}",
            f"{Figure.of(one['gauges_mb']).high:,.0f}",
            f"{one['stored_bytes'] / one['readings']:.2f}",
            shown.recall(one["right"]) if one.get("right") else "not compared",
        )
        for factor, one in large["sizes"].items()
        if one["own"]
    ]
    where = large["conditions"]
    failed = "".join(f"\n- {factor} x failed: `{error}`" for factor, error in large.get("failed", {}).items())
    return f"""
## Large networks

`make bench-large`, {where["date"]}: {where["cores"]} cores, {where["memory_gib"]} GiB; cold fills without Dagster.
The lists of gauges are fetched beforehand by a separate process.

{shown.table(heads, rows)}
{failed}
"""
