"""Describe the answers of the API for OpenAPI, from the tables' own columns."""

import inspect
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from flood_assets import quality
from flood_assets.landing.bodies import MOST_ROWS
from flood_assets.landing.gauges import REMOVED
from flood_assets.landing.objects import Receipt
from flood_assets.schemas import MEASURES, STATIONS, TIME, Table
from flood_assets.serve.deprecated import DEPRECATED
from flood_assets.serve.formats import MEDIA_TYPES

# Columns that some resources add to those of their table.
_MORE: dict[str, tuple[str, ...]] = {
    "readings": (*quality.SCHEMA.names, "joined"),
    "latest": ("joined",),
    "conditions": ("joined",),
    "changes": ("change", "joined"),
    "completeness": ("joined",),
    "timeliness": ("joined",),
    "warnings": ("distance_km",),
}
_JOINED = (*STATIONS.columns[1:3], *STATIONS.columns[5:7], *MEASURES.columns[2:5])
_FLAG = "QARTOD flag: 1 pass, 2 not evaluated, 3 suspect or of high interest, 4 fail, 9 missing"

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong, and what to do."},
        "instance": {"type": "string"},
    },
}
_PROBLEMS = {
    304: "Not modified since the answer with this ETag",
    400: "A parameter is unknown or has no meaning",
    401: "The key is unknown, or one is needed",
    403: "The key has no right to read",
    404: "There is no such format",
    406: "No accepted format is served",
    416: "The range lies outside",
    429: "Too many requests",
    503: "The lake has not been read yet",
}
_EVENT = {
    "type": "object",
    "description": "One server-sent event; see docs/serving.md.",
    "properties": {
        "event": {"enum": ["snapshot", "change", "reset"]},
        "id": {"type": "string", "description": "For `Last-Event-ID`, to go on after this event."},
        "data": {"type": "string", "description": "JSON: of `change` a list of rows as in `changes`, else an object."},
        "retry": {"type": "integer", "description": "Milliseconds before a client comes back."},
    },
}
_PAGE: dict[str, Any] = {
    "as_of": {
        "type": ["string", "null"],
        "format": "date-time",
        "description": "When the Agency's API was last asked.",
    },
    "numberMatched": {"type": "integer", "minimum": 0, "description": "Rows of the whole answer."},
    "numberReturned": {"type": "integer", "minimum": 0, "description": "Rows of this page."},
    "notes": {"type": "array", "items": {"type": "string"}, "description": "What there is to say of the answer."},
    "next": {"type": "string", "description": "Path of the next page; missing on the last one."},
}


def of_rows(name: str, table: Table, known: Sequence[str]) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of all answers of a resource."""
    row = {"type": "object", "additionalProperties": False, "properties": _properties(name, table)}
    content: dict[str, Any] = {}
    for each in known:
        kind = MEDIA_TYPES[each].partition(";")[0]
        if each == "json":
            content[kind] = {"schema": _page(name, row)}
        elif each == "geojson":
            content[kind] = {"schema": _page("features", _feature(row), type_={"const": "FeatureCollection"})}
        elif each == "csv":
            content[kind] = {"schema": {"type": "string"}}
        else:
            content[kind] = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": "The rows", "content": content}, 206: {"description": "A part of them"}, **_problems()}


def of_status() -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of the answers of `status`."""
    said = {"application/json": {"schema": {"type": "object", "required": ["version", "now", "faults", "tables"]}}}
    return {200: {"description": "The state", "content": said}, **_problems()}


