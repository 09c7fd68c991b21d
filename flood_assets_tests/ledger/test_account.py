"""The account of a lake is the same, however many readings are judged at once."""

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flood_assets.lake import watermarks
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.ledger.account import Account, take
from flood_assets.partitions import window_of
from flood_assets.schemas import COMPLETENESS, MEASURES, READINGS, TIMELINESS
from flood_assets_tests.support.lake_rows import fetched, put_raw, put_snapshot, snapshot
from flood_assets_tests.support.ledger_rows import HOUR, MINUTE, NOW, marked

STEPS = (5, 15, 15, 15, 60)
MEASURE_IDS = [f"m{number:02}" for number in range(30)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Gauges of all kinds: punctual, late, in batches, silent, unlisted; a lost window and an older ledger."""
    rng = random.Random(7)
    lake = Lake.open(Path(tmp_path_factory.mktemp("account")).as_uri())
    listed = [
        {"measure_id": m, "station_id": f"of {m}", "period_s": rng.choice([*STEPS, None, 0]) or None}
        for m in rng.sample(MEASURE_IDS, 24)
    ]
    for row in listed:
        row["period_s"] = row["period_s"] and row["period_s"] * 60
    put_snapshot(lake, MEASURES, NOW, snapshot(MEASURES, NOW, *listed))
    polls = [NOW - 24 * HOUR + 15 * MINUTE * number for number in range(97)]
    readings = {}
    for measure in rng.sample(MEASURE_IDS, 25):
        step, batch, phase = rng.choice(STEPS), rng.choice([1, 1, 4, 12]), rng.randrange(5)
        for number in range(24 * 60 // step):
            if rng.random() < 0.1:
                continue
            at = NOW - 24 * HOUR + timedelta(minutes=phase + step * number, seconds=rng.choice([0, 0, 0, 7]))
            shown = at + rng.choices([3, 20, 120], [60, 20, 2])[0] * MINUTE + batch * step * MINUTE
            seen = next((poll for poll in polls if poll >= shown), NOW)
            readings.setdefault(seen, []).append((measure, at, rng.choice([1.5, None]), None))
    for now in [NOW - 4 * HOUR, NOW]:
        for seen in sorted(readings):
            if seen <= now:
                rows = [
                    row if row[2] else (*row[:2], None, rng.choice(["1|2", "1|2|3", None])) for row in readings[seen]
                ]
                lake.upsert_readings(fetched(*rows), seen, max(seen, NOW - 23 * HOUR))
        newest = {
            m: max(at for seen in readings for of, at, *_ in readings[seen] if of == m)
            for m in {row[0] for rows in readings.values() for row in rows}
        }
        asked = watermarks.Asked(tuple(poll for poll in polls if poll <= now), behind={"m03": NOW - HOUR})
        known = marked(now, {m: min(at, now) - rng.choice([0, 0, 40]) * MINUTE for m, at in newest.items()}, asked)
        watermarks.advance(lake.store, known.rows, now, asked)
        if now < NOW:
            put_snapshot(lake, TIMELINESS, window_of(now), take(lake, now).timeliness)
    put_raw(lake, key_of(READINGS, window_of(NOW) - 9 * HOUR), b"not Parquet")
    return lake


def told(account: Account) -> dict:
    assert all(table.schema == COMPLETENESS.schema for table in account.windows.values())
    assert account.timeliness.schema == TIMELINESS.schema
    return {
        "windows": {window: table.to_pylist() for window, table in account.windows.items()},
        "timeliness": account.timeliness.to_pylist(),
        "asked": account.asked,
        "lost": account.lost,
        "totals": account.totals(),
    }


def test_the_lake_has_something_of_everything(lake):
    account = take(lake, NOW)
    totals = account.totals()
    assert all(totals[name] for name in totals), totals
    assert len(account.lost) == 1
    uploads = account.timeliness["uploads"].to_pylist()
    assert min(uploads) == 0 < max(uploads)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(most=st.integers(1, 3000), hours=st.integers(0, 30))
def test_blocks_of_any_size_give_the_same_account(lake, most, hours):
    now = NOW + hours * HOUR
    assert told(take(lake, now, most=most)) == told(take(lake, now, most=10**9))


@pytest.mark.parametrize("most", [1, 200])
def test_so_do_some_of_the_measures(lake, most):
    whole = told(take(lake, NOW))
    some = MEASURE_IDS[::3]
    found = told(take(lake, NOW, measure_ids=some, most=most))
    assert found["timeliness"] == [row for row in whole["timeliness"] if row["measure_id"] in some]
    for window, rows in found["windows"].items():
        assert rows == [row for row in whole["windows"][window] if row["measure_id"] in some]


def test_a_lake_without_anything_has_an_account_of_nothing(tmp_path):
    account = take(Lake.open((tmp_path / "lake").as_uri()), NOW)
    assert set(account.totals().values()) == {0}
    assert len(account.windows) == 25
    assert told(replace(account))["timeliness"] == []
