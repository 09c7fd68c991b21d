"""A lake knows which shard it is: a wrong one is refused, and the common URL of shards is no lake."""

import json

import pytest

from flood_assets.errors import LakeError, WrongLakeError
from flood_assets.lake import identity, members
from flood_assets.lake.lake import Lake
from flood_assets.network import parse_network

API = "https://me:secret@example.org/flood-monitoring"
PLAIN = "https://example.org/flood-monitoring"


def shard(scope='parameter = "level"', name="level", network="england", api=API):
    return parse_network(f'name = "{network}"\n[[shard]]\nname = "{name}"\n{scope}', api).shards[0]


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake.open(tmp_path / "lake")


def told(lake: Lake) -> dict:
    return json.loads(lake.store.read("_lake.json").data.to_pybytes())


def test_the_first_claim_of_a_shard_decides_and_another_user_of_its_api_is_the_same(lake):
    lake.claim(API, shard())
    before = told(lake)
    assert before["shard"] == {"name": "level", "network": "england", "parameter": "level"}
    assert "secret" not in json.dumps(before)
    lake.claim(API.replace("secret", "changed"), shard())
    assert told(lake) == before
    assert lake.source() == PLAIN


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        (shard(name="rainfall"), ("the shard level ", "and not the shard rainfall ", "FLOOD_NETWORK")),
        (shard(network="wales"), ("of the network england", "of the network wales", "FLOOD_LAKE_URL")),
        (shard('parameter = "flow"'), ("(parameter level)", "should now be", "(parameter flow)", "shards apply")),
        (shard(""), ("(parameter level)", "(everything)", "a new name", "flood-assets shards apply")),
        (shard('stations = ["1"]'), ("(parameter level)", "(1 station)", "flood-assets shards apply")),
        (None, ("the shard level of the network england", "without FLOOD_NETWORK", "set FLOOD_NETWORK")),
    ],
)
def test_another_shard_is_refused_and_the_remedy_is_told(lake, other, parts):
    lake.claim(API, shard())
    before = told(lake)
    with pytest.raises(WrongLakeError) as error:
        lake.claim(API, other)
    for part in (lake.url, *parts):
        assert part in str(error.value)
    assert told(lake) == before


def test_other_stations_under_the_same_name_are_refused_even_if_they_are_as_many(lake):
    lake.claim(API, shard('stations = ["1", "2"]', "north"))
    lake.claim(API, shard('stations = ["2", "1"]', "north"))
    with pytest.raises(WrongLakeError, match=r"should now be .*\(2 stations\) of other stations: give"):
        lake.claim(API, shard('stations = ["1", "3"]', "north"))


def test_another_api_of_a_shard_is_refused(lake):
    lake.claim(API, shard())
    with pytest.raises(WrongLakeError, match=f"holds readings of {PLAIN} and not of https://other.example/api"):
        lake.claim("https://other.example/api", shard(api="https://other.example/api"))


def test_a_shard_is_refused_where_a_lake_without_shards_is(lake):
    lake.claim(API)
    before = told(lake)
    assert set(before) == {"api", "layout"}
    with pytest.raises(WrongLakeError, match="is no shard, and should be the shard level of the network england"):
        lake.claim(API, shard())
    assert told(lake) == before


def test_of_two_shards_that_claim_a_lake_at_once_one_wins(lake, monkeypatch):
    put = lake.store.put

    def after_another(key, data, *, replaces):
        monkeypatch.undo()
        Lake.open(lake.url).claim(API, shard(name="rainfall"))
        put(key, data, replaces=replaces)

    monkeypatch.setattr(lake.store, "put", after_another)
    with pytest.raises(WrongLakeError, match="is the shard rainfall"):
        lake.claim(API, shard())


def network(name="england"):
    return parse_network(f'name = "{name}"\n[[shard]]\nname = "all"', API)


def test_the_common_url_is_no_lake_to_who_refreshes_or_writes_or_reads(lake):
    members.claim(lake.store, network())
    for refused in (lake.require_api, lambda: lake.claim(API), lambda: lake.claim(API, shard())):
        with pytest.raises(WrongLakeError, match=r"unites the shards of the network england.*set FLOOD_NETWORK"):
            refused()
    for refused in (
        lake.source,
        lambda: identity.require_format(lake.store),
        lambda: identity.require_layout(lake.store),
    ):
        with pytest.raises(LakeError, match="unites the shards of the network england"):
            refused()
    assert identity.read(lake.store).network == "england"
    members.claim(lake.store, network())


def test_shards_are_refused_where_a_lake_is_and_nothing_is_written(lake):
    lake.claim(API)
    with pytest.raises(WrongLakeError, match=f"{lake.url} holds readings of {PLAIN} and not the shards of"):
        members.claim(lake.store, network())
    assert [each.key for each in lake.store.list("_network")] == []


def test_the_common_url_of_another_network_is_refused_although_its_list_is_gone(lake):
    members.claim(lake.store, network("wales"))
    lake.store.delete(["_network.json"])
    with pytest.raises(WrongLakeError, match="unites the shards of wales and not the shards of the network england"):
        members.claim(lake.store, network())


@pytest.mark.parametrize("sharded", [False, True], ids=["common URL", "shard"])
def test_a_version_without_shards_leaves_both_alone(lake, sharded):
    """What it looks at is the layout, which it does not know, and a URL, which has to be text."""
    if sharded:
        lake.claim(API, shard())
    else:
        members.claim(lake.store, network())
    found = told(lake)
    assert found["layout"] > 2
    assert isinstance(found["api"], str)


def test_what_says_no_shard_that_can_be_understood_is_damaged(lake):
    lake.store.put("_lake.json", b'{"api": "http://one", "layout": 3, "shard": "level"}', replaces=None)
    with pytest.raises(LakeError, match="cannot be understood"):
        lake.source()
