"""Seventeen simulated hours with floods, spikes, stuck, silent and batch gauges and an outage, judged at each tick.

The oracle looks at the readings of each tick, and walks over them from the start with rules of its own. Of the package
it takes the quality flags and what the ledger knows of each gauge's interval and delay; that the readings are those of
the API is compared too.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow.compute as pc
import pytest

from flood_assets import ingest, query
from flood_assets.alerts.judging import judge_lake
from flood_assets.alerts.rules import Rule, parse_rules
from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.ea.http import RetryPolicy
from flood_assets.errors import SourceError
from flood_assets.lake.lake import Lake
from flood_assets.ledger import account
from flood_assets.partitions import window_of
from flood_assets.query.alerts import CLEARED, FIRING, LEARNT_LATE, stored_alerts
from flood_assets.schemas import MEASURES, STATIONS, TIMELINESS
from flood_assets.simulator import Server, Simulator, arrivals, serve
from flood_assets.simulator.network import Kind
from flood_assets.simulator.weather import Weather
from flood_assets_tests.conftest import NOW, QUARTER

MINUTE = timedelta(minutes=1)
TICKS = [NOW + number * QUARTER for number in range(70)]
AWAY = range(34, 43)
HOUR = timedelta(hours=1)
STUCK_FROM = NOW - 5 * HOUR
HYSTERESIS = 0.05
SILENT = '\n[[rule]]\nname = "all"\nsilent = true\n'

Series = dict[str, list[tuple[datetime, float]]]


@dataclass
class Oracle:
    """An alarm of a level or of silence, on or off, as it is judged by hand."""

    threshold: float = 0
    on: bool = False
    events: list[tuple[int, str]] = field(default_factory=list)

    def turn(self, tick: int, *, on: bool, off: bool) -> None:
        if not self.on and on:
            self.on = True
            self.events.append((tick, FIRING))
        elif self.on and off:
            self.on = False
            self.events.append((tick, CLEARED))

    def level(self, tick: int, rows: list[tuple[datetime, float]], interval: timedelta, limit: timedelta) -> None:
        """Judge a level by all usable readings of the day."""
        above, pair = False, None
        for (before, value_before), (at, value) in pairwise(rows):
            high = value_before >= self.threshold and value >= self.threshold
            if high and at - before <= 2 * interval + MINUTE:
                above, pair = True, before
            elif above and max(value_before, value) < self.threshold - HYSTERESIS:
                above, pair = False, None
        fresh = pair is not None and TICKS[tick] - pair <= limit
        self.turn(tick, on=above and fresh, off=not above)


@dataclass
class Day:
    """A day as it is judged by the package and by the oracle."""

    server: Server
    lake: Lake
    levels: dict[str, Oracle] = field(default_factory=dict)
    silence: dict[str, Oracle] = field(default_factory=lambda: defaultdict(Oracle))
    told: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    counted: Counter[str] = field(default_factory=Counter)
    newest_flags: dict[str, int] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    def tick(self, tick: int) -> None:
        self.server.set_clock(TICKS[tick])
        self.fill(tick)
        if tick == 2:
            self.levels = thresholds(self.lake, self.known(tick), TICKS[tick])
            self.rules = parse_rules("\n".join(map(toml, self.levels, self.levels.values())) + SILENT)
        if self.rules:
            for event in judge_lake(self.lake, self.rules, TICKS[tick]).events:
                self.told[event.alert.rule, event.alert.subject].append((tick, event.what))
            self.judge_by_hand(tick)

    def fill(self, tick: int) -> None:
        now = TICKS[tick]
        api = FloodMonitoringApi(self.server.url, now=lambda: now, retry=RetryPolicy(tries=1))
        if tick in AWAY:
            with self.server.away(), pytest.raises(SourceError):
                ingest.fetch(api, self.lake, None, now)
        else:
            if tick % 40 == 0:
                for table, rows in ((STATIONS, api.stations().rows), (MEASURES, api.measures().rows)):
                    self.lake.put_snapshots(table, [window_of(now)], rows)
            ingest.fetch(api, self.lake, None, now).store(self.lake)
            account.take(self.lake, now).store(self.lake)
        api.close()

    def known(self, tick: int) -> Series:
        """Return the usable readings of the tick, of which the first hour's flags are not sure."""
        wanted = list(self.levels) or None
        columns = ("measure_id", "date_time", "value", "flag")
        rows = query.readings(self.lake, TICKS[tick], measure=wanted, flags=True, columns=columns).rows
        found: Series = defaultdict(list)
        for row in rows.sort_by([("measure_id", "ascending"), ("date_time", "ascending")]).to_pylist():
            self.newest_flags[row["measure_id"]] = row["flag"]
            usable = row["value"] is not None and row["flag"] != 4
            self.counted["failed"] += row["flag"] == 4
            if usable and row["date_time"] > TICKS[tick] - timedelta(hours=23):
                found[row["measure_id"]].append((row["date_time"], row["value"]))
        return found

    def judge_by_hand(self, tick: int) -> None:
        now = TICKS[tick]
        reporting = {row["measure_id"]: row for row in self.lake.newest_snapshot(TIMELINESS, now).to_pylist()}
        series = self.known(tick)
        for measure, oracle in self.levels.items():
            delay = reporting[measure]["usual_delay_s"]
            interval = timedelta(seconds=reporting[measure]["interval_s"] or 900)
            limit = 2 * interval + (timedelta(minutes=30) if delay is None else timedelta(seconds=delay))
            oracle.level(tick, series[measure], interval, limit)
        asked = now if tick not in AWAY else TICKS[AWAY[0] - 1]
        outage = AWAY[0] + 3 <= tick < AWAY[-1] + 1
        for measure, row in reporting.items():
            if row["next_due_at"] is not None and tick not in AWAY:
                missed = 3 * timedelta(seconds=row["interval_s"] + row["due_after_s"])
                silent = row["next_due_at"] + missed <= asked
                self.silence[measure].turn(tick, on=silent and not outage, off=not silent)

    def compare_with_the_api(self) -> None:
        """Count raw readings of the last tick that the lake has, spikes among them, and those that differ."""
        shown: dict[str, dict[datetime, float]] = defaultdict(dict)
        for row in self.server.truth(TICKS[-1] - timedelta(hours=23), TICKS[-1]):
            if row.value and "|" not in row.value and row.measure in self.levels:
                shown[row.measure][row.time] = float(row.value)
        for measure, rows in shown.items():
            ordered = sorted(rows.items())
            for (_, before), (_, value), (_, after) in zip(ordered, ordered[1:], ordered[2:], strict=False):
                self.counted["spikes"] += value - max(before, after) > 1
            for at, value in self.known(len(TICKS) - 1)[measure]:
                self.counted["compared"] += 1
                self.counted["different"] += rows.get(at) != value


