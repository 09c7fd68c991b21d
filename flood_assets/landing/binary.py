"""Decode Arrow and Parquet from strangers, in a process of its own with little memory and time.

The sizes in such a file are its author's word: 5 MB can unpack to many GB, and a crafted one may end the process that
reads it. So that process is not the server.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from flood_assets.landing.errors import TooLargeError, UnreadableError

# What the process may take beyond what it has after its imports.
MEMORY = 400 * 1024 * 1024
CPU_S, WAIT_S = 10, 60
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


def main(kind: str, most: int) -> int:
    """Decode stdin and write the rows as JSON; return the exit code."""
    import pyarrow as pa  # noqa: PLC0415 - only the process needs what follows
    import pyarrow.parquet as pq  # noqa: PLC0415

    from flood_assets.schemas import READINGS  # noqa: PLC0415

    data = sys.stdin.buffer.read()
    _limit()

    def refuse(why: str, code: int = _REFUSED) -> int:
        sys.stderr.write(why)
        return code

    try:
        if kind == "parquet":
            file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
            if file.metadata.num_rows > most:
                return refuse(f"the file has over {most:,} rows: send it as several batches", _TOO_LARGE)
            names = file.schema_arrow.names
            table = file.read([name for name in _COLUMNS if name in names], use_threads=False)
        else:
            stream = not data.startswith(b"ARROW1")
            reader = (pa.ipc.open_stream if stream else pa.ipc.open_file)(pa.BufferReader(data))
            names = reader.schema.names
            table = reader.read_all()
            table.validate(full=True)
            table = table.select([name for name in _COLUMNS if name in names])
        if len(table) > most:
            return refuse(f"the file has over {most:,} rows: send it as several batches", _TOO_LARGE)
        if unknown := sorted(set(names) - set(_COLUMNS) - set(READINGS.schema.names)):
            return refuse(f"the file has a column '{unknown[0][:60]}': expected {', '.join(_COLUMNS)}")
        table = pa.table([_plain(pa, name, table[name]) for name in table.column_names], names=table.column_names)
        if table.nbytes > MOST_DECODED:
            return refuse(f"the file has over {MOST_DECODED:,} bytes when it is decoded: send less", _TOO_LARGE)
    except (pa.ArrowException, ValueError, TypeError, KeyError, OSError, OverflowError) as error:
        return refuse(f"the {kind} file cannot be decoded: {str(error).splitlines()[0][:200]}")
    sys.stdout.buffer.write(msgspec.json.encode(table.to_pylist()))
    return 0


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


def _limit() -> None:
    """Limit memory and time of this process, where the system can."""
    import resource  # noqa: PLC0415

    spent = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_S, spent + CPU_S))
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            taken = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
