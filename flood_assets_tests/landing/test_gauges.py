"""Publishers list stations and measures beside their readings: refreshes leave them, and readers find them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from flood_assets import query
from flood_assets.lake import current
from flood_assets.lake.layout import current_key
from flood_assets.landing import batches, gauges, rules
from flood_assets.landing.ingest import ingest
from flood_assets.landing.objects import Place
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, REJECTS, STATIONS
from flood_assets_tests.landing.test_ingest_proofs import KilledError, killed_at
from flood_assets_tests.support.lake_rows import HOUR, QUARTER, snapshot
from flood_assets_tests.support.pushing import Publisher, gauges_of, stored
from flood_assets_tests.support.seven_gauges import MEASURE_IDS, NOW, STATION_ROWS, measure_rows

LATER = NOW + timedelta(seconds=20)
WEIR = {"station_id": "acme:weir", "label": "Acme Weir", "river": "River Thames", "lat": 51.5, "long": -0.5}
LEVEL = {"measure_id": "acme:weir-level", "station_id": "acme:weir", "parameter": "level", "unit": "m", "period_s": 300}


def listed(lake, table=STATIONS, now=LATER) -> dict[str, dict]:
    rows = lake.newest_snapshot(table, now)
    (key,) = table.key
    return {row[key]: row for row in ([] if rows is None else rows.to_pylist())}


def present(lake, table=STATIONS) -> set[str]:
    return set(current.listed_now(lake.store, table)[table.key[0]].to_pylist())


def refresh(lake, at: datetime, *, without: str = "") -> None:
    """List what the API has, as a refresh does in a new hour."""
    for table, every in ((STATIONS, STATION_ROWS), (MEASURES, measure_rows())):
        rows = [row for row in every if row[table.key[0]] != without]
        lake.put_snapshots(table, [window_of(at)], snapshot(table, at, *rows))


def list_weir(lake, at: datetime = NOW, **more) -> None:
    batches.land(lake.store, gauges_of("acme", f"list-{at.timestamp()}", [WEIR | more], [LEVEL], at))
    ingest(lake, at + timedelta(seconds=1))


def test_a_batch_brings_stations_measures_and_readings(api, acme):
    body = {
        "stations": [WEIR | {"opened": "2024-02-29", "highest_recent_at": "2024-03-01T09:00:00+01:00"}],
        "measures": [LEVEL],
        "readings": [reading(NOW - i * QUARTER, 1.0, unit="m") for i in range(4)],
    }
    answer = acme.post(body, "all")
    assert (answer.status_code, answer.json()["accepted"], answer.json()["listed"]) == (202, 6, None), answer.text
    ingest(api.lake, LATER)
    told = acme.receipt("all").json()
    assert (told["added"], told["listed"], told["removed"], told["rejected"]) == (4, 2, 0, 0)
    row = listed(api.lake)["acme:weir"]
    assert (row["publisher"], row["observed_at"], row["label"], row["town"]) == ("acme", NOW, "Acme Weir", None)
    assert (str(row["opened"]), row["highest_recent_at"]) == ("2024-02-29", datetime(2024, 3, 1, 8, tzinfo=UTC))
    assert listed(api.lake, MEASURES)["acme:weir-level"]["period_s"] == 300
    assert {each["publisher"] for each in listed(api.lake).values() if each["station_id"] != "acme:weir"} == {None}
    assert {each["station_id"] for key, each in stored(api.lake, LATER).items() if key[0] == LEVEL["measure_id"]} == {
        "acme:weir"
    }


def reading(at: datetime, value: float = 1.0, **more) -> dict:
    return {"measure_id": LEVEL["measure_id"], "date_time": at.isoformat(), "value": value, **more}


def test_readers_find_a_pushed_gauge_by_name_and_place_as_any_other(api, acme):
    acme.post({"stations": [WEIR], "measures": [LEVEL], "readings": [reading(NOW - i * QUARTER) for i in range(8)]})
    ingest(api.lake, LATER)
    api.now = LATER
    api.watcher.look()
    # As a reader without a key does.
    (row,) = api.rows("latest", station="Acme Weir", joined="true")
    assert (row["measure_id"], row["label"], row["lat"], row["unit"]) == ("acme:weir-level", "Acme Weir", 51.5, "m")
    assert [each["station_id"] for each in api.rows("stations", bbox="-0.6,51.45,-0.4,51.55")] == ["acme:weir"]
    (state,) = api.rows("conditions", station="acme:weir", joined="true")
    assert (state["label"], state["min_24h"], state["value"]) == ("Acme Weir", 1.0, 1.0)
    (found,) = query.conditions(api.lake, now=LATER, station="Acme Weir", joined=True).rows.to_pylist()
    assert (found["label"], found["river"]) == ("Acme Weir", "River Thames")
    erddap = api.client.get(
        "/erddap/tabledap/flood_readings.csv?station_id,label,latitude&label=%22Acme%20Weir%22&distinct()"
    )
    assert erddap.status_code == 200, erddap.text
    assert erddap.text.splitlines()[-1] == "acme:weir,Acme Weir,51.5"
    station = api.client.get("/flood-monitoring/id/stations/acme:weir")
    assert (station.status_code, station.json()["items"]["label"]) == (200, "Acme Weir"), station.text
    assert station.json()["items"]["measures"]["latestReading"]["value"] == 1.0
    ids = [each["@id"] for each in api.client.get("/flood-monitoring/data/readings?latest").json()["items"]]
    assert any("acme:weir-level" in each for each in ids)


def test_a_refresh_replaces_its_own_rows_and_leaves_those_of_publishers(lake):
    list_weir(lake)
    at = NOW + HOUR
    refresh(lake, at, without="K2")
    for found in (listed(lake, now=at), dict.fromkeys(present(lake))):
        assert set(found) == {"acme:weir", *(row["station_id"] for row in STATION_ROWS)} - {"K2"}
    assert set(listed(lake, MEASURES, at)) == {"acme:weir-level", *MEASURE_IDS}
    # A day of refreshes: each window has them, and none is asked for by the publisher again.
    for hours in (2, 11, 20, 29):
        refresh(lake, NOW + hours * HOUR)
        lake.expire(NOW + hours * HOUR)
    assert "acme:weir" in listed(lake, now=NOW + 29 * HOUR)
    assert len(listed(lake, now=NOW + 29 * HOUR)) == len(STATION_ROWS) + 1


def test_a_push_replaces_only_its_own_rows_and_a_later_one_counts(lake):
    list_weir(lake)
    batches.land(lake.store, gauges_of("beta", "b", [{"station_id": "beta:x", "label": "X"}], [], NOW))
    ingest(lake, LATER)
    # They are ingested in another order than they landed in.
    first, second = (
        gauges_of("acme", f"{number}", [WEIR | {"label": f"Weir {number}"}], [], NOW + number * QUARTER)
        for number in (1, 2)
    )
    for batch in (second, first):
        batches.land(lake.store, batch)
        ingest(lake, NOW + HOUR)
    found = listed(lake, now=NOW + HOUR)
    assert (found["acme:weir"]["label"], found["beta:x"]["label"], found["K1"]["label"]) == ("Weir 2", "X", "Kingston")


def test_a_publisher_takes_its_station_from_the_list_and_an_older_batch_does_not_bring_it_back(lake):
    list_weir(lake)
    old = gauges_of("acme", "old", [WEIR], [], NOW + timedelta(seconds=5))
    gone = gauges_of("acme", "gone", [{"station_id": "acme:weir", "removed": True}], [], NOW + timedelta(seconds=10))
    batches.land(lake.store, gone)
    ingest(lake, LATER)
    told = batches.find(lake.store, Place.of("acme", "gone"))
    assert (told.listed, told.removed) == (0, 1)
    batches.land(lake.store, old)
    ingest(lake, LATER)
    refresh(lake, NOW + HOUR)
    assert "acme:weir" not in listed(lake, now=NOW + HOUR)
    assert "acme:weir" not in present(lake)
    list_weir(lake, NOW + 2 * HOUR)
    assert "acme:weir" in listed(lake, now=NOW + 2 * HOUR)


@pytest.fixture
def empty(tmp_path):
    from flood_assets.lake.lake import Lake  # noqa: PLC0415

    return Lake.open(tmp_path / "pushed only")


def test_a_lake_without_an_api_keeps_its_lists_as_long_as_batches_come(empty):
    list_weir(empty)
    rows = [(LEVEL["measure_id"], NOW, 1.0)]
    for hours in (1, 2, 20, 43, 60):
        at = NOW + hours * HOUR
        batches.land(empty.store, gauges_of("acme", f"r-{hours}", [], [], at, [(rows[0][0], at, 1.0)]))
        ingest(empty, at)
        empty.expire(at)
        assert set(listed(empty, now=at)) == {"acme:weir"}
        assert set(listed(empty, MEASURES, at)) == {"acme:weir-level"}
    # Silent for days: nothing is listed, and all of it again with the next batch.
    at = NOW + 200 * HOUR
    assert empty.expire(at)
    assert empty.expired(at) == []
    assert listed(empty, now=at) == {}
    batches.land(empty.store, gauges_of("acme", "again", [], [], at, [(rows[0][0], at, 1.0)]))
    ingest(empty, at)
    assert set(listed(empty, now=at)) == {"acme:weir"}
    gone = [{"station_id": "acme:weir", "removed": True}]
    batches.land(empty.store, gauges_of("acme", "gone", gone, [], at + QUARTER))
    ingest(empty, at + QUARTER)
    assert listed(empty, now=at + QUARTER) == {}


def test_what_the_api_listed_a_day_ago_expires_beside_what_publishers_listed(lake):
    list_weir(lake)
    at = NOW + 30 * HOUR
    lake.expire(at)
    assert lake.expired(at) == []
    assert present(lake) == {"acme:weir"}
    batches.land(lake.store, gauges_of("acme", "later", [], [], at, [(LEVEL["measure_id"], at, 1.0)]))
    ingest(lake, at)
    assert set(listed(lake, now=at)) == {"acme:weir"}


def test_a_damaged_present_is_made_anew_with_what_publishers_listed(lake):
    list_weir(lake)
    for damage in (b"no Parquet", b""):
        there = lake.store.read(current_key(STATIONS)).meta
        lake.store.put(current_key(STATIONS), damage, replaces=there)
        refresh(lake, NOW + HOUR)
        assert present(lake) >= {"acme:weir", "K1"}
    lake.store.delete([current_key(STATIONS)])
    list_weir(lake, NOW + HOUR + QUARTER, label="Other")
    assert present(lake) >= {"acme:weir", "K1"}


def test_a_refresh_and_an_ingestion_at_once_lose_nothing_wherever_they_meet(empty, monkeypatch):
    """The ingestion runs whole between each two requests of the refresh, and the refresh between those of it."""
    lake = empty
    steps = {"refresh": lambda at: refresh(lake, at), "push": lambda at: list_weir(lake, at, label=f"{at}")}
    for outer, inner in (("refresh", "push"), ("push", "refresh")):
        number, met = 0, True
        while met:
            number, met = number + 1, False
            for table in (STATIONS, MEASURES):
                lake.store.delete([meta.key for meta in lake.store.list(table.name)])
                lake.store.delete([current_key(table)])
            refresh(lake, NOW)
            at, requests = NOW + HOUR + number * timedelta(seconds=10), 0

            def between(name, at=at, number=number, inner=inner):
                whole = getattr(lake.store, name)

                def request(*args, **more):
                    nonlocal requests, met
                    requests += 1
                    if requests == number and not met:
                        met = True
                        steps[inner](at + timedelta(seconds=3))
                    return whole(*args, **more)

                return request

            with monkeypatch.context() as patch:
                for name in ("put", "get", "list"):
                    patch.setattr(lake.store, name, between(name))
                steps[outer](at)
            if not met and outer == "refresh":
                break  # it made no further request
            now = at + timedelta(minutes=1)
            for table, ids in ((STATIONS, "acme:weir"), (MEASURES, "acme:weir-level")):
                assert ids in listed(lake, table, now), (outer, number)
                assert ids in present(lake, table), (outer, number)
            assert len(listed(lake, now=now)) == len(STATION_ROWS) + 1
        assert number > 4


@pytest.mark.races
def test_refreshes_and_pushes_side_by_side_end_with_all_rows(lake):
    def push(number: int) -> None:
        row = {"station_id": f"acme:{number}", "label": "x"}
        batches.land(lake.store, gauges_of("acme", f"n-{number}", [row], [], NOW + number * timedelta(seconds=1)))
        ingest(lake, NOW + HOUR)

    def work(number: int) -> None:
        push(number) if number % 2 else refresh(lake, NOW + number * timedelta(seconds=1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(24)))
    ingest(lake, NOW + HOUR)
    ids = {f"acme:{number}" for number in range(1, 24, 2)}
    assert ids <= set(listed(lake, now=NOW + HOUR))
    assert ids <= present(lake)


def test_a_run_may_be_killed_at_any_write_of_a_list(lake):
    number, whole = 0, False
    while not whole:
        number += 1
        for folder in ("receipts", "landing"):
            lake.store.delete([meta.key for meta in lake.store.list(folder)])
        at = NOW + number * timedelta(seconds=1)
        batch = gauges_of("acme", "one", [WEIR | {"label": f"{number}"}], [LEVEL], at, [(LEVEL["measure_id"], at, 1.0)])
        batches.land(lake.store, batch)
        with killed_at(lake.store, number, after=bool(number % 2)):
            try:
                ingest(lake, at)
                whole = True
            except KilledError:
                pass
        ingest(lake, at)
        told = batches.find(lake.store, Place.of("acme", "one"))
        assert (told.state, told.listed, told.added + told.unchanged) == ("ingested", 2, 1)
        assert listed(lake, now=at)["acme:weir"]["label"] == f"{number}"
        assert stored(lake, at)[LEVEL["measure_id"], at.replace(microsecond=0)]["station_id"] == "acme:weir"
    assert number > 5


def test_a_lake_without_pushes_is_asked_for_nothing_more(lake, monkeypatch):
    asked = []
    for name in ("put", "get", "list", "delete"):
        whole = getattr(lake.store, name)

        def request(*args, whole=whole, name=name, **more):
            asked.append((name, args[0]))
            return whole(*args, **more)

        monkeypatch.setattr(lake.store, name, request)
    at = NOW + HOUR
    lake.put_snapshots(STATIONS, [window_of(at)], snapshot(STATIONS, at, *STATION_ROWS))
    key = f"stations/{window_of(at):date=%Y-%m-%d/hour=%H}/stations.parquet"
    assert asked == [(name, each) for each in (current_key(STATIONS), key) for name in ("get", "put")]


FEED = rules.Publisher("acme", feed=True)
WRONG = {
    "no object": (STATIONS, 7, "it is '7': expected an object with station_id"),
    "the API's": (STATIONS, WEIR | {"station_id": "K1"}, "station_id is 'K1': those of 'acme' begin with 'acme:'"),
    "another's": (STATIONS, WEIR | {"station_id": "beta:x"}, "those of 'acme' begin with 'acme:'"),
    "no id": (STATIONS, {"label": "x"}, "station_id is missing"),
    "misspelt": (STATIONS, WEIR | {"lable": "x"}, "unknown field 'lable': did you mean label?"),
    "unknown": (STATIONS, WEIR | {"qqqq": "x"}, "unknown field 'qqqq': leave it out"),
    "lat": (STATIONS, WEIR | {"lat": 91}, "lat is '91': expected degrees from -90 to 90"),
    "long": (STATIONS, WEIR | {"long": "1"}, "long is '1': expected a number"),
    "one of two": (STATIONS, {"station_id": "acme:x", "lat": 1}, "long is missing: a position has lat and long"),
    "a text": (STATIONS, WEIR | {"label": "a\nb"}, "label is 'a\nb': expected text of up to 500 printable characters"),
    "a long text": (STATIONS, WEIR | {"label": "a" * 501}, "expected text of up to 500 printable characters"),
    "a list": (STATIONS, WEIR | {"river": ["Thames"]}, "river is '[\"Thames\"]': expected text"),
    "a date": (STATIONS, WEIR | {"opened": "2023-02-29"}, "opened is '2023-02-29': expected a date, such as"),
    "a time": (STATIONS, WEIR | {"highest_recent_at": "2024-02-29T09:00:00"}, "expected a time with a zone"),
    "a number": (STATIONS, WEIR | {"typical_low": 10**400}, "expected a number"),
    "a range": (STATIONS, WEIR | {"typical_low": 2, "typical_high": 1}, "typical_low is '2.0', above typical_high"),
    "removed": (STATIONS, {"station_id": "acme:x", "removed": 1}, "removed is '1': expected true"),
    "a unit": (MEASURES, LEVEL | {"unit": 7}, "unit is '7': expected text of up to 500 printable characters"),
    "a period": (MEASURES, LEVEL | {"period_s": 0}, "period_s is '0': expected whole seconds, from 1 to 604,800"),
    "half a period": (MEASURES, LEVEL | {"period_s": 0.5}, "period_s is '0.5': expected whole seconds"),
    "no station": (MEASURES, {"measure_id": "acme:x"}, "station_id is missing"),
    "another's station": (MEASURES, LEVEL | {"station_id": "K1"}, "station_id is 'K1': those of 'acme' begin with"),
}


@pytest.mark.parametrize(("table", "row", "expected"), WRONG.values(), ids=WRONG)
def test_a_wrong_row_of_a_list_is_refused_with_the_value_and_the_remedy(table, row, expected):
    good = {STATIONS.name: WEIR, MEASURES.name: LEVEL}[table.name]
    found = gauges.check(table, [good, row], rules.Publisher("acme"))
    assert ([dict(each) for each in found.rows], found.refused_rows) == ([good], 1)
    assert (found.refused[0].row, found.refused[0].list) == (2, table.name)
    assert expected in found.refused[0].reason


def test_refused_rows_of_lists_are_told_by_their_list_and_kept(api, acme):
    body = {"stations": [WEIR | {"lat": 99}], "measures": [LEVEL], "readings": [reading(NOW - 30 * HOUR)]}
    told = acme.post(body, "mixed").json()
    assert [(each["list"], each["row"]) for each in told["reasons"]] == [("stations", 1), ("readings", 1)]
    assert (told["rows"], told["accepted"], told["rejected"]) == (3, 1, 2)
    ingest(api.lake, LATER)
    lines = [row["line"][:40] for row in api.lake.read(REJECTS, now=LATER).to_pylist()]
    assert sorted(line.partition(":")[0] for line in lines) == ["acme/mixed row 1", "acme/mixed stations row 1"]
    alone = acme.post({"stations": [WEIR | {"lat": 99}]})
    assert alone.status_code == 422
    assert "Row of stations 1: lat is '99'" in alone.json()["detail"]


def test_a_feed_may_list_what_the_api_lists(api):
    feeder = Publisher(api, "feeder")
    assert feeder.post({"stations": [{"station_id": "K1", "label": "Fed"}]}, "one").status_code == 202
    ingest(api.lake, LATER)
    row = listed(api.lake)["K1"]
    assert (row["label"], row["publisher"]) == ("Fed", None)
    refresh(api.lake, NOW + HOUR)
    assert listed(api.lake, now=NOW + HOUR)["K1"]["label"] == "Kingston"


def test_a_row_that_came_from_this_server_may_be_sent_back(api, acme):
    acme.post({"stations": [WEIR], "measures": [LEVEL]})
    ingest(api.lake, LATER)
    api.watcher.look()
    rows = [row for row in api.rows("stations") if row["station_id"] == "acme:weir"]
    assert acme.post({"stations": rows}, "back").json()["rejected"] == 0
