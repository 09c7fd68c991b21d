"""The page for whoever must decide: what it costs to run, how that grows, where one machine ends."""

from collections.abc import Mapping
from typing import Any

from benchmarks import costs, shown
from benchmarks.harness import Figure
from benchmarks.measurements import COLD, DISCARD, REFRESH, Day


def page(day: Day, large: Mapping[str, Any] | None) -> str:
    """Empty where too little was measured to say anything."""
    measured = _what_one_takes(day)
    if not measured:
        return ""
    total = costs.of(measured)
    rows = [
        ("requests to the API a day", f"{total.api_requests:,.0f}", "hardly: where many gauges jump the day is read"),
        ("MB from the API a day, with gzip", f"{total.api_bytes / 1e6:,.0f}", "in proportion"),
        ("requests to S3 a day", f"{total.gets + total.lists + total.puts:,.0f}", "not: a window stays one object"),
        ("of these PUT and LIST", f"{total.lists + total.puts:,.0f}", "not"),
        ("MB to S3 a day", f"{total.put_bytes / 1e6:,.0f}", "in proportion"),
        ("MB in S3", f"{measured.stored_bytes / 1e6:,.1f}", "in proportion"),
        ("US cents a month for S3", f"{total.cents:,.0f}", "hardly: requests are nearly all of it"),
    ]
    return f"""
## For whoever must decide

What it takes to keep the last 24 hours of {day.all["prepared"]["stations"]:,} stations in S3, {day.readings:,}
readings: refreshed every 15 minutes, read whole every six hours.

{shown.table(("what", "this network", "how it grows with the number of stations"), rows)}

- Prices are those of S3 Standard in London, {costs.PRICES_OF}: {costs.GB_MONTH_USD} USD a GB and month,
  {1000 * costs.PUT_OR_LIST_USD:.4f} USD for 1,000 PUT or LIST, {1000 * costs.GET_USD:.5f} USD for 1,000 GET. They come
  from public copies of AWS's price list: AWS's own page could not be read where this was written. They stand in
  `benchmarks/costs.py`, to be changed there.
- Traffic into S3, and between S3 and a machine in the same region, costs nothing.
- The machine is not in it. Two cores and 2 GiB are enough, and idle for most of each quarter of an hour.
- Requests to S3 were counted during one tick, at the lake's store in a folder. A cleanup and a reconcile count as a
  tick each, which is rather too much.
- Ticks were measured in the morning. One that reads today's readings gets more of them in the evening and fewer at
  night: up to two and a half times as many just before midnight.

{_where_it_ends(large)}
"""


def _what_one_takes(day: Day) -> costs.Measured | None:
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


def _where_it_ends(large: Mapping[str, Any] | None) -> str:
    filled = {factor: one for factor, one in large["sizes"].items() if one["own"]} if large else {}
    if not filled:
        return "Where one machine ends is measured by `make bench-large`, which has not been run."
    factor, one = max(filled.items(), key=lambda each: int(each[0]))
    minutes, peak = Figure.of(one["wall"]).median / 60, Figure.of(one["peak_mb"]).high / 1024
    return f"""
**Where one machine ends.** {factor} times the network is {one["readings"] / 1e6:,.1f} million readings a day. A cold
fill of it took {minutes:,.1f} minutes, the simulator's own time included, and {peak:.1f} GiB at most. A tick has a
quarter of an hour: the end is where reading a day takes longer than that, or where the API takes longer to write it, or
where a day does not fit into memory.

**What to do then.** Divide the country: a lake for each part, filled by a machine of its own. Lakes know nothing of
each other, and readers open several as one data set. The API can be asked for a part by parameter, which no code here
does yet.
""".strip()
