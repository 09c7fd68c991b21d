"""One shard is filled by the steps of a tick as any lake is, and by nothing else."""

import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flood_assets.cli.status import show
from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.errors import WrongLakeError
from flood_assets.lake.lake import Lake
from flood_assets.network import parse_network
from flood_assets.query.status import look
from flood_assets.query.status_json import content
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets.settings import Publishing
from flood_assets.shards.filling import ApiFiller
from flood_assets.shards.opening import open_shard
from flood_assets.shards.work import Job
from flood_assets.simulator import Simulator, api, serve
from flood_assets.tick.steps import Given, clean, reconcile, refresh

NOW = datetime(2026, 10, 15, 9, 7, 30, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


@pytest.fixture
def country():
    with serve(Simulator(12, 3, lambda: NOW)) as server:
        yield server


def three_stations(country) -> list[str]:
    measures = FloodMonitoringApi(country.url, now=lambda: NOW).measures().rows["station_id"].to_pylist()
    return sorted({each for each in measures if each})[:3]


def shard_of(country, scope: str, name="some"):
    return parse_network(f'name = "test"\n[[shard]]\nname = "{name}"\n{scope}', country.url).shards[0]


def readings_of(lake: Lake, station: str, now: datetime) -> pa.Table:
    found = lake.read(READINGS, now=now)
    return found.filter(pc.equal(found["station_id"], station))


def test_without_shards_nothing_of_them_is_imported():
    told = "import sys; import flood_assets.tick.steps, flood_assets.query.status, flood_assets.cli.status; "
    told += "import flood_assets.cli.run, flood_assets.functions; "
    ours = ("flood_assets.network", "flood_assets.shards", "flood_assets.cli.run_shards", "dask", "distributed")
    told += f"print([name for name in sys.modules if name.startswith({ours})])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_passwords_are_not_shown_with_what_the_steps_work_with(tmp_path):
    (shard,) = parse_network('name = "n"\n[[shard]]\nname = "a"', "http://me:secret@127.0.0.1:1").shards
    sinks = Publishing(("https://me:secret@127.0.0.1:1",), "secret")
    given = open_shard(shard, tmp_path.as_uri(), lambda: NOW, publishing=sinks)
    job = Job(tmp_path.as_uri(), publishing=sinks)
    assert "secret" not in f"{given!r} {job!r} {shard!r}"


def test_a_shard_has_its_lake_and_its_archive_below_those_of_the_network(country, tmp_path):
    shard = shard_of(country, 'parameter = "level"')
    given = open_shard(shard, f"{tmp_path.as_uri()}/lake", lambda: NOW, archive=f"{tmp_path.as_uri()}/archive")
    assert given.lake.url == f"{tmp_path.as_uri()}/lake/shard=some"
    assert given.archive.url == f"{tmp_path.as_uri()}/archive/shard=some"
    own = open_shard(shard, f"{tmp_path.as_uri()}/lake", lambda: NOW, archive="archive")
    assert own.archive.url == f"{given.lake.url}/archive"
    # A change of shards brings what expires to the same place.
    for archive, expected in ((f"{tmp_path.as_uri()}/archive", given.archive.url), ("archive", own.archive.url)):
        filler = ApiFiller(f"{tmp_path.as_uri()}/lake", lambda: NOW, archive)
        assert filler.archive("some").url == expected
        assert filler.archive("").url == (archive if "://" in archive else f"{tmp_path.as_uri()}/lake/archive")


def test_what_expires_of_a_shard_is_archived_and_deleted(country, tmp_path):
    at = [NOW]
    archive = f"{tmp_path.as_uri()}/archive"
    given = open_shard(
        shard_of(country, f"stations = {three_stations(country)}"), tmp_path.as_uri(), lambda: at[0], archive=archive
    )
    assert not refresh(given).failed
    stored = len(given.lake.read(READINGS, now=NOW))
    at[0] += timedelta(hours=25)
    assert clean(given)["deleted_rows"] >= stored
    assert given.lake.windows(READINGS) == []


def test_every_request_of_a_tick_and_a_reconcile_goes_through_the_gate(country, tmp_path):
    through = [0]

    @contextmanager
    def gate():
        through[0] += 1
        yield

    stations = three_stations(country)
    given = open_shard(shard_of(country, f"stations = {stations}"), tmp_path.as_uri(), lambda: NOW, gate=gate)
    for steps in (refresh, reconcile):
        country.reset()
        through[0] = 0
        assert not steps(given).failed
        assert through[0] == sum(each["requests"] for each in country.stats().values())
        assert through[0] >= 2 * len(stations)


def test_a_station_that_the_api_no_longer_knows_is_told_and_empties_nothing(country, tmp_path):
    """A third of the stations, where a list that is a tenth shorter counts as cut short."""
    at = [NOW]
    stations = three_stations(country)
    given = open_shard(shard_of(country, f"stations = {stations}"), tmp_path.as_uri(), lambda: at[0])
    assert not refresh(given).failed
    at[0] += timedelta(hours=1)
    gone = stations[1]
    before = readings_of(given.lake, gone, at[0])
    country.set_faults([{"match": f"id/stations/{gone}", "kind": "status", "status": 404, "times": 0}])
    ticked = refresh(given)
    assert ticked.failed == {}
    for name in ("stations", "measures", "readings"):
        assert ticked.done[name]["unknown_stations"] == [gone]
    assert ticked.done["stations"]["listed"] == 2
    rest = given.lake.newest_snapshot(MEASURES, at[0])
    assert set(rest["station_id"].to_pylist()) == {each for each in stations if each != gone}
    assert len(before)
    assert readings_of(given.lake, gone, at[0]).equals(before)


def test_a_station_that_cannot_be_asked_fails_the_step_and_changes_nothing(country, tmp_path):
    stations = three_stations(country)
    given = open_shard(shard_of(country, f"stations = {stations}"), tmp_path.as_uri(), lambda: NOW)
    country.set_faults([{"match": f"id/stations/{stations[2]}", "kind": "status", "status": 400, "times": 0}])
    ticked = refresh(given)
    assert {"stations", "measures", "readings"} <= ticked.failed.keys()
    assert given.lake.windows(STATIONS) == given.lake.windows(READINGS) == []


def test_an_api_that_ignores_the_parameter_never_fills_the_shard(country, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "_measure_filter", lambda _: lambda _: True)
    given = open_shard(shard_of(country, 'parameter = "rainfall"'), tmp_path.as_uri(), lambda: NOW)
    ticked = refresh(given)
    assert "does not filter as the API does" in ticked.failed["measures"]
    assert "readings" in ticked.skipped
    assert given.lake.windows(READINGS) == given.lake.windows(MEASURES) == []


def test_no_refresh_but_that_of_the_shard_writes_into_its_lake(country, tmp_path):
    shard = shard_of(country, 'parameter = "rainfall"')
    given = open_shard(shard, tmp_path.as_uri(), lambda: NOW)
    assert not refresh(given).failed
    before = [(each.key, each.e_tag) for each in given.lake.store.list("")]
    for other in (
        Given(Lake.open(given.lake.url), country.url, lambda: NOW + QUARTER),
        open_shard(shard_of(country, 'parameter = "level"'), tmp_path.as_uri(), lambda: NOW + QUARTER),
    ):
        for steps in (refresh, reconcile):
            with pytest.raises(WrongLakeError, match="is the shard some of the network test"):
                steps(other)
    assert [(each.key, each.e_tag) for each in given.lake.store.list("")] == before


def test_the_status_says_which_shard_it_is_and_what_it_asks_for(country, tmp_path, capsys):
    given = open_shard(shard_of(country, 'parameter = "rainfall"'), tmp_path.as_uri(), lambda: NOW)
    given.lake.claim(given.api_url, given.shard)
    status = look(given.lake, NOW)
    assert status.api == country.url
    assert content(status)["shard"] == {"name": "some", "network": "test", "parameter": "rainfall"}
    show(given.lake.url, NOW)
    assert "shard: the shard some of the network test (parameter rainfall)" in capsys.readouterr().out
