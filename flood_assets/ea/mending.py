"""Mend JSON in which single cells are not JSON, so that they cost their own item a value and nobody else anything.

The API's JSON comes from texts that it does not check: `NaN`, `1e999`, nothing at all after a colon, a raw tab or quote
in a name. What the cells mean is decided in `flood_assets.ea.lists`.
"""

import re
from typing import Any

import msgspec

# The name under which an odd cell's own text stands in its place; no field of the API has this name.
ODD = "\0odd"
# Deeper than any field of the API; a cell that goes deeper is odd.
DEEPEST = 32

# What follows the quote that ends a text; any other quote belongs to it.
_END = rb'\s*+(?:[}\]:]|,\s*+(?:["{}\[\],\d-]|null|true|false|NaN|Infinity|[\w\x27]*+\s*+:)|\Z)'
# Of groups, `(?>(?:...)*)` and not `(?:...)*+`: Python before 3.11.5 forgets where such a repetition may end.
_TEXT = rb'"(?>(?:[^"\\]++|\\.|"(?!' + _END + rb'))*)"'
# A cell with its name, up to the next comma or bracket outside of texts.
_CELL = re.compile(rb"((?>(?:" + _TEXT + rb'|[^{}\[\],"]++)*))([{}\[\],])', re.DOTALL)
_NAME = re.compile(rb"\s*(" + _TEXT + rb")\s*:", re.DOTALL)

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def mended(body: bytes) -> bytes:
    """Return JSON with `{ODD: text}` in the place of each cell that is not JSON, and of each that nests too deeply.

    A body that is cut short, or is no JSON at all, is none afterwards either.
    """
    pieces: list[bytes] = []
    kept = at = 0
    deep = -1  # where a cell begins that goes too deep
    inside: list[bytes] = []
    before = b""
    while found := _CELL.match(body, at):
        cell, mark = found.groups()
        opens = mark in b"{["
        if opens and len(inside) == DEEPEST:
            deep = found.start(2)
        elif deep < 0 and inside and (other := _other(cell, inside[-1], before, mark)) is not None:
            pieces += body[kept:at], other
            kept = found.start(2)
        if opens:
            inside.append(mark)
        elif mark != b"," and inside:
            inside.pop()
        at, before = found.end(), mark
        if deep >= 0 and len(inside) == DEEPEST:
            pieces += body[kept:deep], _odd(body[deep:at])
            kept, deep = at, -1
    return b"".join([*pieces, body[kept:]])


def _other(cell: bytes, container: bytes, before: bytes, mark: bytes) -> bytes | None:
    """Return what to put in place of a cell between two marks (brackets or commas); None where it is JSON."""
    blank, opens = not cell.strip(), mark in b"{["
    if before in b"}]" or (opens and container == b"["):
        # Nothing stands between a bracket that closes and the comma, or before an item of a list that is not flat.
        return None if blank else b""
    if blank and before == container and not opens and mark != b",":
        return None  # {} and []
    if container == b"[":
        return None if not blank and _is_json(b"[" + cell + b"]") else _odd(cell)
    if not blank and _is_json(b"{" + cell + (b"0}" if opens else b"}")):
        return None
    named = _NAME.match(cell)
    name = named[1] if named and _is_json(named[1]) else msgspec.json.encode(f"{ODD} {cell.decode(errors='replace')}")
    return name + b":" + (b"" if opens else _odd(cell[named.end() :] if named else cell))


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except NOT_JSON:
        return False
    return True


def _odd(text: bytes) -> bytes:
    return msgspec.json.encode({ODD: text.strip().decode(errors="replace")})


def text_of(value: Any) -> str:
    """Return a cell's text as the API gave it, as far as that is known."""
    if isinstance(value, dict) and ODD in value:
        return str(value[ODD])
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
