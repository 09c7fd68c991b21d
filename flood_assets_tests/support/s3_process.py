"""Run moto's S3 server as a process: `python -m flood_assets_tests.support.s3_process` prints its address.

It carries out one write at a time: otherwise moto looks at `If-Match` and writes a moment later, and two writers both
win.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flood_assets_tests.support.s3 import BUCKET, REGION, KeptConnection, OneWriteAtATime, S3Server


@contextmanager
def s3_process() -> Iterator[S3Server]:
    """Start a server with an empty bucket."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
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

    application = OneWriteAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=KeptConnection)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    # Whatever happens to the tests' process, the server ends with it.
    threading.Thread(target=lambda: sys.stdin.read() or os._exit(0), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    _serve()
