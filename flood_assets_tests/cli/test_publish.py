"""`flood-assets publish` and `ingest`, and what publishes or fills on Lambda, of a lake or of shards."""

import shutil

import pytest
from click.testing import CliRunner

from flood_assets import functions
from flood_assets.cli.main import main
from flood_assets.errors import LakeError, WrongLakeError
from flood_assets.lake.lake import Lake
from flood_assets.landing import batches
from flood_assets.publish.publisher import publish_all
from flood_assets.settings import Publishing
from flood_assets_tests.support.changing import World, network
from flood_assets_tests.support.lake_rows import HOUR, NOW, QUARTER, at, fetched
from flood_assets_tests.support.pushing import batch_of
from flood_assets_tests.support.receiving import receiving


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", str(tmp_path / "lake"))
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())
    monkeypatch.delenv("FLOOD_PUBLISH", raising=False)
    lake = Lake.open(tmp_path / "lake")
    lake.upsert_readings(fetched(("old", at(5), 1.0)), NOW - 3 * HOUR, NOW)
    lake.upsert_readings(fetched(("new", at(8), 2.0)), NOW, NOW)
    return lake


def run(*words):
    result = CliRunner().invoke(main, ["publish", *words])
    return result.exit_code, " ".join(result.output.split())


def test_it_publishes_what_a_sink_lacks_and_says_so(lake):
    with receiving() as receiver:
        code, said = run("--to", receiver.url)
        assert (code, said.endswith(": 2 events published")) == (0, True), said
        assert run("--to", receiver.url)[1].endswith(": 0 events published")
    assert sorted(event["subject"] for event in receiver.accepted) == ["new", "old"]


def test_from_sends_again_what_changed_since(lake):
    with receiving() as receiver:
        run("--to", receiver.url)
        receiver.accepted.clear()
        assert run("--to", receiver.url, "--from", "2h")[0] == 0
    assert [event["subject"] for event in receiver.accepted] == ["new"]


def test_the_sinks_of_the_environment_each_get_it(lake, monkeypatch):
    with receiving() as one, receiving() as two:
        monkeypatch.setenv("FLOOD_PUBLISH", f"{one.url} {two.url}")
        assert run()[0] == 0
    assert len(one.accepted) == len(two.accepted) == 2


def test_one_that_is_away_fails_the_command_and_holds_up_no_other(lake, monkeypatch):
    with receiving() as receiver:
        monkeypatch.setenv("FLOOD_PUBLISH", f"http://127.0.0.1:9/ {receiver.url}")
        monkeypatch.setattr("flood_assets.sinks.base.LONGEST_PAUSE_S", 0)
        code, said = run()
    assert code == 1
    assert "0 events published, 2 waiting, the oldest for 180 minutes" in said
    assert len(receiver.accepted) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to publish to: give --to URL or set FLOOD_PUBLISH"),
        (["--to", "ftp://x"], "FLOOD_PUBLISH has 'ftp://x': expected URLs with spaces between, each such as https://"),
        (["--to", "kinesis://"], "FLOOD_PUBLISH has 'kinesis://'"),
        (["--to", "x://me:secret@h/"], "FLOOD_PUBLISH has 'x://h/'"),
        (["--to", "http://127.0.0.1:9/", "--from", "yesterday"], "--from is 'yesterday': expected a duration"),
        (["--to", "http://127.0.0.1:9/", "--from", "-2h"], "--from is '-2h'"),
    ],
)
def test_a_wrong_setting_is_named(lake, words, says):
    code, said = run(*words)
    assert (code, says in said) == (2, True), said


def test_a_lake_that_is_not_there_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", str(tmp_path / "none"))
    code, said = run("--to", "http://127.0.0.1:9/")
    assert (code, "there is no lake" in said) == (2, True)
    assert not (tmp_path / "none").exists()


# --- Shards -------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path / "common").filled(network("level=level", "rain=rainfall"), 1)
    monkeypatch.setenv("FLOOD_LAKE_URL", world.common.url)
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())
    return world


def test_each_shard_publishes_what_it_has_once_as_its_refresh_does(world):
    with receiving() as receiver:
        code, said = run("--to", receiver.url)
        assert (code, said.startswith("level: "), " rain: " in said) == (0, True, True), said
        assert sorted(each["subject"] for each in receiver.accepted) == ["m1", "m1", "m2", "m2", "m3", "m3", "m4", "m4"]
        found = [
            each
            for name in ("level", "rain")
            for each in publish_all(world.filler.at(name), Publishing((receiver.url,), None), lambda: NOW)
        ]
        assert [each.events for each in found] == [0, 0]


def test_a_shard_that_cannot_be_published_holds_up_no_other(world, tmp_path):
    shutil.rmtree(tmp_path / "common" / "shard=level")
    (tmp_path / "common" / "shard=level").write_text("no folder")
    with receiving() as receiver:
        code, said = run("--to", receiver.url)
    assert (code, "level: file://" in said) == (1, True), said
    assert sorted(each["subject"] for each in receiver.accepted) == ["m2", "m2", "m4", "m4"]


def test_pushed_batches_are_ingested_in_each_shard(world):
    lake = world.filler.at("level")
    batches.land(lake.store, batch_of("acme", "b1", [("acme:m", NOW - QUARTER, 6.0)], NOW))
    result = CliRunner().invoke(main, ["ingest"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("level: 1 batch ingested")
    assert "rain: 0 batches ingested" in result.output


def test_a_stream_is_not_followed_into_what_unites_shards(world):
    with pytest.raises(WrongLakeError, match="unites the shards of the network england and holds no readings itself"):
        world.common.claim("kinesis://flood-readings")


def test_a_function_publishes_no_shards_silently(world, monkeypatch):
    monkeypatch.setenv("FLOOD_PUBLISH", "http://127.0.0.1:9/")
    with pytest.raises(LakeError, match=r"unites the shards level, rain and holds .* run `flood-assets publish`"):
        functions.publish({}, None)
