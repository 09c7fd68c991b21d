"""Serve recorded answers of a simulated API from files, so that answering costs next to nothing.

    python -m benchmarks.recorded --folder DIR --source URL --divisions 1,4,16 --now ISO

The API is divided by station, once for each number of parts; each part is an API of its own, such as /3-of-16, and
/0-of-1 is the whole. An answer that is asked for the first time is asked of the source, divided, compressed and kept;
from then on nothing is computed: sendfile() sends the file. The first line of output is the URL.
"""

import argparse
import json
import re
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from email.utils import format_datetime
from gzip import GzipFile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from urllib.request import urlopen

import msgspec

_KINDS = {True: "text/csv;charset=UTF-8", False: "application/json;charset=UTF-8"}


def part_name(number: int, parts: int) -> str:
    """Return the name of one of so many parts."""
    return f"{number}-of-{parts}"


class Recorded(NamedTuple):
    """Running server of recorded answers.

    Attributes:
        url: root of its APIs.
        divisions: numbers of parts into which the API is divided.
        pid: process id.
    """

    url: str
    divisions: tuple[int, ...]
    pid: int

    def api(self, number: int, parts: int) -> str:
        """Return the URL of one of so many parts.

        Above their number they come again, at other URLs: shards of one API would share its readings.
        """
        again, number = divmod(number, parts)
        return f"{self.url}/{part_name(number, parts)}" + (f"/{again}" if again else "")

    def cpu(self) -> float:
        """Return the CPU seconds of its process until now."""
        return time.clock_gettime(~self.pid << 3 | 2)


