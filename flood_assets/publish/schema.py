"""Describe the events for receivers: a JSON Schema and an AsyncAPI 3 document, both from `flood_assets.schemas`."""

from typing import Any

import pyarrow as pa

from flood_assets import __version__
from flood_assets.publish.events import NEW, REVISED
from flood_assets.schemas import READINGS, Column
from flood_assets.sinks.events import ONE

LICENCE = {
    "name": "Open Government Licence v3",
    "url": "https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/",
}
_TIME = {"type": "string", "format": "date-time"}
_KEY = {"type": "string", "minLength": 1, "description": "The measure"}
_SAYS = (
    "One event for each reading that is new or was corrected, at least once: drop ids that are known, and each is "
    "there exactly once. Of two events of the same measure and time, the one with the later `changed_at` holds, of "
    "equals the one with the higher `revision`."
)


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an event."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_event()}


def _event() -> dict[str, Any]:
    kinds = [NEW, REVISED]
    attributes: dict[str, Any] = {
        "specversion": {"const": "1.0"},
        "id": {
            "type": "string",
            "minLength": 1,
            "description": "measure@time#revision-digest; follows from the reading, so a repeated event has the same",
        },
        "source": {
            "type": "string",
            "format": "uri-reference",
            "minLength": 1,
            "description": "The API that the lake is filled from",
        },
        "type": {"enum": kinds, "description": "New, or corrected since it was first seen"},
        "subject": {"type": "string", "minLength": 1, "description": "The measure"},
        "time": {**_TIME, "description": "The row's changed_at"},
        "datacontenttype": {"const": "application/json"},
    }
    data = {
        "type": "object",
        "properties": {column.name: _value(column) for column in READINGS.columns},
        "required": READINGS.schema.names,
        "additionalProperties": False,
    }
    return {
        "title": "Reading",
        "description": _SAYS,
        "type": "object",
        "properties": {**attributes, "data": data},
        "required": [*attributes, "data"],
        "additionalProperties": False,
    }


def _value(column: Column) -> dict[str, Any]:
    if pa.types.is_timestamp(column.type):
        found: dict[str, Any] = dict(_TIME)
    elif pa.types.is_integer(column.type):
        found = {"type": "integer"}
    else:
        found = {"type": "number" if pa.types.is_floating(column.type) else "string"}
    if column.nullable:
        found["type"] = [found["type"], "null"]
    unit = f" [{column.unit}]" if column.unit else ""
    return {**found, "description": f"{column.meaning}{unit}"}


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3 document of what is published; each deployment adds its own servers."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "flood_assets: readings of flood gauges in England",
            "version": __version__,
            "description": "This uses Environment Agency flood and river level data from the real-time data API "
            "(Beta).",
            "license": LICENCE,
        },
        "defaultContentType": ONE,
        "channels": {
            "readings": {
                "address": None,
                "description": "A stream, queue, bus, topic or webhook; its name is the deployment's.",
                "messages": {"reading": {"$ref": "#/components/messages/reading"}},
            }
        },
        "operations": {
            "publishReadings": {
                "action": "send",
                "channel": {"$ref": "#/channels/readings"},
                "messages": [{"$ref": "#/channels/readings/messages/reading"}],
            }
        },
        "components": {
            "messages": {
                "reading": {
                    "name": "reading",
                    "title": "A reading that is new or was corrected",
                    "contentType": ONE,
                    "bindings": {"kafka": {"key": _KEY, "bindingVersion": "0.5.0"}},
                    "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": _event()},
                }
            }
        },
    }
