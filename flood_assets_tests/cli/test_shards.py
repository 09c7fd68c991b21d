"""`flood-assets shards` over a simulated API: from a lake without shards to parameters, and on to lists of stations."""

from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from flood_assets import query
from flood_assets.cli.main import main
from flood_assets.lake.lake import Lake
from flood_assets.lake.united import reading
from flood_assets.schemas import MEASURES, READINGS
from flood_assets.simulator import Server, Simulator
from flood_assets.tick.steps import Given, refresh
from flood_assets_tests.support.s3 import BUCKET, s3_server  # noqa: F401 - a fixture

NOW = datetime(2026, 10, 15, 9, 7, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def country():
    with Server(Simulator(stations=6, seed=1)) as server:
        server.set_clock(NOW)
        yield server


@pytest.fixture
def run(country, tmp_path, monkeypatch):
    """Return what runs a command and returns what it says, and its exit code."""
    for name, text in (
        ("FLOOD_API_URL", country.url),
        ("FLOOD_LAKE_URL", str(tmp_path / "lake")),
        ("FLOOD_NOW", NOW.isoformat()),
        ("FLOOD_NETWORK", str(tmp_path / "network.toml")),
        ("COLUMNS", "200"),
    ):
        monkeypatch.setenv(name, text)

    def command(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, ["shards", *words])
        assert done.exit_code == code, done.output
        return done.output

    return command


def described(folder, shards) -> None:
    """Write the file of a network: each shard has a parameter, or stations."""
    text = "".join(
        f'[[shard]]\nname = "{name}"\n{key} = {list(asks) if key == "stations" else repr(asks)}\n'
        for name, (key, asks) in shards.items()
    )
    (folder / "network.toml").write_text(f'name = "england"\n{text}'.replace("'", '"'))


def union(folder) -> list[dict]:
    """Return all readings as readers get them, who know nothing of shards."""
    found = query.readings(folder / "lake", NOW)
    assert not found.notes
    return found.rows.to_pylist()


def test_from_a_lake_without_shards_to_parameters_and_on_to_stations(run, country, tmp_path):
    lake = Lake.open(tmp_path / "lake")
    assert not refresh(Given(lake, country.url, lambda: NOW)).failed
    before = union(tmp_path)
    parameters = sorted(set(lake.newest_snapshot(MEASURES, NOW)["parameter"].to_pylist()))
    described(tmp_path, {name: ("parameter", name) for name in parameters})

    assert "new: readers do not unite it yet" in run()
    assert "would be carried and proved" in run("apply", "--dry-run")
    assert union(tmp_path) == before
    told = run("apply", "--grace", "0")
    assert f"readers unite {', '.join(parameters)}" in told
    assert "the lake without shards: deleted" in told
    assert union(tmp_path) == before
    assert "readers unite what FLOOD_NETWORK describes" in run()
    assert "each is in one shard" in run("check")

    # Who has no station that can be asked for is in no shard by station.
    stations = sorted({row["station_id"] for row in before} - {None, ""})
    homeless = sorted({row["measure_id"] for row in before if not row["station_id"]})
    described(tmp_path, {"north": ("stations", stations[:3]), "south": ("stations", stations[3:])})
    assert f"would be in no shard, and nothing was deleted: {homeless[0]}" in run("apply", code=1)
    assert union(tmp_path) == before
    told = run("apply", "--grace", "0", *(word for measure in homeless for word in ("--drop", measure)))
    assert "readers unite north, south" in told
    assert union(tmp_path) == [row for row in before if row["station_id"]]
    assert f"in no shard: {len(homeless)} measure" in run("check", code=1)


@pytest.mark.long
def test_a_bucket_goes_from_a_lake_to_shards_and_on_to_others(run, s3_server, country, tmp_path, monkeypatch):  # noqa: F811
    url = f"s3://{BUCKET}/to-shards"
    for name, text in {**s3_server.environ, "FLOOD_LAKE_URL": url}.items():
        monkeypatch.setenv(name, text)

    def command(*words: str) -> str:
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        return done.output

    def seen() -> list[dict]:
        found = query.readings(url, NOW)
        assert not found.notes
        return found.rows.to_pylist()

    assert not refresh(Given(Lake.open(url), country.url, lambda: NOW)).failed
    before = seen()
    parameters = sorted(set(Lake.open(url).newest_snapshot(MEASURES, NOW)["parameter"].to_pylist()))
    described(tmp_path, {name: ("parameter", name) for name in parameters})
    command("shards", "apply", "--grace", "0")
    assert seen() == before
    assert command("refresh").count(": 0 new and 0 revised readings, ") == len(parameters)
    opened = reading(Lake.open(url))
    assert len(opened.read(READINGS, now=NOW)) == len(before)

    stations = sorted({row["station_id"] for row in before} - {None, ""})
    homeless = sorted({row["measure_id"] for row in before if not row["station_id"]})
    described(tmp_path, {"north": ("stations", stations[:3]), "south": ("stations", stations[3:])})
    command("shards", "apply", "--grace", "0", *(word for measure in homeless for word in ("--drop", measure)))
    left = [row for row in before if row["station_id"]]
    assert seen() == left
    # Who had opened the shards that are deleted reads the new ones.
    assert (len(opened.read(READINGS, now=NOW)), opened.troubles) == (len(left), ())
    assert command("refresh").count(": 0 new and 0 revised readings, ") == 2
    said = command("status").splitlines()
    assert [line.split()[0] for line in said if line.endswith(" 10-15 09:07       0")] == ["north", "south"]
    keys = [each["Key"] for each in s3_server.client().list_objects_v2(Bucket=BUCKET, Prefix="to-shards/")["Contents"]]
    assert {key.split("/")[1] for key in keys} == {"_lake.json", "_network.json", "shard=north", "shard=south"}
