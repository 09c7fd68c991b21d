from collections.abc import Iterator
from pathlib import Path

import pytest

from flood_assets.lake.lake import Lake
from flood_assets_tests.lake.conftest import _in_a_bucket
from flood_assets_tests.support.pushing import Publisher, pushed_to
from flood_assets_tests.support.s3 import S3Server, s3_server
from flood_assets_tests.support.served import Served
from flood_assets_tests.support.seven_gauges import NOW, fill

__all__ = ["s3_server"]


@pytest.fixture(params=["folder", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, no_aws_of_this_machine: None) -> Lake:
    """A lake of seven gauges of the API."""
    if request.param == "folder":
        made = Lake.open(tmp_path / "lake")
    else:
        server: S3Server = request.getfixturevalue("s3_server")
        made = _in_a_bucket(server, {})
    fill(made)
    return made


@pytest.fixture
def api(lake: Lake, tmp_path: Path) -> Iterator[Served]:
    """The same, served to publishers."""
    with pushed_to(lake, NOW, tmp_path) as found:
        yield found


@pytest.fixture
def acme(api: Served) -> Publisher:
    return Publisher(api, "acme")


@pytest.fixture
def beta(api: Served) -> Publisher:
    return Publisher(api, "beta")
