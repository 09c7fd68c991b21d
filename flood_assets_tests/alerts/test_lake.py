"""The state of the alerts in the lake: fired once whoever judges, kept, read by others, gone after a day."""

import threading
from collections import Counter
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from flood_assets import query
from flood_assets.alerts.evidence import gather
from flood_assets.alerts.judging import judge_lake
from flood_assets.alerts.rules import parse_rules
from flood_assets.lake.frozen import Frozen
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import ALERTS_KEY
from flood_assets.partitions import window_of
from flood_assets.query.alerts import CLEARED, FIRING, stored_alerts, update_alerts
from flood_assets.schemas import MEASURES, READINGS, STATIONS, TIMELINESS
from flood_assets_tests.support.lake_rows import NOW, QUARTER, fetched, put_raw, snapshot

RULES = parse_rules(
    """
[[rule]]
name = "Mill high"
station = "Mill"
parameter = "level"
above = 1.0
severity = "Severe"
"""
)
FIRST = NOW.replace(minute=0, second=0) - 8 * QUARTER


@pytest.fixture
def lake(tmp_path):
    lake = Lake.open(tmp_path / "lake")
    stations = [
        {"station_id": "S", "label": "Mill", "lat": 51.0, "long": -1.0, "typical_low": 0.1, "typical_high": 0.4}
    ]
    measure = {"measure_id": "m", "station_id": "S", "parameter": "level", "qualifier": "Stage", "unit": "mASD"}
    at = window_of(FIRST)
    lake.put_snapshots(STATIONS, [at], snapshot(STATIONS, FIRST, *stations))
    lake.put_snapshots(MEASURES, [at], snapshot(MEASURES, FIRST, measure | {"period_s": 900}))
    reporting = {"measure_id": "m", "interval_s": 900, "usual_delay_s": 600, "due_after_s": 900, "uploads": 5}
    lake.put_snapshots(TIMELINESS, [at], snapshot(TIMELINESS, FIRST, reporting))
    return lake


def read_out(lake, values, first=FIRST):
    """Store readings, each seen ten minutes later, and yield the tick after each."""
    for number, value in enumerate(values):
        at = first + number * QUARTER
        now = at + timedelta(minutes=10)
        lake.upsert_readings(fetched(("m", at, value)), now, now)
        yield now + timedelta(seconds=30)


VALUES = [0.5, 1.2, 1.3, 1.4, 0.9, 0.9, 0.5]


def test_an_alert_fires_is_kept_and_clears(lake):
    told = [(n, e.what) for n, now in enumerate(read_out(lake, VALUES)) for e in judge_lake(lake, RULES, now).events]
    assert told == [(2, FIRING), (5, CLEARED)]
    (alert,) = stored_alerts(lake, FIRST + 8 * QUARTER).rows
    assert (alert.label, alert.station_id, alert.severity, alert.lat) == ("Mill", "S", "Severe", 51.0)
    assert [used.value for used in alert.readings] == [1.2, 1.3]
    assert (alert.peak, alert.until) == (1.4, FIRST + 5 * QUARTER)


def test_nothing_is_told_twice_over_fifty_restarts(lake):
    """Each restart opens the lake anew, as another process does, and judges the same tick again."""
    told = []
    for now in read_out(lake, VALUES):
        for restart in range(8):
            judged = judge_lake(Lake.open(lake.url), RULES, now + timedelta(seconds=restart))
            told += [event.what for event in judged.events]
    assert told == [FIRING, CLEARED]


@pytest.mark.races
def test_of_two_that_judge_at_once_one_tells(lake):
    told = []
    for now in read_out(lake, VALUES):
        barrier, found = threading.Barrier(4), []

        def judge(now=now, barrier=barrier, found=found):
            barrier.wait()
            found.extend(event.what for event in judge_lake(Lake.open(lake.url), RULES, now).events)

        threads = [threading.Thread(target=judge) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        told += found
    assert told == [FIRING, CLEARED]


def test_one_that_judges_with_an_older_clock_changes_nothing(lake):
    *_, last = read_out(lake, VALUES)
    first = judge_lake(lake, RULES, last)
    before = lake.store.read(ALERTS_KEY)
    judged = judge_lake(lake, RULES, last - 4 * QUARTER)
    assert (judged.events, judged.after) == ((), first.after)
    assert lake.store.read(ALERTS_KEY).meta.e_tag == before.meta.e_tag


def test_a_damaged_state_is_judged_anew_under_the_same_ids(lake):
    ticks = list(read_out(lake, VALUES[:4]))
    before = judge_lake(lake, RULES, ticks[-1]).after
    put_raw(lake, ALERTS_KEY, b"PAR1 no parquet PAR1")
    assert stored_alerts(lake, ticks[-1]).rows == ()
    judged = judge_lake(lake, RULES, ticks[-1])
    assert [event.what for event in judged.events] == [FIRING]
    assert judged.after == before


def test_the_state_is_parquet_that_others_read_and_a_frozen_lake_has(lake):
    ticks = list(read_out(lake, VALUES[:4]))
    judge_lake(lake, RULES, ticks[-1])
    table = pq.read_table(lake.url.removeprefix("file://") + "/" + ALERTS_KEY)
    assert table["status"].to_pylist() == [FIRING]
    frozen = Lake(Frozen.of(lake.store))
    assert stored_alerts(frozen, ticks[-1]) == stored_alerts(lake, ticks[-1])
    # It is no table: readers of Parquet folders skip it, and no window of readings changes.
    assert query.readings(frozen, ticks[-1]).rows.num_rows == len(lake.read(READINGS, now=ticks[-1])) == 4


def test_a_state_of_over_a_day_ago_shows_nothing_and_expires(lake):
    ticks = list(read_out(lake, VALUES))
    for tick in ticks:
        judge_lake(lake, RULES, tick)
    later = ticks[-1] + timedelta(hours=25)
    assert stored_alerts(lake, later).rows == ()
    lake.expire(ticks[-1])
    assert lake.store.read(ALERTS_KEY) is not None
    lake.expire(later)
    assert lake.store.read(ALERTS_KEY) is None
    assert lake.expired(later) == []


def test_a_name_that_no_gauge_has_is_said(lake):
    *_, last = read_out(lake, [0.5])
    (rule,) = parse_rules('[[rule]]\nname = "it"\nstation = "Milll"\nabove = 1')
    judged = judge_lake(lake, [rule], last)
    assert judged.after.notes == ("rule 'it': no station is called 'Milll'; there is 'Mill'",)


def test_the_stored_state_is_replaced_or_left(lake):
    assert update_alerts(lake, lambda before: (None, before.judged_at)) is None
    assert lake.store.read(ALERTS_KEY) is None


def test_snapshots_are_read_as_often_for_nine_rules_as_for_one(lake, monkeypatch):
    asked = []
    newest = Lake.newest_snapshot

    def counted(self, table, now, **more):
        asked.append(table.name)
        return newest(self, table, now, **more)

    monkeypatch.setattr(Lake, "newest_snapshot", counted)
    reads = []
    for names in ("a", "abcdefghi"):
        rule = '[[rule]]\nname = "{}"\nstation = "Mill"\nnear = [51.0, -1.0]\nabove = 1.0\n'
        evidence = gather(lake, parse_rules("".join(map(rule.format, names))), NOW)
        assert evidence.chosen == {name: ["m"] for name in names}
        reads.append(Counter(asked))
        asked.clear()
    assert reads[0] == reads[1]
    assert reads[0]["measures"] >= 1
