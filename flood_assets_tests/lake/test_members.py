"""What the common URL of shards says: who wrote first decides, and others are told what to do."""

import pytest

from flood_assets.errors import LakeError
from flood_assets.lake import members
from flood_assets.lake.layout import NETWORK_KEY
from flood_assets.lake.objects import ConflictError
from flood_assets.lake.opening import open_store
from flood_assets.network import NetworkError, parse_network

API = "https://me:secret@example.org/flood-monitoring"


def network(*parameters: str, name: str = "england"):
    text = "".join(f'[[shard]]\nname = "{each}"\nparameter = "{each}"\n' for each in parameters)
    return parse_network(f'name = "{name}"\n{text}', API)


@pytest.fixture
def store(lake):
    return lake.store


def test_the_first_claim_decides_and_a_repeated_one_changes_nothing(store):
    assert members.members(store) is None
    members.claim(store, network("level", "rainfall"))
    first = members.members(store)
    members.claim(store, network("level", "rainfall"))
    assert members.members(store) == first
    assert first.names == ("level", "rainfall")
    assert b"secret" not in store.read(NETWORK_KEY).data.to_pybytes()


@pytest.mark.parametrize("other", [network("level"), network("rainfall", "level"), network("level", name="wales")])
def test_other_shards_are_refused_and_the_remedy_is_told(tmp_path, other):
    store = open_store(tmp_path)
    members.claim(store, network("level", "rainfall"))
    with pytest.raises(NetworkError, match="run `flood-assets shards apply`"):
        members.claim(store, other)
    assert members.members(store).names == ("level", "rainfall")


def test_readers_change_over_only_from_what_was_read(tmp_path):
    store = open_store(tmp_path)
    members.claim(store, network("level"))
    before = members.members(store)
    members.replace(store, network("level", "flow"), before)
    assert members.members(store).names == ("level", "flow")
    with pytest.raises(ConflictError):
        members.replace(store, network("flow"), before)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"network": "x", "shards": []}', b'{"network": "x", "shards": [1]}'])
def test_what_cannot_be_understood_is_an_error_with_a_remedy(tmp_path, content):
    store = open_store(tmp_path)
    store.put(NETWORK_KEY, content, replaces=None)
    with pytest.raises(LakeError, match="delete it, and the next refresh"):
        members.members(store)
