"""The API is away for 29 ticks: one alert and one message for the country, and no gauge silent meanwhile.

`make test` judges a small network; with -m long it is 5,500 stations.
"""

import time
from collections import Counter

import pytest

from flood_assets import ingest
from flood_assets.alerts.judging import judge_lake
from flood_assets.alerts.notify import Teller
from flood_assets.alerts.rules import parse_rules
from flood_assets.alerts.targets import SINK, Target
from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.ea.http import RetryPolicy
from flood_assets.errors import SourceError
from flood_assets.lake.lake import Lake
from flood_assets.ledger import account
from flood_assets.query.alerts import CLEARED, FIRING, stored_alerts
from flood_assets.schemas import TIMELINESS
from flood_assets.simulator import Simulator, serve
from flood_assets_tests.conftest import NOW, QUARTER
from flood_assets_tests.support.receiving import receiving
from flood_assets_tests.support.simulated_lake import fill_from

RULES = parse_rules('[[rule]]\nname = "silent"\nsilent = true\n[[rule]]\nname = "late"\nlate = true\n')
BEFORE, TICKS = 2, 29


def refresh(url, lake, now):
    api = FloodMonitoringApi(url, now=lambda: now, retry=RetryPolicy(tries=1))
    try:
        ingest.fetch(api, lake, None, now).store(lake)
        account.take(lake, now).store(lake)
    finally:
        api.close()


@pytest.mark.slow
@pytest.mark.parametrize("stations", [60, pytest.param(5_500, marks=pytest.mark.long)])
def test_an_outage_of_29_ticks_is_one_alert_and_makes_no_gauge_silent(stations, tmp_path):
    told, took = [], []
    with serve(Simulator(stations=stations, seed=3, now=lambda: NOW)) as server, receiving() as receiver:
        lake, target = Lake.open(tmp_path / "lake"), Target(SINK, receiver.url)
        fill_from(server.url, lake, NOW)
        account.take(lake, NOW).store(lake)
        for tick in range(BEFORE + TICKS + 2):
            now = NOW + tick * QUARTER
            server.set_clock(now)
            if BEFORE <= tick < BEFORE + TICKS:
                with server.away(), pytest.raises(SourceError):
                    refresh(server.url, lake, now)
            else:
                refresh(server.url, lake, now)
            began = time.process_time()
            # A second scheduler judges and tells the same tick.
            for _ in range(2):
                again = Lake.open(lake.url)
                told += [(tick, event) for event in judge_lake(again, RULES, now).events]
                assert Teller(lambda now=now: now, pause_s=0).tell(again, [target]) == []
            took.append((time.process_time() - began) / 2)
        reporting = lake.newest_snapshot(TIMELINESS, now).to_pylist()
    during = [(tick, event) for tick, event in told if BEFORE <= tick < BEFORE + TICKS]
    # After 45 minutes; silent and late gauges are not judged anew as long as nobody asks.
    assert [(tick - BEFORE, event.alert.subject, event.what) for tick, event in during] == [(3, "api", FIRING)]
    after = [(tick, event) for tick, event in told if tick >= BEFORE + TICKS]
    of_api = [(tick - BEFORE - TICKS, event.what) for tick, event in after if event.alert.subject == "api"]
    assert of_api == [(0, CLEARED)]
    # What is silent once the API is back is so by when its next reading was due, and few are.
    overdue = {row["measure_id"] for row in reporting if row["next_due_at"] and row["next_due_at"] <= now}
    state = stored_alerts(lake, now)
    assert {alert.subject for alert in state.firing} <= overdue
    silent = sum(alert.kind == "silent" for alert in state.firing)
    assert silent < 0.1 * len(reporting)
    # Each event arrived once; people heard one alarm of the outage.
    assert max(Counter(event["id"] for event in receiver.accepted).values()) == 1
    assert len(receiver.accepted) == len(told)
    arrived = [event["type"].rpartition(".")[2] for event in receiver.accepted if event["subject"] == "api"]
    assert arrived == [FIRING, CLEARED]
    print(
        f"\n{len(reporting):,} gauges, {TICKS} ticks away: {len(during)} alert; {silent} silent when it was back; "
        f"{max(took):.1f} s of CPU for a tick's judgement at most, {sum(took) / len(took):.1f} s on average"
    )
