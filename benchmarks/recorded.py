"""Serve recorded answers of a simulated API from files, so that answering costs next to nothing.

    python -m benchmarks.recorded --folder DIR --source URL --areas N --now ISO

The API is served whole at /whole, and divided by station into N areas, each an API of its own, at /area-000 and so on.
An answer that is asked for the first time is asked of the source, divided, compressed and kept; from then on nothing is
computed: sendfile() sends the file. The first line of output is the URL.
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

WHOLE = "whole"
_KINDS = {True: "text/csv;charset=UTF-8", False: "application/json;charset=UTF-8"}


def area(number: int) -> str:
    """Return the name of an area."""
    return f"area-{number:03d}"


class Recorded(NamedTuple):
    """Running server of recorded answers.

    Attributes:
        url: root of its APIs.
        areas: how many areas there are.
        pid: process id.
    """

    url: str
    areas: int
    pid: int

    def api(self, number: int | None) -> str:
        """Return the URL of an API: of the whole for None, else of an area.

        Above the number of areas they come again, at other URLs: shards of one API would share its readings.
        """
        if number is None:
            return f"{self.url}/{WHOLE}"
        again, number = divmod(number, self.areas)
        return f"{self.url}/{area(number)}" + (f"/{again}" if again else "")

    def cpu(self) -> float:
        """Return the CPU seconds of its process until now."""
        return time.clock_gettime(~self.pid << 3 | 2)


@contextmanager
def recorded(folder: Path, source: str, areas: int, now: datetime) -> Iterator[Recorded]:
    """Serve recorded answers in a process of its own; end it with the context."""
    command = [sys.executable, "-m", "benchmarks.recorded", "--folder", str(folder), "--source", source]
    command += ["--areas", str(areas), "--now", now.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            if not url.startswith("http://"):
                raise RuntimeError(f"the server of recorded answers did not start; its first line was {url!r}")
            yield Recorded(url, areas, process.pid)
        finally:
            process.terminate()
            process.wait(10)


class Recorder:
    """Ask the source once for each answer, divide it by area, and keep it compressed.

    Args:
        folder: folder with one folder for each area and one for the whole.
        source: root of the API that is recorded.
        areas: how many areas.
    """

    def __init__(self, folder: Path, source: str, areas: int) -> None:
        self._folder, self._source, self._areas = folder, source, areas
        self._of_station: dict[str, int] = {}
        # The lists lack some measures that have readings.
        self._of_measure = _Otherwise(lambda unlisted: zlib.crc32(unlisted) % areas)
        self._lock = threading.Lock()
        for name in (WHOLE, *map(area, range(areas))):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def file(self, where: str, path: str) -> Path:
        """Return the file with the answer of an area, or of the whole, to a path with its query."""
        file = self._folder / where / quote(path, safe="")
        if not file.exists():
            with self._lock:
                if not file.exists():
                    self._record(path)
        return file

    def _record(self, path: str) -> None:
        with ExitStack() as stack, urlopen(f"{self._source}/{path}") as answer:
            names = (WHOLE, *map(area, range(self._areas)))
            whole, *parts = [_Part(self._folder / name / quote(path, safe=""), stack) for name in names]
            divide = self._divide_csv if ".csv" in path else self._divide_list
            divide(iter(lambda: answer.read(1 << 20), b""), whole, parts, path)

    def _divide_csv(self, chunks: Iterable[bytes], whole: "_Part", parts: "Sequence[_Part]", path: str) -> None:
        if not self._of_measure:
            self._know_measures()
        rest, head = b"", b""
        for chunk in chunks:
            whole.write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if not head:
                head, *lines = lines
                for part in parts:
                    part.write(head + b"\n")
            rows: list[list[bytes]] = [[] for _ in parts]
            for line in lines:
                rows[self._of_measure[line.split(b",", 2)[1]]].append(line)
            for part, mine in zip(parts, rows, strict=True):
                if mine:
                    part.write(b"\n".join(mine) + b"\n")
        if rest:
            raise ValueError(f"{path} ends within a line: {rest!r}")

    def _divide_list(self, chunks: Iterable[bytes], whole: "_Part", parts: "Sequence[_Part]", path: str) -> None:
        body = b"".join(chunks)
        whole.write(body)
        find = self._finder(path)
        rows: list[list[bytes]] = [[] for _ in parts]
        for item in msgspec.json.decode(body, type=_List).items:
            rows[find(json.loads(bytes(item)))].append(bytes(item))
        for part, mine in zip(parts, rows, strict=True):
            part.write(b'{"items":[' + b",\n".join(mine) + b"]}")

    def _finder(self, path: str) -> Callable[[dict[str, Any]], int]:
        """Return the function from an item of a list to its area: by station, or by flood area."""
        if path.startswith("id/stations"):
            return lambda item: self._of_station.setdefault(item["@id"], len(self._of_station) % self._areas)
        if path.startswith("id/measures"):
            if not self._of_station:
                self._record("id/stations?_view=full")

            def measure(item: dict[str, Any]) -> int:
                self._of_measure[item["@id"].encode()] = found = self._of_station[item["station"]]
                return found

            return measure
        return lambda item: zlib.crc32((item.get("floodAreaID") or item["notation"]).encode()) % self._areas

    def _know_measures(self) -> None:
        self._record("id/measures")


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


class _Part:
    """A file that is compressed, and has its name once it is whole."""

    def __init__(self, file: Path, stack: ExitStack) -> None:
        beside = file.with_name(f"{file.name}.part")
        stack.callback(beside.rename, file)
        # The fastest level: what the client spends on decompressing hardly depends on it.
        self._packed = stack.enter_context(GzipFile(beside, "wb", compresslevel=1, mtime=0))

    def write(self, data: bytes) -> None:
        self._packed.write(data)


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
        found = re.fullmatch(rf"/({WHOLE}|area-\d{{3}})(?:/\d+)?/(.*)", self.path)
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
    parser.add_argument("--areas", type=int, required=True)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    asked = parser.parse_args()
    _Handler.recorder, _Handler.now = Recorder(asked.folder, asked.source, asked.areas), asked.now
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
