"""Locate recorded API answers, which are not in the repository (see the README of that folder)."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2].parent / "shared" / "replay"


def recorded(name: str) -> bytes:
    """Return a recorded file; skip the test if the recordings are absent."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no recorded answers at {FOLDER}: what they show is also tested with lines in this file")
    return path.read_bytes()


def envelope(body: bytes) -> bytes:
    """Wrap recorded items (one, a list, or a whole answer) as an API answer."""
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
