"""Download raw bytes and parse CSV with bare pyarrow.

Not a contestant; used by `floor`, `discard`, `latest`, `per_station` and the floors in `tick`.
"""

import gzip
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def session(*, packed: bool) -> Any:
    """Return a `requests.Session` that asks for gzip or for uncompressed bytes."""
    import requests  # noqa: PLC0415 - not every contestant's environment has it

    made = requests.Session()
    made.headers["Accept-Encoding"] = "gzip" if packed else "identity"
    return made


def body(made: Any, url: str) -> bytes:
    """Return a whole body as it was sent, still compressed."""
    with made.get(url, stream=True) as answer:
        answer.raise_for_status()
        sent: bytes = answer.raw.read(decode_content=False)
        return sent


def plain(sent: bytes) -> bytes:
    """Decompress a body if it is gzip."""
    return gzip.decompress(sent) if sent[:2] == b"\x1f\x8b" else sent


def table(text: bytes, *, coded: bool) -> "pa.Table":
    """Parse a CSV answer: dateTime, measure (text or dictionary), value (number; null for `a|b` and for none)."""
    import pyarrow as pa  # noqa: PLC0415 - not every user of this module needs it
    import pyarrow.compute as pc  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    measure = pa.dictionary(pa.int32(), pa.string()) if coded else pa.string()
    kinds = {"dateTime": pa.timestamp("s", "UTC"), "measure": measure, "value": pa.string()}
    options = csv.ConvertOptions(column_types=kinds, strings_can_be_null=True, null_values=[""])
    rows = csv.read_csv(pa.BufferReader(text), convert_options=options)
    several = pc.match_substring(rows["value"], "|")
    return rows.set_column(2, "value", pc.if_else(several, None, rows["value"]).cast(pa.float64()))
