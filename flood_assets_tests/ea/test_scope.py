"""What a shard asks the API for: its parameter or its stations, nothing else, and never a part that looks whole."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.ea.http import RetryPolicy
from flood_assets.errors import SourceError
from flood_assets.network import Scope
from flood_assets.simulator import Simulator, serve
from flood_assets_tests.ea.test_client import items
from flood_assets_tests.ea.test_parse import ROOT
from flood_assets_tests.support.api_server import Server, readings, whole

NOW = datetime(2026, 10, 15, 9, 7, 30, tzinfo=UTC)
QUICK = RetryPolicy(tries=2, sleep=lambda _: None)
LEVEL = Scope(parameter="level")


@pytest.fixture(scope="module")
def country():
    with serve(Simulator(60, 3, lambda: NOW)) as server:
        yield server


@pytest.fixture
def server():
    with Server() as running:
        yield running


def api_of(url: str, scope: Scope | None = None, **more) -> FloodMonitoringApi:
    return FloodMonitoringApi(url, now=lambda: NOW, retry=QUICK, scope=scope, **more)


def listed_stations(country) -> list[str]:
    """Those that can be asked for: one has an empty notation."""
    return [each for each in api_of(country.url).stations().rows["station_id"].to_pylist() if each]


def ids_of(rows: pa.Table) -> set[str]:
    return set(rows["measure_id"].cast(pa.string()).to_pylist())


def paths_asked(server) -> list[str]:
    return [path.removeprefix("/flood-monitoring/") for path in server.asked]


# What is asked


def test_a_parameter_is_a_filter_of_each_bulk_request_and_no_limit_is_added(server):
    def answer(handler):
        if "readings" in handler.path:
            whole(readings(1))(handler)
        else:
            kind = "stations" if "stations" in handler.path else "measures"
            whole(items({"@id": f"{ROOT}/{kind}/a", "parameter": "wind speed"}), kind="application/json")(handler)

    server.answer(answer)
    api = api_of(server.url, Scope(parameter="wind speed"))
    for ask in (api.latest, lambda: api.readings_of_day(NOW.date()), api.measures, api.stations):
        assert len(ask().rows) == 1
    assert paths_asked(server) == [
        "data/readings.csv?latest&parameter=wind%20speed",
        "data/readings.csv?date=2026-10-15&parameter=wind%20speed",
        "id/measures?parameter=wind%20speed",
        "id/stations?_view=full&parameter=wind%20speed",
    ]
    assert api.bulk_requests == 1


def test_of_stations_each_is_asked_by_its_notation_and_no_limit_is_added(server):
    server.answer(whole(readings(1)))
    api = api_of(server.url, Scope(stations=("055003_TG 316", "1/2?3", "a%20b")))
    api.latest()
    api.readings_of_day(NOW.date())
    at = ["055003_TG%20316", "1%2F2%3F3", "a%20b"]
    query = [f"id/stations/{each}/readings.csv?{what}" for what in ("latest", "date=2026-10-15") for each in at]
    assert sorted(paths_asked(server)) == sorted(query)
    server.asked.clear()
    server.answer(whole(items(), kind="application/json"))
    with pytest.raises(SourceError, match="lists no measures of the 3 stations of the shard"):
        api.measures()
    assert sorted(paths_asked(server)) == [f"id/stations/{each}/measures" for each in at]
    assert api.bulk_requests == 3


@pytest.mark.parametrize("scope", [LEVEL, Scope(stations=("1",))], ids=str)
def test_single_measures_floods_and_areas_are_asked_for_as_without_a_scope(country, scope):
    plain, api = api_of(country.url), api_of(country.url, scope)
    measure = plain.measures().rows["measure_id"][5].as_py()
    since = NOW - timedelta(days=1)
    for ask in (
        lambda api: api.readings_since(measure, since),
        lambda api: api.warnings(),
        lambda api: api.warning_areas(),
    ):
        assert ask(api).rows.equals(ask(plain).rows)


# What comes


def test_all_parameters_together_are_the_whole_answer(country):
    plain = api_of(country.url)
    measures = plain.measures().rows
    scopes = [Scope(parameter=each) for each in sorted(set(measures["parameter"].to_pylist()))]
    assert len(scopes) > 2
    for ask in (
        lambda api: api.latest().rows,
        lambda api: api.readings_of_day(NOW.date()).rows,
        lambda api: api.measures().rows,
    ):
        parts = [ask(api_of(country.url, scope)) for scope in scopes]
        assert all(len(part) for part in parts)
        by = [(name, "ascending") for name in ask(plain).column_names if name in ("measure_id", "date_time")]
        together = pa.concat_tables([_plain(part) for part in parts]).sort_by(by)
        assert together.equals(_plain(ask(plain)).sort_by(by))


def test_all_stations_together_are_the_answer_for_what_they_list(country):
    plain, stations = api_of(country.url), listed_stations(country)
    measures = plain.measures().rows
    measures = measures.filter(pc.is_in(measures["station_id"], pa.array(stations)))
    api = api_of(country.url, Scope(stations=tuple(sorted(stations))))
    assert _plain(api.measures().rows).sort_by("measure_id").equals(_plain(measures).sort_by("measure_id"))
    # A page of a station says its type, which the list of all stations leaves out.
    found, listed = (
        each.filter(pc.is_in(each["station_id"], pa.array(stations))).sort_by("station_id")
        for each in (api.stations().rows, plain.stations().rows)
    )
    assert [name for name in found.column_names if not found[name].equals(listed[name])] == ["station_type"]
    for ask in (lambda api: api.latest(), lambda api: api.readings_of_day(NOW.date())):
        expected, answer = _plain(ask(plain).rows), ask(api)
        listed = expected.filter(pc.is_in(expected["measure_id"], measures["measure_id"].combine_chunks()))
        by = [("measure_id", "ascending"), ("date_time", "ascending")]
        assert _plain(answer.rows).sort_by(by).equals(listed.sort_by(by))
        assert answer.cost.requests == len(stations)
        assert answer.unknown == []


def test_answers_of_stations_are_in_the_order_of_one_answer(country):
    stations = listed_stations(country)[:9]
    rows = api_of(country.url, Scope(stations=tuple(sorted(stations)))).readings_of_day(NOW.date()).rows
    at = rows.append_column("hour", pc.floor_temporal(rows["date_time"], unit="hour"))
    found = list(zip(*(at[name].to_pylist() for name in ("hour", "measure_id", "date_time")), strict=True))
    assert found == sorted(found)


def test_a_limited_answer_of_one_station_is_completed_with_its_own_pages(server):
    def answer(handler):
        _, _, offset = handler.path.partition("&_offset=")
        limited, last = readings(*range(500)), readings(1, first=500)
        body = {"": limited if "/a/" in handler.path else last, "500": last}.get(offset, readings())
        whole(body)(handler)

    server.answer(answer)
    found = api_of(server.url, Scope(stations=("a", "b"))).readings_of_day(NOW.date())
    assert len(found.rows) == 501
    assert sorted(paths_asked(server)) == [
        "id/stations/a/readings.csv?date=2026-10-15",
        "id/stations/a/readings.csv?date=2026-10-15&_offset=500",
        "id/stations/a/readings.csv?date=2026-10-15&_offset=501",
        "id/stations/b/readings.csv?date=2026-10-15",
    ]


def test_answers_of_stations_are_as_old_as_the_first_of_them(country):
    """Of two values the later asked one counts: an answer that took minutes must not override one asked meanwhile."""
    moments = iter(NOW + timedelta(seconds=each) for each in range(-900, 900, 20))
    api = FloodMonitoringApi(
        country.url, now=lambda: next(moments), scope=Scope(stations=tuple(sorted(listed_stations(country)[:7])))
    )
    first = NOW - timedelta(seconds=900)
    assert api.stations().asked_at == first
    answer = api.latest()
    assert answer.observed_at == first + 7 * timedelta(seconds=20)
    assert set(answer.rows["observed_at"].to_pylist()) == {answer.observed_at}


# What is unknown, partial or foreign


def test_a_station_that_the_api_does_not_know_is_told_and_the_others_come(country, caplog):
    stations = sorted([*listed_stations(country)[:5], "NOPE"])
    api = api_of(country.url, Scope(stations=tuple(stations)))
    for ask in (api.stations, api.measures, api.latest, lambda: api.readings_of_day(NOW.date())):
        found = ask()
        assert found.unknown == ["NOPE"]
        assert len(found.rows)
    assert "does not know NOPE" in caplog.text


def test_if_the_api_knows_none_of_the_stations_the_answer_is_an_error(country):
    api = api_of(country.url, Scope(stations=("NO", "NOPE")))
    for ask in (api.stations, api.measures, api.latest, lambda: api.readings_of_day(NOW.date())):
        with pytest.raises(SourceError, match="knows none of the 2 stations of the shard, such as NO: check"):
            ask()


@pytest.mark.parametrize("status", [400, 503])
def test_a_station_that_cannot_be_asked_fails_the_answer_and_the_rest_is_not_asked(server, status):
    body = readings(1)

    def answer(handler):
        whole(b"no", status=status)(handler) if "/007/" in handler.path else whole(body)(handler)

    server.answer(answer)
    api = api_of(server.url, Scope(stations=tuple(f"{each:03}" for each in range(300))), at_once=2)
    with pytest.raises(SourceError, match="stations/007/"):
        api.latest()
    assert len(server.asked) < 300


@pytest.mark.parametrize("body", [b'{"items": [', b'{"meta": {}}', b"", b'{"items": {"@id": '])
def test_a_list_of_a_station_that_is_cut_short_fails_the_list(server, body):
    station = items({"@id": f"{ROOT}/measures/m", "station": f"{ROOT}/stations/1"})

    def answer(handler):
        whole(body if "/2/" in handler.path else station, kind="application/json")(handler)

    server.answer(answer)
    with pytest.raises(SourceError, match="stations/2/measures: no usable answer"):
        api_of(server.url, Scope(stations=("1", "2"))).measures()


def test_a_station_without_measures_is_none_of_an_empty_list(server):
    station = items({"@id": f"{ROOT}/measures/m", "station": f"{ROOT}/stations/1"})

    def answer(handler):
        whole(items() if "/2/" in handler.path else station, kind="application/json")(handler)

    server.answer(answer)
    assert api_of(server.url, Scope(stations=("1", "2"))).measures().rows["measure_id"].to_pylist() == ["m"]


def test_a_measure_that_does_not_belong_to_the_scope_is_left_out(server, caplog):
    own = [{"@id": f"{ROOT}/measures/{each}", "parameter": "level"} for each in range(4)]
    both = {"@id": f"{ROOT}/measures/both", "parameter": ["flow", "level"]}
    other = {"@id": f"{ROOT}/measures/other", "parameter": "flow"}
    server.answer(whole(items(*own, both, other), kind="application/json"))
    found = api_of(server.url, LEVEL).measures().rows["measure_id"].to_pylist()
    assert found == [*map(str, range(4)), "both"]
    assert "other is listed and not of level: left out" in caplog.text


def test_an_api_that_does_not_filter_is_refused_by_its_list(server):
    kinds = {"a": "level", "b": "flow", "c": "rainfall", "d": "flow", "e": "wind"}
    listed = [{"@id": f"{ROOT}/measures/{each}", "parameter": kind} for each, kind in kinds.items()]
    server.answer(whole(items(*listed), kind="application/json"))
    with pytest.raises(SourceError, match=f"{server.url} was asked for level, and lists b too: it does not filter"):
        api_of(server.url, LEVEL).measures()


# How many at once


@pytest.mark.parametrize(("allowed", "at_once", "together"), [(3, 4, 3), (99, 1, 4), (99, 4, 16)])
def test_four_shards_have_as_many_requests_under_way_as_the_gate_and_each_shard_allow(
    server, allowed, at_once, together
):
    under_way, most, lock = 0, 0, threading.Lock()
    # Each answer waits for the others that have to be under way with it.
    all_there = threading.Barrier(together, timeout=30)

    def answer(handler):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        all_there.wait()
        with lock:
            under_way -= 1
        whole(readings(1))(handler)

    server.answer(answer)
    turns = threading.Semaphore(allowed)
    scopes = [Scope(stations=tuple(f"{shard}-{each}" for each in range(12))) for shard in range(4)]
    apis = [api_of(server.url, scope, gate=lambda: turns, at_once=at_once) for scope in scopes]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda api: api.latest(), apis))
    assert [each.cost.requests for each in found] == [12] * 4
    assert most == together


def test_the_gate_is_held_for_each_try_and_left_between_them(server):
    held, log = [0], []

    @contextmanager
    def gate():
        held[0] += 1
        try:
            yield
        finally:
            held[0] -= 1

    server.answer(whole(b"", status=503), whole(readings(1)))
    retry = RetryPolicy(sleep=lambda _: log.append(held[0]), jitter=lambda: 0.5)
    FloodMonitoringApi(server.url, now=lambda: NOW, retry=retry, gate=gate).latest()
    assert log == [0]


def test_to_wait_for_the_gate_does_not_count_for_the_deadline(server):
    at = [0.0]

    @contextmanager
    def gate():
        at[0] += 10_000
        yield

    server.answer(whole(b"", status=503), whole(readings(1)))
    retry = RetryPolicy(deadline=600, sleep=lambda _: None, jitter=lambda: 0.5, clock=lambda: at[0])
    api = FloodMonitoringApi(server.url, now=lambda: NOW, retry=retry, gate=gate)
    assert len(api.latest().rows) == 1
    assert len(server.asked) == 2


def _plain(rows: pa.Table) -> pa.Table:
    """Return the rows without the dictionary of an answer, and percent signs as the lists have them."""
    if not pa.types.is_dictionary(rows.schema.field("measure_id").type):
        return rows.combine_chunks()
    ids = rows["measure_id"].cast(pa.string())
    assert not any("%25" in unquote(each) for each in ids.unique().to_pylist())
    return rows.set_column(rows.column_names.index("measure_id"), "measure_id", ids).combine_chunks()
