import uuid
from pathlib import Path

import pytest

from flood_assets.lake.lake import Lake
from flood_assets_tests.support.s3 import BUCKET, S3Server, s3_server

__all__ = ["s3_server"]


@pytest.fixture(autouse=True)
def _no_aws(no_aws_of_this_machine: None) -> None:
    """For all tests of the lake."""


@pytest.fixture
def folder(tmp_path: Path) -> Lake:
    return Lake.open((tmp_path / "the lake").as_uri())


@pytest.fixture
def opened_with() -> dict[str, S3Server]:
    """Which server each bucket's lake is on, by the lake's URL."""
    return {}


@pytest.fixture
def bucket(s3_server: S3Server, opened_with: dict[str, S3Server]) -> Lake:
    """A lake in moto's server."""
    return _in_a_bucket(s3_server, opened_with)


@pytest.fixture
def ceph(ceph_server: S3Server, opened_with: dict[str, S3Server]) -> Lake:
    """A lake in a real S3 server; tests that need it are marked `s3`."""
    return _in_a_bucket(ceph_server, opened_with)


@pytest.fixture(params=["folder", "bucket", pytest.param("ceph", marks=pytest.mark.s3)])
def lake(request: pytest.FixtureRequest) -> Lake:
    return request.getfixturevalue(request.param)


@pytest.fixture
def twin_of(opened_with: dict[str, S3Server]):
    """Opens the same lake a second time."""
    return lambda lake: Lake.open(lake.url, s3=opened_with.get(lake.url))


@pytest.fixture
def twin(lake: Lake, twin_of) -> Lake:
    return twin_of(lake)


def _in_a_bucket(server: S3Server, opened_with: dict[str, S3Server]) -> Lake:
    url = f"s3://{BUCKET}/{uuid.uuid4().hex}/lake"
    opened_with[url] = server
    return Lake.open(url, s3=server)
