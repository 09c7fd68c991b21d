"""Ask a server for the same paths again and again, on several connections, and say what came.

    python -m flood_assets_tests.support.hammer PORT CONNECTIONS PATH...

In a process of its own, so that it takes nothing of the server's. It ends when its input does, and prints JSON: of each
path, the milliseconds of each answer, the statuses, and the digests of the bodies that came with 200.
"""

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from http.client import HTTPConnection
from typing import Any


class Asked:
    """What came of one path."""

    def __init__(self) -> None:
        self.statuses = Counter[int]()
        self.digests = Counter[str]()
        self.milliseconds = list[float]()

    def add(self, status: int, body: bytes, seconds: float) -> None:
        """Add an answer."""
        self.statuses[status] += 1
        self.milliseconds.append(1000 * seconds)
        if status == 200:
            self.digests[digest(body)] += 1


def digest(body: bytes) -> str:
    """Return a digest of a body."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def main() -> None:
    """Ask until the input ends."""
    port, connections, paths = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    found, lock, ending = {path: Asked() for path in paths}, threading.Lock(), threading.Event()

    def ask(first: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        turn = first
        while not ending.is_set():
            path = paths[turn % len(paths)]
            turn += 1
            started = time.perf_counter()
            connection.request("GET", path, headers={"Accept-Encoding": "identity"})
            response = connection.getresponse()
            body = response.read()
            seconds = time.perf_counter() - started
            with lock:
                found[path].add(response.status, body, seconds)
        connection.close()

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(connections)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ending.set()
    for thread in threads:
        thread.join()
    told: dict[str, Any] = {path: vars(asked) for path, asked in found.items()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
