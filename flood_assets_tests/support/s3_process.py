"""Run moto's S3 server as a process: `python -m flood_assets_tests.support.s3_process` prints its address.

It carries out one write at a time: otherwise moto looks at `If-Match` and writes a moment later, and two writers both
win. Given `free`, only writes to buckets wait for each other, so that a queue that is waited for holds up nobody.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flood_assets_tests.support.s3 import BUCKET, REGION, KeptConnection, OneWriteAtATime, S3Server


@contextmanager
def s3_process(*, free: bool = False) -> Iterator[S3Server]:
    """Start a server with an empty bucket."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__, *(["free"] if free else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout
            found = S3Server(process.stdout.readline().strip())
            client = found.client()
            client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
            client.close()
            yield found
        finally:
            process.kill()


def _serve() -> None:
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - takes a second, and only the server needs it
        DomainDispatcherApplication,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    _take_requests_without_tls()
    application = DomainDispatcherApplication(create_backend_app)
    application = _one_write_at_a_time(application) if sys.argv[1:] == ["free"] else OneWriteAtATime(application)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=KeptConnection)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    # Whatever happens to the tests' process, the server ends with it.
    threading.Thread(target=lambda: sys.stdin.read() or os._exit(0), daemon=True).start()
    server.serve_forever()


def _one_write_at_a_time(application: Any) -> Any:
    """Let what streams and queues are told wait for no write to a bucket; all else is written one at a time."""
    guarded = OneWriteAtATime(application)
    return lambda environ, start: (application if "HTTP_X_AMZ_TARGET" in environ else guarded)(environ, start)


def _take_requests_without_tls() -> None:
    """Pass over what policies deny without TLS: tests speak HTTP."""
    from moto.iam.access_control import IAMPolicyStatement, PermissionResult  # noqa: PLC0415 - likewise

    decide = IAMPolicyStatement.is_action_permitted

    def decided(statement: IAMPolicyStatement, *arguments: Any, **more: Any) -> PermissionResult:
        if "aws:SecureTransport" in str(statement._statement.get("Condition")):
            return PermissionResult.NEUTRAL
        return decide(statement, *arguments, **more)

    IAMPolicyStatement.is_action_permitted = decided


if __name__ == "__main__":
    _serve()
