"""Run moto's S3 server for tests on a free port, with one bucket. For any folder's conftest.

from flood_assets_tests.support.s3 import s3_server  # noqa: F401 - a fixture
"""

import functools
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "flood-lake"
REGION = "eu-west-2"


@dataclass(frozen=True)
class S3Server:
    """Server with the attributes of `dagster_aws.s3.S3Resource`, to be passed to `Lake.open`."""

    endpoint_url: str
    region_name: str | None = REGION
    profile_name: str | None = None
    use_unsigned_session: bool = False
    aws_access_key_id: str | None = "flood"
    aws_secret_access_key: str | None = "flood-secret"
    aws_session_token: str | None = None
    verify: Any = None
    max_attempts: int = 3

    @property
    def environ(self) -> dict[str, str]:
        """Return the same as environment variables."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "flood",
            "AWS_SECRET_ACCESS_KEY": "flood-secret",
        }

    def client(self) -> Any:
        """Return a boto3 client, to inspect the bucket from outside."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
        )


def remembering(application: Any) -> Any:
    """Let moto remember which service a host is: it lists its own folder for each request, half of all it does."""
    application.get_backend_for_host = functools.cache(application.get_backend_for_host)
    return application


class OneWriteAtATime:
    """WSGI application that lets moto decide and carry out one conditional write before the next begins.

    moto looks at `If-Match` and writes a moment later: of eight writers that race, two win now and then, and the first
    one's rows are lost. A real S3 has one winner.
    """

    def __init__(self, application: Any) -> None:
        self._application, self._turn = remembering(application), threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] not in {"PUT", "POST", "DELETE"}:
            return self._application(environ, start_response)
        with self._turn:
            return list(self._application(environ, start_response))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    server._server.app = OneWriteAtATime(server._server.app)
    try:
        host, port = server.get_host_and_port()
        found = S3Server(f"http://{host}:{port}")
        client = found.client()
        # moto keeps its buckets for the whole process, whichever of its servers made them.
        with suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        client.close()
        yield found
    finally:
        server.stop()
