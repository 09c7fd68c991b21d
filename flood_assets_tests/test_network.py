"""The file that describes a network: what is understood, and what each error says."""

import pytest

from flood_assets.errors import SettingsError
from flood_assets.network import NetworkError, Scope, parse_network, read_network
from flood_assets.settings import dask

API = "http://127.0.0.1:8765/flood-monitoring"


def shards(*texts: str) -> str:
    return 'name = "england"\n' + "".join(f"[[shard]]\n{text}\n" for text in texts)


def test_shards_are_described_by_parameter_and_take_the_common_api():
    network = parse_network(shards('name = "level"\nparameter = "level"', 'name = "rain"\nparameter = "rainfall"'), API)
    level, rain = network.shards
    assert (level.api, level.scope, rain.scope) == (API, Scope("level"), Scope("rainfall"))
    assert level.lake_url("s3://bucket/flood") == "s3://bucket/flood/shard=level"
    assert (level.leads, rain.leads) == (True, False)
    assert network.shard("rain") is rain


def test_the_password_of_an_api_is_in_no_repr():
    network = parse_network(shards('name = "a"'), "http://user:secret@127.0.0.1:1/api")
    assert network.shards[0].api.startswith("http://user:secret@")
    assert "secret" not in repr(network)


def test_the_first_shard_of_each_api_leads():
    network = parse_network(shards('name = "a"', f'name = "b"\napi = "{API}/other"'), API)
    assert [each.leads for each in network.shards] == [True, True]


def test_stations_come_from_a_list_or_a_file_and_their_order_is_no_difference(tmp_path):
    (tmp_path / "north.txt").write_text("# the north\n52203\n\n1029TH\n")
    (tmp_path / "network.toml").write_text(shards('name = "north"\nstations_file = "north.txt"'))
    (shard,) = read_network(tmp_path / "network.toml", API).shards
    (same,) = parse_network(shards('name = "north"\nstations = ["52203", " 1029TH", "52203"]'), API).shards
    assert shard.scope == same.scope == Scope(stations=("1029TH", "52203"))
    assert shard.told() == same.told() != Scope(stations=("1029TH",)).told()


def test_a_password_is_in_nothing_that_is_stored():
    network = parse_network(shards('name = "a"\napi = "https://me:secret@example.org/x"'), API)
    stored = network.told()
    assert "secret" not in str(stored)
    assert stored["shards"] == [{"name": "a", "network": "england", "api": "https://example.org/x"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "is no TOML"),
        ('name = "england"', "describes no shard: each begins with [[shard]]"),
        ('name = "England!"\n[[shard]]\nname = "a"', "has name = 'England!': expected a name such as"),
        ('colour = "blue"', "has 'colour': expected name, at_once and [[shard]]"),
        ('name = "e"\nat_once = 0\n[[shard]]\nname = "a"', "has at_once = 0: expected a number of requests"),
        (shards('name = "A b"'), "shard 1, has name = 'A b': expected lower case letters"),
        (shards('name = "a"\nparamter = "level"'), "shard a, has 'paramter': expected name, api, parameter"),
        (shards('name = "a"\nparameter = ""'), "has parameter = '': expected a parameter of the API"),
        (shards('name = "a"\nparameter = "level"\nstations = ["x"]'), "has parameter and stations: choose one"),
        (shards('name = "a"\nstations = []'), "names no station: leave the key out"),
        (shards('name = "a"\nstations = [1]'), "has stations = [1]: expected texts"),
        (shards('name = "a"\nstations_file = "gone.txt"'), "which cannot be read"),
        (shards('name = "a"\napi = "ftp://me:secret@x"'), "has api = '...@x': expected http:// or https://"),
        (shards('name = "a"\nparameter = "x"', 'name = "a"\nparameter = "y"'), "describes the shard 'a' twice"),
        (shards('name = "a"', 'name = "b"'), "a, b ask one API for the same readings"),
        (shards('name = "a"\nparameter = "x"', 'name = "b"\nstations = ["y"]'), "ask one API for the same readings"),
        (shards('name = "a"\nparameter = "x"', 'name = "b"\nparameter = "x"'), "'x' is in the shards a and b"),
    ],
)
def test_an_error_names_the_value_and_the_remedy(text, told):
    with pytest.raises(NetworkError) as error:
        parse_network(text, API)
    assert told in str(error.value)
    assert "secret" not in str(error.value)


def test_an_unknown_shard_is_told_with_those_that_there_are():
    with pytest.raises(NetworkError, match="has no shard 'b': it has a"):
        parse_network(shards('name = "a"'), API).shard("b")


def test_dask_is_an_address_or_a_number_of_processes():
    assert dask({}) is None
    assert dask({"FLOOD_DASK": "local[2]"}) == "local[2]"
    assert dask({"FLOOD_DASK": "tcp://127.0.0.1:8786"}) == "tcp://127.0.0.1:8786"
    for wrong in ("local[0]", "local", "127.0.0.1:8786", "http://x:1"):
        with pytest.raises(SettingsError, match="expected the address of a scheduler"):
            dask({"FLOOD_DASK": wrong})
