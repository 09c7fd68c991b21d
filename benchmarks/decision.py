"""Render the section on running costs: load, prices, growth, single-machine limits."""

from collections.abc import Mapping
from typing import Any

from benchmarks import costs, shown
from benchmarks.harness import Figure
from benchmarks.measurements import COLD, DISCARD, REFRESH, Day


def page(day: Day, large: Mapping[str, Any] | None) -> str:
    """Return the section as Markdown, or an empty string if too little was measured."""
    measured = _measured(day)
    if not measured:
        return ""
    total = costs.of(measured)
    rows = [
        ("requests to the API a day", f"{total.api_requests:,.0f}", "hardly: many batches share a re-read day"),
        ("MB from the API a day, with gzip", f"{total.api_bytes / 1e6:,.0f}", "in proportion"),
        ("requests to S3 a day", f"{total.gets + total.lists + total.puts:,.0f}", "no growth: one object a window"),
        ("of these PUT and LIST", f"{total.lists + total.puts:,.0f}", "no growth"),
        ("MB to S3 a day", f"{total.put_bytes / 1e6:,.0f}", "in proportion"),
        ("MB in S3", f"{measured.stored_bytes / 1e6:,.1f}", "in proportion"),
        ("US cents a month for S3", f"{total.cents:,.0f}", "hardly: nearly all of it is requests"),
    ]
    return f"""
## Running costs

Load and cost of keeping the last 24 hours of {day.all["prepared"]["stations"]:,} stations ({day.readings:,} readings)
in S3, with a tick every 15 minutes and a reconcile every six hours.

{shown.table(("quantity", "this network", "growth with the number of stations"), rows)}

- Prices are those of S3 Standard in London, {costs.PRICES_OF}: {costs.GB_MONTH_USD} USD a GB and month,
  {1000 * costs.PUT_OR_LIST_USD:.4f} USD for 1,000 PUT or LIST, {1000 * costs.GET_USD:.5f} USD for 1,000 GET. They come
  from public copies of AWS's price list, because AWS's own page was not reachable. To update them, edit
  `benchmarks/costs.py`.
- Traffic into S3, and between S3 and a machine in the same region, is free.
- The machine is not included. Two cores and 2 GiB are enough, and are idle most of the time.
- Requests to S3 were counted during one tick on a lake in a folder. A cleanup and a reconcile count as a tick each,
  which overestimates them.
- Ticks were measured in the morning. A tick that re-reads today's readings gets more of them later in the day: up to
  two and a half times as many just before midnight.

{_limits(large)}
"""


def _measured(day: Day) -> costs.Measured | None:
    counted = [tick for tick in day.dagster if tick["counted"]]
    usual = day.ticks(calm=False)
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


def _limits(large: Mapping[str, Any] | None) -> str:
    filled = {factor: one for factor, one in large["sizes"].items() if one["own"]} if large else {}
    if not filled:
        return "Single-machine limits: not measured; run `make bench-large`."
    factor, one = max(filled.items(), key=lambda each: int(each[0]))
    minutes, peak = Figure.of(one["wall"]).median / 60, Figure.of(one["peak_mb"]).high / 1024
    return f"""
**Single-machine limits.** {factor} times the network is {one["readings"] / 1e6:,.1f} million readings a day. A cold
fill took {minutes:,.1f} minutes, including the simulator's time, and {peak:.1f} GiB at most. A tick must finish within
15 minutes, so one machine is enough until reading a day takes longer than that, the API takes longer to send it, or a
day no longer fits into memory.

**Beyond one machine.** The network is divided into [shards](../docs/shards.md): a lake for each, filled by any number
of machines, and read as one. [What that takes](SHARDS.md), up to a thousand times the country.
""".strip()
