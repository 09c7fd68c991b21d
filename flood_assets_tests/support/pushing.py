"""Push to a served lake as a publisher does, with keys of several."""

import gzip
import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from flood_assets.lake.lake import Lake
from flood_assets.landing.objects import Batch, Rows
from flood_assets.partitions import to_ms
from flood_assets.schemas import READINGS, TIME
from flood_assets.serve.keys import Keys
from flood_assets.serve.limits import Limits
from flood_assets_tests.support.served import Served, served

# Publishers with their rights; the key of each is `key-of-NAME`.
RIGHTS = {"acme": "push", "beta": "push,read", "feeder": "push,feed", "reader": "read", "a.b": "push", "..": "push"}
HEADERS = ("measure_id", "date_time", "value")


class Publisher:
    """A publisher of a served lake."""

    def __init__(self, api: Served, name: str) -> None:
        self.api, self.name = api, name
        self.key = {"X-Api-Key": f"key-of-{name}"}

    def post(self, body: Any, key: str = "", media_type: str = "application/json", **headers: str) -> Any:
        """Send a batch, rows as JSON or bytes, and return the response."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        more = {name.replace("_", "-"): text for name, text in headers.items()}
        if key:
            more["Idempotency-Key"] = key
        headers = {**self.key, "Content-Type": media_type, **more}
        return self.api.client.post("/api/v1/readings", content=data, headers=headers)

    def receipt(self, id_: str) -> Any:
        """Ask for a receipt and return the response."""
        return self.api.client.get(f"/api/v1/receipts/{id_}", headers=self.key)

    def reading(self, name: str, at: datetime, value: float | None = 1.0, **more: Any) -> dict[str, Any]:
        """Return a reading of a measure of this publisher."""
        return reading(f"{self.name}:{name}", at, value, **more)


def reading(measure: str, at: datetime, value: float | None = 1.0, **more: Any) -> dict[str, Any]:
    """Return a reading as JSON has it."""
    return {"measure_id": measure, "date_time": at.isoformat(), "value": value, **more}


def key_file(folder: Path) -> Path:
    """Write the file of keys of all publishers."""
    lines = [
        f"{name} sha256:{hashlib.sha256(f'key-of-{name}'.encode()).hexdigest()} 100000 {rights}"
        for name, rights in RIGHTS.items()
    ]
    path = folder / "keys"
    path.write_text("\n".join(lines))
    return path


@contextmanager
def pushed_to(lake: Lake, now: datetime, folder: Path) -> Iterator[Served]:
    """Serve a lake to publishers, with their keys in a folder."""
    with served(lake, now, Limits(0, Keys(key_file(folder), lambda: 0.0))) as api:
        yield api


def in_every_format(rows: list[dict[str, Any]]) -> dict[str, tuple[bytes, str]]:
    """Return the same readings in each format: bytes and media type."""
    moments = [datetime.fromisoformat(row["date_time"]) for row in rows]
    columns = {"measure_id": [row["measure_id"] for row in rows], "date_time": pa.array(moments, TIME)}
    table = pa.table({**columns, "value": pa.array([row["value"] for row in rows], pa.float64())})
    parquet, stream, file = pa.BufferOutputStream(), pa.BufferOutputStream(), pa.BufferOutputStream()
    pq.write_table(table, parquet)
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    lines = [",".join(HEADERS), *(",".join(str(row[name]) for name in HEADERS) for row in rows)]
    return {
        "json": (msgspec.json.encode(rows), "application/json"),
        "object": (msgspec.json.encode({"readings": rows}), "application/json; charset=utf-8"),
        "ndjson": (b"\n".join(map(msgspec.json.encode, rows)) + b"\n", "application/x-ndjson"),
        "csv": ("\r\n".join(lines).encode(), "text/csv"),
        "arrow stream": (stream.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream"),
        "arrow file": (file.getvalue().to_pybytes(), "application/vnd.apache.arrow.file"),
        "parquet": (parquet.getvalue().to_pybytes(), "application/vnd.apache.parquet"),
    }


def batch_of(publisher: str, id_: str, rows: Sequence[tuple[str, datetime, float]], landed_at: datetime) -> Batch:
    """Return a batch as the server makes it, for what needs no server."""
    ids, times, values = (list(column) for column in zip(*rows, strict=True))
    readings = Rows(ids, [to_ms(at) for at in times], values, [None] * len(rows))
    return Batch(publisher, id_, hashlib.sha256(repr(rows).encode()).hexdigest(), landed_at, len(rows), 0, readings)


def gauges_of(
    publisher: str,
    id_: str,
    stations: Sequence[dict[str, Any]],
    measures: Sequence[dict[str, Any]],
    landed_at: datetime,
    rows: Sequence[tuple[str, datetime, float]] = (),
) -> Batch:
    """Return a batch with lists as the server makes it."""
    ids, times, values = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    readings = Rows(ids, [to_ms(at) for at in times], values, [None] * len(rows))
    digest = hashlib.sha256(repr((stations, measures, rows)).encode()).hexdigest()
    many = len(stations) + len(measures) + len(rows)
    return Batch(publisher, id_, digest, landed_at, many, 0, readings, stations=stations, measures=measures)


def zipped(data: bytes) -> bytes:
    """Return bytes compressed with gzip."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        file.write(data)
    return packed.getvalue()


def stored(lake: Lake, now: datetime) -> dict[tuple[str, datetime], dict[str, Any]]:
    """Return all readings of a lake by their keys, which must be there once."""
    rows = lake.read(READINGS, now=now).to_pylist()
    found = {(row["measure_id"], row["date_time"]): row for row in rows}
    assert len(found) == len(rows)
    return found