def of_stream() -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of the answers of `stream`."""
    said = {"text/event-stream": {"schema": _EVENT}}
    found: dict[int | str, dict[str, Any]] = {200: {"description": "Events, until the client goes", "content": said}}
    return found | {code: each for code, each in _problems().items() if code in (400, 401, 403, 429, 503)}


def _problems() -> dict[int | str, dict[str, Any]]:
    content = {"application/problem+json": {"schema": PROBLEM}}
    return {
        code: {"description": text, **({} if code == 304 else {"content": content})} for code, text in _PROBLEMS.items()
    }


def _page(name: str, row: dict[str, Any], **more: Any) -> dict[str, Any]:
    kind = {each.rstrip("_"): schema for each, schema in more.items()}
    return {
        "type": "object",
        "required": [*kind, "as_of", "numberMatched", "numberReturned", name],
        "additionalProperties": False,
        "properties": {**kind, **_PAGE, name: {"type": "array", "items": row}},
    }


def _feature(row: dict[str, Any]) -> dict[str, Any]:
    numbers = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    point = {
        "type": ["object", "null"],
        "required": ["type", "coordinates"],
        "properties": {"type": {"const": "Point"}, "coordinates": numbers},
    }
    return {
        "type": "object",
        "required": ["type", "id", "geometry", "properties"],
        "properties": {"type": {"const": "Feature"}, "id": {"type": "string"}, "geometry": point, "properties": row},
    }


def _properties(name: str, table: Table) -> dict[str, Any]:
    found = {c.name: _cell(c.type, c.meaning, c.unit, nullable=c.nullable) for c in table.columns}
    for more in _MORE.get(name, ()):
        if more == "joined":
            # A station may be known by the newest list that was unknown when the row was stored.
            found |= {c.name: _cell(c.type, c.meaning, c.unit) for c in _JOINED}
        elif more == "change":
            found[more] = {"enum": ["new", "revised"], "description": "First seen after `since`, or corrected after it"}
        elif more == "distance_km":
            found[more] = _cell(pa.float64(), "Distance from the nearest of the stations", "km")
        else:
            found[more] = _cell(pa.int8(), _FLAG, "", nullable=False)
    return {name: cell | {"deprecated": True} if name in DEPRECATED else cell for name, cell in found.items()}


def _cell(kind: pa.DataType, meaning: str, unit: str, *, nullable: bool = True) -> dict[str, Any]:
    if kind == TIME:
        type_, more = "string", {"format": "date-time"}
    elif pa.types.is_date(kind):
        type_, more = "string", {"format": "date"}
    elif pa.types.is_floating(kind):
        type_, more = "number", {}
    elif pa.types.is_boolean(kind):
        type_, more = "boolean", {}
    else:
        type_, more = ("string" if pa.types.is_string(kind) else "integer"), {}
    said = f"{meaning} [{unit}]" if unit else meaning
    return {"type": [type_, "null"] if nullable else type_, **more, "description": said}


# Ways to send a key; see docs/serving.md.
SECURITY = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_SECURED: dict[str, Any] = {"security": [{name: []} for name in SECURITY]}
_PUSH_PROBLEMS = {
    400: "The body cannot be decoded, or the id cannot be one",
    401: "A key with the right to push is needed",
    403: "The key has no right to push",
    404: "No such batch was pushed within the last 24 hours",
    409: "Another batch or file has this id; or the lake takes no uploads, as it is not on S3",
    413: "The body is too large",
    415: "The media type or the encoding is not taken",
    422: "No row is accepted",
    429: "Too many requests",
    503: "The lake cannot be reached",
}
_REFUSED = {
    "type": "array",
    "description": "Why rows were refused; the first ones, if there are many.",
    "items": {
        "type": "object",
        "required": ["row", "reason"],
        "properties": {
            "row": {"type": "integer", "minimum": 1, "description": "Its number in its list."},
            "reason": {"type": "string"},
            "list": {"enum": ["readings", "stations", "measures"]},
        },
    },
}


def _receipt() -> dict[str, Any]:
    """Return the schema of a receipt: its fields as they are declared, with the words of its docstring."""
    found = msgspec.json.schema(Receipt)
    schema = found["$defs"][Receipt.__name__]
    said = dict(_ATTRIBUTE.findall(inspect.getdoc(Receipt) or ""))
    properties = {}
    for name, cell in schema["properties"].items():
        text = " ".join(said[name].split())
        time = {"format": "date-time"} if name.endswith("_at") else {}
        properties[name] = {**cell, **time, "description": f"{text[0].upper()}{text[1:]}"}
    properties["reasons"] = _REFUSED
    return {"type": "object", "required": schema["required"], "properties": properties}


# An attribute in a docstring, as far as the next one.
_ATTRIBUTE = re.compile(r"^    (\w+): ((?:.|\n {8})+)$", re.MULTILINE)
_RECEIPT = _receipt()
_PUSHED = {
    "type": "object",
    "required": ["measure_id", "date_time"],
    "properties": {
        "measure_id": {
            "type": "string",
            "maxLength": 200,
            "description": "Begins with the name of the key and a colon.",
        },
        "date_time": {"type": "string", "format": "date-time"},
        "value": {"type": ["number", "string"]},
        "raw_value": {"type": "string", "maxLength": 100, "description": "Text, instead of a value that is no number."},
        "unit": {"type": "string", "description": "Refused if the measure is listed with another."},
    },
}


def of_push() -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of the answers to a push."""
    location = {"Location": {"schema": {"type": "string"}, "description": "Path of the receipt."}}
    said = {"content": {"application/json": {"schema": _RECEIPT}}, "headers": location}
    return {
        200: {"description": "The batch came before: its receipt as it is now", **said},
        202: {"description": "The batch has landed and will be ingested: its receipt", **said},
        **_push_problems(400, 401, 403, 409, 413, 415, 422, 429, 503),
    }


