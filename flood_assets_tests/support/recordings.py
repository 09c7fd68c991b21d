"""Where the recorded answers of the API are; they stay out of the repository (see README of that folder)."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2].parent / "shared" / "replay"


def recorded(name: str) -> bytes:
    """A recorded file; skips the test where the recordings are not at hand."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no recorded answers at {FOLDER}: what they show is also tested with lines in this file")
    return path.read_bytes()


def envelope(body: bytes) -> bytes:
    """The API's answer around recorded items: one of them, a list, or a whole answer already."""
    content = json.loads(body)
    items = content["items"] if isinstance(content, dict) and "items" in content else content
    return json.dumps({"meta": {"version": "0.9"}, "items": items if isinstance(items, list) else [items]}).encode()


def readings_csv(body: bytes) -> bytes:
    """Recorded readings as the API's CSV shows them."""

    def cell(value: object) -> str:
        texts = value if isinstance(value, list) else [value]
        return "|".join(text["@id"] if isinstance(text, dict) else str(text) for text in texts)

    names = ("dateTime", "measure", "value")
    items = json.loads(envelope(body), parse_float=str)["items"]
    lines = [",".join(names), *(",".join(cell(item.get(name, "")) for name in names) for item in items)]
    return "".join(f"{line}\r\n" for line in lines).encode()
