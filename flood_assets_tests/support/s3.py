"""Run moto's S3 server for tests on a free port, with one bucket. For any folder's conftest.

from flood_assets_tests.support.s3 import s3_server  # noqa: F401 - a fixture
"""

import functools
import io
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto.core import errors
from moto.moto_server.werkzeug_app import MotoRequestHandler
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


class KeptConnection(MotoRequestHandler):
    """Connection that answers requests until the client closes it, as S3's does.

    Werkzeug's own closes after each answer, and waits for more of the request before it does.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_expect_100(self) -> bool:
        """Ask for the body at once: boto3 waits a second for this, before each object that it writes."""
        answered = super().handle_expect_100()
        self.wfile.flush()
        return answered

    def run_wsgi(self) -> None:
        environ = self.make_environ()
        # Whole, for what the application leaves unread would be taken for the next request.
        length = -1 if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))

        def start_response(status: str, headers: Iterable[tuple[str, str]], _: Any = None) -> None:
            code, _, message = status.partition(" ")
            self.send_response(int(code), message)
            names = set()
            for name, value in headers:
                self.send_header(name, value)
                names.add(name.lower())
            if "content-length" not in names and self.command != "HEAD" and code not in {"204", "304"}:
                self.send_header("Content-Length", str(len(body)))

        # Only then is it known how long the answer is.
        said: list[Any] = []
        body = b"".join(self.server.app(environ, lambda *given: said.append(given)))
        start_response(*said[-1])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()


def remembering(application: Any) -> Any:
    """Let moto remember what never changes: which service a host is, and the errors of a service.

    It lists its own folder for each request, and all errors for each that it answers.
    """
    application.get_backend_for_host = functools.cache(application.get_backend_for_host)
    # One for all answers instead of one for each, which knows nothing yet.
    errors.ErrorLookupFactory = functools.cache(errors.ErrorLookupFactory)
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
    server._server.RequestHandlerClass = KeptConnection
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