def of_announcement() -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of the answers to whoever asks for an upload."""
    location = {"Location": {"schema": {"type": "string"}, "description": "Path of the receipt."}}
    text = {"type": "string"}
    properties = {
        "id": text,
        "method": {"enum": ["PUT"]},
        "url": {**text, "description": "Takes the file, once, while it is valid; it is a secret as a key is."},
        "headers": {"type": "object", "description": "To be sent with it, as they are.", "additionalProperties": text},
        "expires_at": {**text, "format": "date-time"},
        "receipt": {**text, "description": "Path of the receipt."},
    }
    told = {"type": "object", "required": list(properties), "properties": properties}
    return {
        200: {
            "description": "It was uploaded before: its receipt as it is now",
            "content": {"application/json": {"schema": _RECEIPT}},
            "headers": location,
        },
        201: {
            "description": "The file is expected",
            "content": {"application/json": {"schema": told}},
            "headers": location,
        },
        **_push_problems(400, 401, 403, 409, 413, 415, 429, 503),
    }


def announced_body(media_types: Sequence[str]) -> dict[str, Any]:
    """Return the description of the body and the headers of whoever asks for an upload."""
    properties = {
        "media_type": {"enum": list(media_types)},
        "size": {"type": "integer", "minimum": 1, "description": "Bytes of the file, exactly."},
        "encoding": {"enum": ["", "gzip"], "description": "`gzip`, of CSV or NDJSON, or none."},
        "sha256": {"type": "string", "description": "Of the file, in hexadecimal digits."},
    }
    schema = {
        "type": "object",
        "required": ["media_type", "size"],
        "properties": properties,
        "additionalProperties": False,
    }
    parameters = [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Id of the upload, such as a UUID: the same file is taken once.",
            "schema": {"type": "string"},
        }
    ]
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters, **_SECURED}


def of_receipt() -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of the answers to a question for a receipt."""
    content = {"application/json": {"schema": _RECEIPT}}
    found: dict[int | str, dict[str, Any]] = {200: {"description": "The receipt", "content": content}}
    return found | _push_problems(400, 401, 403, 404, 429, 503)


def pushed_body(media_types: Sequence[str]) -> dict[str, Any]:
    """Return the description of the body and the headers of a push."""
    # Of the other lists only in words: tools that make examples from so many fields give up.
    said = "Alone, or as `readings` of an object, which may have `stations` and `measures` too: lists of objects with "
    said += " and ".join(f"the columns of `/api/v1/{table.name}`" for table in (STATIONS, MEASURES))
    said += f", of which they need the id, or with the id and `{REMOVED}`."
    rows = {"type": "array", "minItems": 1, "maxItems": MOST_ROWS, "items": _PUSHED, "description": said}
    schemas: dict[str, Any] = {"application/json": rows}
    content = {each: {"schema": schemas.get(each, {"type": "string"})} for each in media_types}
    headers = {
        "Idempotency-Key": "Id of the batch, such as a UUID: the same batch is taken once.",
        "Content-Encoding": "`gzip`, or none.",
    }
    parameters = [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in headers.items()
    ]
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters, **_SECURED}


def asked_receipt() -> dict[str, Any]:
    """Return the description of a question for a receipt."""
    return {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}], **_SECURED}


def _push_problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    properties = {**PROBLEM["properties"], "reasons": _REFUSED}  # type: ignore[dict-item]
    content = {"application/problem+json": {"schema": {**PROBLEM, "properties": properties}}}
    return {code: {"description": _PUSH_PROBLEMS[code], "content": content} for code in codes}
