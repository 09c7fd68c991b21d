"""Lakes with changes to publish, and AWS as moto plays it."""

import itertools

import pytest

from flood_assets.lake.lake import Lake
from flood_assets.publish.events import Events
from flood_assets.schemas import READINGS
from flood_assets_tests.support.lake_rows import NOW, at, fetched
from flood_assets_tests.support.receiving import receiving

_numbers = itertools.count()


@pytest.fixture
def lake(tmp_path):
    return Lake.open(tmp_path)


@pytest.fixture
def events(lake):
    """Make events of so many readings, each of a measure of its own or of those that are named."""

    def made(count=3, measures=None):
        ids = measures or [f"m{number:04}" for number in range(count)]
        lake.upsert_readings(fetched(*[(m, at(8), float(i)) for i, m in enumerate(ids)]), NOW, NOW)
        return Events(lake.read(READINGS, now=NOW), "https://example.org/api")

    return made


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found


@pytest.fixture
def aws(s3_server, no_aws_of_this_machine, monkeypatch):
    """Make clients of moto, which the environment names too."""
    for name, text in s3_server.environ.items():
        monkeypatch.setenv(name, text)
    import boto3  # noqa: PLC0415

    opened = []

    def client(service):
        opened.append(boto3.client(service))
        return opened[-1]

    yield client
    for each in opened:
        each.close()


@pytest.fixture
def name():
    """A name that no other test uses: moto keeps what is made for the whole process."""
    return f"flood-{next(_numbers)}"
