"""Stand in for AWS Lambda: serve its Runtime API to the real `awslambdaric`, which calls a handler in its own process.

    with function("refresh", environ) as call:
        answer = call({"detail-type": "Scheduled Event"})

Payload, deadline and errors travel as on AWS.
"""

import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

ARN = "arn:aws:lambda:eu-west-2:123456789012:function:flood"


@dataclass(frozen=True)
class Answer:
    """The end of a call: what was returned, or the error that was raised; None if the process died."""

    result: Any = None
    error: Mapping[str, Any] | None = None
    died: bool = False


class _Runtime(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.calls: queue.Queue[tuple[str, bytes, int]] = queue.Queue()
        self.answers: queue.Queue[Answer] = queue.Queue()


class _Requests(BaseHTTPRequestHandler):
    server: _Runtime
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        number, event, deadline_ms = self.server.calls.get()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": number,
            "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Content-Type": "application/json",
        }
        self._send(200, event, headers)

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
        kind = self.path.rpartition("/")[2]
        self.server.answers.put(Answer(result=said) if kind == "response" else Answer(error=said))
        self._send(202, b"", {})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def function(handler: str, environ: Mapping[str, str]) -> Iterator[Callable[..., Answer]]:
    """Run a handler of `flood_assets.functions`; yield what calls it with an event and the seconds that it has."""
    runtime = _Runtime()
    Thread(target=runtime.serve_forever, daemon=True).start()
    more = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "flood",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-m", "awslambdaric", f"flood_assets.functions.{handler}"]
    with subprocess.Popen(command, env={**os.environ, **environ, **more}, stdout=subprocess.DEVNULL) as process:

        def call(event: Any, *, seconds: float = 60, kill_after_s: float | None = None) -> Answer:
            runtime.calls.put(
                (str(time.monotonic_ns()), json.dumps(event).encode(), int((time.time() + seconds) * 1e3))
            )
            if kill_after_s is not None:
                time.sleep(kill_after_s)
                process.kill()
            until = time.monotonic() + 120
            while time.monotonic() < until:
                try:
                    return runtime.answers.get(timeout=0.2)
                except queue.Empty:
                    if process.poll() is not None:
                        return Answer(died=True)
            raise TimeoutError(handler)

        try:
            yield call
        finally:
            process.kill()
            runtime.shutdown()
            runtime.server_close()
