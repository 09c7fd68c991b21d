import uuid
from pathlib import Path

import pytest

from flood_assets.lake.lake import Lake
from flood_assets_tests.s3 import BUCKET, S3Server, s3_server

__all__ = ["s3_server"]


@pytest.fixture(autouse=True)
def _no_aws_of_this_machine(monkeypatch, tmp_path):
    """Credentials and configuration of whoever runs the tests must not decide how they end."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def folder(tmp_path: Path) -> Lake:
    return Lake.open((tmp_path / "the lake").as_uri())


@pytest.fixture
def bucket(s3_server: S3Server) -> Lake:
    return Lake.open(f"s3://{BUCKET}/{uuid.uuid4().hex}/lake", s3=s3_server)


@pytest.fixture(params=["folder", "bucket"])
def lake(request: pytest.FixtureRequest) -> Lake:
    return request.getfixturevalue(request.param)


@pytest.fixture
def twin_of(s3_server: S3Server):
    """Opens the same lake a second time."""
    return lambda lake: Lake.open(lake.url, s3=s3_server if lake.url.startswith("s3") else None)


@pytest.fixture
def twin(lake: Lake, twin_of) -> Lake:
    return twin_of(lake)
