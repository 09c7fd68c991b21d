"""Decode Arrow and Parquet from strangers, in a process of its own with little memory and time.

The sizes in such a file are its author's word: 5 MB can unpack to many GB, and a crafted one may end the process that
reads it. So that process is not the server.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flood_assets.landing.errors import TooLargeError, UnreadableError

# What the process may take beyond what it has after its imports.
MEMORY = 400 * 1024 * 1024
CPU_S, WAIT_S = 10, 60
# The same for a larger file, of which a part has to fit into the memory; rows that are handed on at once.
FILE_CPU_S, FILE_WAIT_S = 120, 600
_PIECE, _LONGEST_PIECE = 10_000, 100_000_000
# Bytes of the decoded columns.
MOST_DECODED = 50_000_000
_COLUMNS = ("measure_id", "date_time", "value", "raw_value", "unit")
_REFUSED, _TOO_LARGE = 3, 4


def rows_of(data: bytes, kind: str, most: int) -> Sequence[Any]:
    """Return the rows of an Arrow stream or file, or of a Parquet file (`kind`): dicts; times as ISO 8601.

    Raises:
        UnreadableError: it cannot be decoded, or a column has another type.
        TooLargeError: it has more than `most` rows, or takes too much memory or time.
    """
    command = [sys.executable, "-m", __name__, kind, str(most)]
    environ = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    try:
        # The command is ours; only what it reads is a stranger's.
        done = subprocess.run(  # noqa: S603
            command, input=data, capture_output=True, env=environ, timeout=WAIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise TooLargeError(f"the {kind} file was not decoded within {WAIT_S} s: send a smaller one") from None
    if done.returncode == 0:
        found: list[Any] = msgspec.json.decode(done.stdout)
        return found
    if done.returncode == _REFUSED:
        raise UnreadableError(done.stderr.decode(errors="replace").strip())
    if done.returncode == _TOO_LARGE:
        raise TooLargeError(done.stderr.decode(errors="replace").strip())
    raise UnreadableError(
        f"the {kind} file cannot be decoded: it is damaged, or takes over {MEMORY >> 20} MiB or {CPU_S} s. Send it as "
        "JSON or CSV"
    )


def pieces_of(path: Path, kind: str, most: int) -> Iterator[Sequence[Any]]:
    """Yield the rows of a larger file, as `rows_of` returns them, some at a time.

    A part of the file, a row group of Parquet or a batch of Arrow, has to fit into the memory of the process.

    Raises:
        UnreadableError: as for `rows_of`, perhaps after some rows.
        TooLargeError: likewise.
    """
    command = [sys.executable, "-m", __name__, kind, str(most), str(path)]
    environ = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - as above
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environ
        )
        out = process.stdout
        assert out is not None  # noqa: S101 - for the type checker
        timer = threading.Timer(FILE_WAIT_S, process.kill)
        timer.start()
        try:
            while line := out.readline(_LONGEST_PIECE):
                # A process that was ended may have written half of a line.
                if line.endswith(b"\n"):
                    yield msgspec.json.decode(line)
            code = process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            out.close()
        if code:
            errors.seek(0)
            told = errors.read(1000).decode(errors="replace").strip()
            if code in (_REFUSED, _TOO_LARGE):
                raise (UnreadableError if code == _REFUSED else TooLargeError)(told)
            raise UnreadableError(
                f"the {kind} file cannot be decoded: it is damaged, or a part of it takes over {MEMORY >> 20} MiB, or "
                f"all of it over {FILE_CPU_S} s. Write it in parts of 100,000 rows or fewer, or send less"
            )


class _RefusedError(Exception):
    """A file that is refused, with the exit code."""

    def __init__(self, why: str, code: int = _REFUSED) -> None:
        super().__init__(why)
        self.code = code


def main(kind: str, most: int, path: str = "") -> int:
    """Decode stdin and write the rows as JSON, or a file and write them in lines; return the exit code."""
    import pyarrow as pa  # noqa: PLC0415 - only the process needs what follows
    import pyarrow.parquet  # noqa: PLC0415

    from flood_assets.schemas import READINGS  # noqa: F401, PLC0415

    data = b"" if path else sys.stdin.buffer.read()
    _limit(FILE_CPU_S if path else CPU_S)
    out = sys.stdout.buffer
    try:
        source = pa.OSFile(path) if path else pa.BufferReader(data)
        tables = _tables(pa, kind, most, source, start=data[:6] or _first(path), whole=not path)
        rows = 0
        for table in tables:
            rows += len(table)
            if rows > most:
                raise _RefusedError(f"the file has over {most:,} rows: send it in several", _TOO_LARGE)  # noqa: TRY301
            if path:
                for start in range(0, len(table), _PIECE):
                    out.write(msgspec.json.encode(table.slice(start, _PIECE).to_pylist()) + b"\n")
            else:
                out.write(msgspec.json.encode(table.to_pylist()))
    except _RefusedError as error:
        sys.stderr.write(str(error))
        return error.code
    except (pa.ArrowException, ValueError, TypeError, KeyError, OSError, OverflowError) as error:
        sys.stderr.write(f"the {kind} file cannot be decoded: {str(error).splitlines()[0][:200]}")
        return _REFUSED
    return 0


def _first(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(6)


def _tables(pa: Any, kind: str, most: int, source: Any, *, start: bytes, whole: bool) -> Iterator[Any]:
    """Yield the columns of a file that are read, as text, numbers and times: all at once, or part by part."""
    many = f"the file has over {most:,} rows: send it as several batches"
    if kind == "parquet":
        file = pa.parquet.ParquetFile(source, page_checksum_verification=True)
        if file.metadata.num_rows > most:
            raise _RefusedError(many, _TOO_LARGE)
        names = file.schema_arrow.names
        wanted = [name for name in _COLUMNS if name in names]
        groups = range(file.num_row_groups)
        parts: Iterable[Any] = (
            [file.read(wanted, use_threads=False)]
            if whole
            else (file.read_row_group(group, wanted, use_threads=False) for group in groups)
        )
    else:
        stream = not start.startswith(b"ARROW1")
        reader = (pa.ipc.open_stream if stream else pa.ipc.open_file)(source)
        names = reader.schema.names
        wanted = [name for name in _COLUMNS if name in names]
        batches = reader if stream else (reader.get_batch(number) for number in range(reader.num_record_batches))
        parts = _arrow_parts(pa, [reader.read_all()] if whole else batches, wanted)
    _require_known(names)
    for part in parts:
        if len(part) > most:
            raise _RefusedError(many, _TOO_LARGE)
        table = pa.table([_plain(pa, name, part[name]) for name in part.column_names], names=part.column_names)
        if table.nbytes > MOST_DECODED:
            raise _RefusedError(f"the file has over {MOST_DECODED:,} bytes when it is decoded: send less", _TOO_LARGE)
        yield table


def _arrow_parts(pa: Any, parts: Iterable[Any], wanted: Sequence[str]) -> Iterator[Any]:
    for part in parts:
        part.validate(full=True)
        table = pa.Table.from_batches([part]) if isinstance(part, pa.RecordBatch) else part
        yield table.select(wanted)


def _require_known(names: Sequence[str]) -> None:
    from flood_assets.schemas import READINGS  # noqa: PLC0415

    if unknown := sorted(set(names) - set(_COLUMNS) - set(READINGS.schema.names)):
        raise _RefusedError(f"the file has a column '{unknown[0][:60]}': expected {', '.join(_COLUMNS)}")


def _plain(pa: Any, name: str, column: Any) -> Any:
    """Return a column as text, numbers, or times in ms; TypeError for other types."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_timestamp(kind) and name == "date_time":
        if kind.tz is None:
            raise TypeError("date_time has no time zone: expected UTC")
        return column.cast(pa.timestamp("ms", tz="UTC"), safe=False)
    textual = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
    if name == "value":
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
            raise TypeError(f"value has the type {kind}: expected numbers")
        return column.cast(pa.float64(), safe=False)
    if not textual:
        raise TypeError(f"{name} has the type {kind}: expected text" + (" or times" if name == "date_time" else ""))
    return column.cast(pa.string())


def _limit(cpu_s: int) -> None:
    """Limit memory and time of this process, where the system can."""
    import resource  # noqa: PLC0415

    spent = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (spent + cpu_s, spent + cpu_s))
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            taken = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