def stuck(values):
    """Return the simulator's values with some river gauges stuck: at what they show, or at what they showed before."""

    def values_of(weather, signals, which, time):
        river, some = signals.kind[which] == Kind.RIVER, signals.number[which] % 5
        for place, moment in ((0, STUCK_FROM), (4, STUCK_FROM - 12 * HOUR)):
            rests = river & (some == place) & (time > STUCK_FROM.timestamp())
            time = np.where(rests, int(moment.timestamp()), time)
        return values(weather, signals, which, time)

    return values_of


@pytest.fixture(scope="module")
def troubled():
    """One reading in 200 is a spike, a hundred times as many as usual, and stations are silent 28 times as often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Weather, "values", stuck(Weather.values))
        patch.setattr(arrivals, "_SPIKED", arrivals._MISSING + 0.005)
        patch.setattr(arrivals, "_WEEK", 6 * 3600)
        yield


@pytest.mark.slow
def test_alerts_of_simulated_hours_fire_and_clear_at_the_oracles_moments(troubled, tmp_path):
    with serve(Simulator(stations=45, seed=4, now=lambda: NOW)) as server:
        day = Day(server, Lake.open(tmp_path / "lake"))
        for tick in range(len(TICKS)):
            day.tick(tick)
        day.compare_with_the_api()
    # What was over when it became known is information, and no alarm.
    alarms = {key: [each for each in events if each[1] != LEARNT_LATE] for key, events in day.told.items()}
    levels = {rule: events for (rule, _), events in alarms.items() if rule in day.levels and events}
    assert levels == {measure: oracle.events for measure, oracle in day.levels.items() if oracle.events}
    silence = {subject: events for (rule, subject), events in alarms.items() if rule == "all"}
    assert silence == {measure: oracle.events for measure, oracle in day.silence.items() if oracle.events}
    # The outage is one alert, after 45 minutes, and ends with it.
    assert day.told["The API is late", "api"] == [(AWAY[0] + 3, FIRING), (AWAY[-1] + 1, CLEARED)]
    counts = Counter(what for events in levels.values() for _, what in events)
    assert counts[FIRING] >= 8
    assert counts[CLEARED] >= 4
    assert day.counted["spikes"] >= 3
    # A gauge that is stuck is suspect after 18 hours, and above its threshold it goes on firing.
    last = stored_alerts(day.lake, TICKS[-1])
    suspect = {measure for measure, flag in day.newest_flags.items() if flag == 3}
    assert len(suspect & {alert.subject for alert in last.firing}) >= 1
    assert len(suspect - {alert.subject for alert in last.firing if alert.kind == "above"}) >= 1
    assert len(silence) >= 3
    # Corrections of older readings are found at the next reconcile, of which there is none here.
    assert day.counted["different"] < 0.01 * day.counted["compared"]
    print(f"\n{counts}, {len(silence)} gauges silent at some time, {day.counted}, {len(suspect)} suspect at the end")


def toml(measure: str, oracle: Oracle) -> str:
    lines = ("[[rule]]", f"name = '{measure}'", f"measure = '{measure}'", f"above = {oracle.threshold!r}")
    return "\n".join([*lines, f"hysteresis = {HYSTERESIS}"])


def thresholds(lake: Lake, series: Series, now: datetime) -> dict[str, Oracle]:
    """Return the levels that move, each with a threshold in the middle of the day before."""
    listed = lake.newest_snapshot(MEASURES, now)
    levels = listed.filter(pc.equal(listed["parameter"], "level"))["measure_id"].to_pylist()
    found = {}
    for measure in levels:
        values = sorted(value for _, value in series.get(measure, []))
        if len(values) > 40 and values[-5] - values[5] > 0.2:
            found[measure] = Oracle(round((values[5] + values[-5]) / 2, 3))
    return found
