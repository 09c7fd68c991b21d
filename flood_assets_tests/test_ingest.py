"""Single refreshes, each of which shows one thing. What any story of them must come to is in `test_model`."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pyarrow as pa
import pytest

from flood_assets import ingest
from flood_assets.ea import plan
from flood_assets.errors import SourceError
from flood_assets.partitions import retained_windows
from flood_assets.schemas import WATERMARKS
from flood_assets_tests.support.model import HOUR, MINUTE, QUIET, Api, Gauge, Key, Source, Trouble

NOON = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)
LISTED = Source(NOON, (Gauge(), Gauge(), Gauge(), Gauge(nominal=None))).listed(NOON)
EMPTY = plan.Known({}, WATERMARKS.empty_table(), LISTED, marked=False)

# A reading, and from when on it is shown.
Shown = tuple[Key, datetime]


def series(name: str, first: datetime, last: datetime, step: timedelta = 15 * MINUTE) -> list[Shown]:
    """Readings that were there all along."""
    return [((name, first + i * step), first) for i in range((last - first) // step + 1)]


def api_of(readings: Iterable[Shown], now: datetime = NOON, trouble: Trouble = QUIET) -> Api:
    source = Source()
    for key, since in readings:
        source.publish(*key, since, "1.0")
    return Api(source, now, trouble)


def times(readings: Iterable[Shown]) -> set[datetime]:
    return {at for (_, at), _ in readings}


def catch_up(readings: Iterable[Shown], marked: dict[str, datetime], trouble: Trouble = QUIET, now: datetime = NOON):
    rows = [{"measure_id": name, "newest": newest, "interval_s": 900} for name, newest in marked.items()]
    api = api_of(readings, now, trouble)
    with patch.object(plan, "ROWS_PER_S", 10):  # one gauge costs less than a day
        return api, caught_up(api, rows, now)


def caught_up(api: Api, watermarks_before: list[dict], now: datetime) -> ingest.Batch:
    watermarks = pa.Table.from_pylist(watermarks_before, schema=WATERMARKS)
    return ingest.catch_up(api, plan.Known(dict.fromkeys(retained_windows(now), 0), watermarks, LISTED), now)


def asked(batch: ingest.Batch) -> tuple[bool, list[datetime], dict[str, datetime]]:
    """True if it was asked for all that is new; the windows that were read whole; the measures left behind."""
    return bool(batch.asked.polls), list(batch.asked.read), dict(batch.asked.behind)


def marked(fetched: ingest.Batch) -> dict[str, datetime]:
    return {row["measure_id"]: row["newest"] for row in fetched.watermarks.to_pylist()}


def test_a_cold_start_is_two_requests_the_newest_day_first():
    """A batch between the two then leaves its gauge behind, where the next tick sees it jump."""
    old = series("m0", NOON - 20 * HOUR - 5 * MINUTE, NOON - 14 * HOUR - 5 * MINUTE)
    last = max(times(old))
    batch = [(key, NOON + MINUTE / 2) for key, _ in series("m0", last + 15 * MINUTE, NOON - 5 * MINUTE)]
    api = api_of([*old, *batch], trouble=Trouble(pause=60))
    fetched = ingest.catch_up(api, EMPTY, NOON)
    assert [what for what, _ in api.asked] == ["2026-11-21", "2026-11-20"]
    assert list(fetched.covered) == retained_windows(NOON)
    assert marked(fetched) == {"m0": datetime(2026, 11, 20, 23, 45, tzinfo=UTC)}
    again, caught = catch_up([*old, *batch], marked(fetched), now=NOON + 15 * MINUTE)
    assert again.asked[0][0] == "latest"
    assert marked(caught) == {"m0": NOON - 5 * MINUTE}
    both = pa.concat_tables([fetched.rows, caught.rows])
    assert times(batch) <= set(both["date_time"].to_pylist())


def test_a_country_that_moved_by_one_step_is_one_request():
    readings = [r for i in range(3) for r in series(f"m{i}", NOON - 5 * HOUR - 5 * MINUTE, NOON - 5 * MINUTE)]
    api, fetched = catch_up(readings, {f"m{i}": NOON - 20 * MINUTE for i in range(3)})
    assert [what for what, _ in api.asked] == ["latest"]
    assert marked(fetched) == {f"m{i}": NOON - 5 * MINUTE for i in range(3)}
    assert len(fetched.rows) - 1 == 3  # one is repeated by an overlapping page
    assert list(fetched.covered) == retained_windows(NOON)[-1:]
    assert asked(fetched) == (True, [], {})
    assert fetched.ages_minutes.tolist() == [5] * 4


def test_a_measure_that_could_not_be_asked_stays_behind_with_its_newest_row():
    readings = series("m0", NOON - 5 * HOUR - 5 * MINUTE, NOON - 5 * MINUTE)
    _, fetched = catch_up(readings, {"m0": NOON - 2 * HOUR}, Trouble(failing=frozenset({"m0"})))
    assert (list(fetched.unanswered), marked(fetched), len(fetched.rows)) == (["m0"], {}, 0)
    assert asked(fetched)[::2] == (True, {"m0": NOON - 5 * MINUTE})


def test_of_a_measure_that_the_api_does_not_know_the_newest_row_is_stored_and_no_watermark_moves():
    readings = series("m0", NOON - 5 * HOUR - 5 * MINUTE, NOON - 5 * MINUTE)
    _, fetched = catch_up(readings, {"m0": NOON - 2 * HOUR}, Trouble(unknown=frozenset({"m0"})))
    assert (list(fetched.unanswered), marked(fetched)) == ([], {})
    assert asked(fetched)[::2] == (True, {"m0": NOON - 5 * MINUTE})
    assert set(fetched.rows["date_time"].to_pylist()) == {NOON - 5 * MINUTE}


def test_todays_answer_does_not_move_the_watermark_of_an_event_gauge_that_could_not_be_asked():
    """m3 reported each hour until 23:00, then at 23:30 and at 00:10: a rhythm says nothing of an event gauge."""
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    now = midnight + 21 * MINUTE
    others = [r for i in range(3) for r in series(f"m{i}", midnight - 5 * HOUR, midnight + 15 * MINUTE)]
    events = [*series("m3", midnight - 9 * HOUR, midnight - HOUR, HOUR)]
    events += [(("m3", midnight + away * MINUTE), now) for away in (-30, 10)]
    watermarks_before = {f"m{i}": midnight - 15 * MINUTE for i in range(3)}
    rows = [{"measure_id": name, "newest": newest, "interval_s": 900} for name, newest in watermarks_before.items()]
    rows.append({"measure_id": "m3", "newest": midnight - HOUR, "interval_s": 3600})
    api = api_of([*others, *events], now, Trouble(failing=frozenset({"m3"})))
    fetched = caught_up(api, rows, now)
    assert [what for what, _ in api.asked] == ["latest", "m3", "2026-11-21"]
    assert marked(fetched) == {f"m{i}": midnight + 15 * MINUTE for i in range(3)}


def test_part_of_a_day_read_again_moves_no_watermark_and_gives_nothing_else():
    readings = series("m0", NOON - 20 * HOUR - 5 * MINUTE, NOON - 5 * MINUTE)
    windows = retained_windows(NOON)[-3:-1]
    fetched = ingest.reread(api_of(readings), windows, replace(EMPTY, measures=LISTED.slice(0, 0)), NOON)
    assert (marked(fetched), list(fetched.covered)) == ({}, windows)
    assert asked(fetched)[:2] == (False, windows)
    wanted = {at for at in times(readings) if windows[0] <= at < NOON - 5 * MINUTE}
    assert set(fetched.rows["date_time"].to_pylist()) == wanted


@pytest.mark.parametrize("refused", ["latest", "readings_of_day"])
@pytest.mark.parametrize("marked", [False, True])
def test_without_what_everything_depends_on_there_is_no_refresh(refused, marked, monkeypatch):
    def fails(*_):
        raise SourceError("down")

    monkeypatch.setattr(Api, refused, fails)
    if refused == "latest" and not marked:
        return  # a cold start does not ask it
    api = api_of(r for i in range(4) for r in series(f"m{i}", NOON - HOUR, NOON))
    with pytest.raises(SourceError, match="down"):
        ingest.catch_up(api, replace(EMPTY, rows=dict.fromkeys(retained_windows(NOON), 0), marked=marked), NOON)