@contextmanager
def recorded(folder: Path, source: str, divisions: Sequence[int], now: datetime) -> Iterator[Recorded]:
    """Serve recorded answers in a process of its own; end it with the context."""
    command = [sys.executable, "-m", "benchmarks.recorded", "--folder", str(folder), "--source", source]
    command += ["--divisions", ",".join(map(str, divisions)), "--now", now.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            if not url.startswith("http://"):
                raise RuntimeError(f"the server of recorded answers did not start; its first line was {url!r}")
            yield Recorded(url, tuple(divisions), process.pid)
        finally:
            process.terminate()
            process.wait(10)


class Recorder:
    """Ask the source once for each answer, divide it, and keep the parts compressed.

    Args:
        folder: gets a folder for each part.
        source: root of the API that is recorded.
        divisions: numbers of parts; each divides the largest.
    """

    def __init__(self, folder: Path, source: str, divisions: Sequence[int]) -> None:
        self._folder, self._source, self._most = folder, source, max(divisions)
        # The folder of each part, with the finest parts that are in it.
        self._folders = {
            folder / part_name(number, parts): range(number, self._most, parts)
            for parts in divisions
            for number in range(parts)
        }
        self._of_station: dict[str, int] = {}
        # The lists lack some measures that have readings.
        self._of_measure = _Otherwise(lambda unlisted: zlib.crc32(unlisted) % self._most)
        self._lock = threading.Lock()
        for place in self._folders:
            place.mkdir(parents=True, exist_ok=True)

    def file(self, part: str, path: str) -> Path:
        """Return the file with the answer of a part to a path with its query."""
        file = self._folder / part / quote(path, safe="")
        if not file.exists():
            with self._lock:
                if not file.exists():
                    self._record(path)
        return file

    def _record(self, path: str) -> None:
        with ExitStack() as stack, urlopen(f"{self._source}/{path}") as answer:
            files = [
                (finest, _Packed(folder / quote(path, safe=""), stack)) for folder, finest in self._folders.items()
            ]
            divided = self._divided_csv if ".csv" in path else self._divided_list
            for head, rows, end in divided(iter(lambda: answer.read(1 << 20), b""), path):
                for finest, file in files:
                    file.write(head, [row for number in finest for row in rows[number]], end)

    def _divided_csv(self, chunks: Iterable[bytes], path: str) -> Iterator["_Piece"]:
        """Yield the head of a CSV, then the lines of each part, chunk by chunk."""
        if not self._of_measure:
            self._record("id/measures")
        rest, head = b"", b""
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            if not head:
                head, *lines = lines
                yield _Piece(head + b"\n", [[]] * self._most, b"")
            rows: list[list[bytes]] = [[] for _ in range(self._most)]
            for line in lines:
                rows[self._of_measure[line.split(b",", 2)[1]]].append(line + b"\n")
            yield _Piece(b"", rows, b"")
        if rest:
            raise ValueError(f"{path} ends within a line: {rest!r}")

    def _divided_list(self, chunks: Iterable[bytes], path: str) -> Iterator["_Piece"]:
        """Yield the items of each part of a JSON list."""
        find = self._finder(path)
        rows: list[list[bytes]] = [[] for _ in range(self._most)]
        for item in msgspec.json.decode(b"".join(chunks), type=_List).items:
            rows[find(json.loads(bytes(item)))].append(bytes(item))
        yield _Piece(b'{"items":[', rows, b"]}")

    def _finder(self, path: str) -> Callable[[dict[str, Any]], int]:
        """Return the function from an item of a list to its finest part: by station, or by flood area."""
        if path.startswith("id/stations"):
            return lambda item: self._of_station.setdefault(item["@id"], len(self._of_station) % self._most)
        if path.startswith("id/measures"):
            if not self._of_station:
                self._record("id/stations?_view=full")

            def measure(item: dict[str, Any]) -> int:
                self._of_measure[item["@id"].encode()] = found = self._of_station[item["station"]]
                return found

            return measure
        return lambda item: zlib.crc32((item.get("floodAreaID") or item["notation"]).encode()) % self._most


class _Otherwise(dict[bytes, int]):
    """A dict that works out what it lacks."""

    def __init__(self, work_out: Callable[[bytes], int]) -> None:
        super().__init__()
        self._work_out = work_out

    def __missing__(self, key: bytes) -> int:
        self[key] = found = self._work_out(key)
        return found


class _List(msgspec.Struct):
    items: list[msgspec.Raw]


class _Piece(NamedTuple):
    """Part of an answer: what comes before, the rows of each of the finest parts, and what comes after."""

    head: bytes
    rows: list[list[bytes]]
    end: bytes


class _Packed:
    """A file that is compressed, and has its name once it is whole."""

    def __init__(self, file: Path, stack: ExitStack) -> None:
        beside = file.with_name(f"{file.name}.part")
        stack.callback(beside.rename, file)
        self._between = b"" if ".csv" in file.name else b",\n"
        # The fastest level: what the client spends on decompressing hardly depends on it.
        self._packed = stack.enter_context(GzipFile(beside, "wb", compresslevel=1, mtime=0))

    def write(self, head: bytes, rows: Sequence[bytes], end: bytes) -> None:
        self._packed.write(head + self._between.join(rows) + end)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    recorder: Recorder
    now: datetime

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Print no line for each request."""

    def date_time_string(self, _: float | None = None) -> str:
        """Return the Date header of when the answers were recorded."""
        return format_datetime(self.now, usegmt=True)

    def do_GET(self) -> None:
        found = re.fullmatch(r"/(\d+-of-\d+)(?:/\d+)?/(.*)", self.path)
        if found is None:
            self.send_error(404)
            return
        path = found[2]
        with self.recorder.file(found[1], path).open("rb") as file, suppress(ConnectionError):
            self.send_response(200)
            self.send_header("Content-Type", _KINDS[".csv" in path])
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(file.seek(0, 2)))
            self.end_headers()
            file.seek(0)
            self.connection.sendfile(file)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--divisions", required=True)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    asked = parser.parse_args()
    divisions = [int(parts) for parts in asked.divisions.split(",")]
    _Handler.recorder, _Handler.now = Recorder(asked.folder, asked.source, divisions), asked.now
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
