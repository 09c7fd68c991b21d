"""Describe the events for receivers: a JSON Schema and an AsyncAPI 3 document, both from `flood_assets.schemas`."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from flood_assets import __version__
from flood_assets.publish.events import NEW, REVISED
from flood_assets.query.alerts import EVENT_TYPES
from flood_assets.schemas import ALERTS, READINGS, Column
from flood_assets.sinks.events import ONE

LICENCE = {
    "name": "Open Government Licence v3",
    "url": "https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/",
}
_TIME = {"type": "string", "format": "date-time"}
_SAYS = (
    "One event for each reading that is new or was corrected, at least once: drop ids that are known, and each is "
    "there exactly once. Of two events of the same measure and time, the one with the later `changed_at` holds, of "
    "equals the one with the higher `revision`."
)
_ALERTS_SAY = (
    "One event for each alert that fires, clears or is learnt late, at least once: drop ids that are known. None is "
    "an official warning."
)
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an event of a reading."""
    return {"$schema": _DIALECT, **_event()}


def alert_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an event of an alert."""
    return {"$schema": _DIALECT, **_alert()}


def _event() -> dict[str, Any]:
    return _enveloped(
        "Reading",
        _SAYS,
        {
            "id": "measure@time#revision-digest; follows from the reading, so a repeated event has the same",
            "source": "The API that the lake is filled from",
            "type": "New, or corrected since it was first seen",
            "subject": "The measure",
            "time": "The row's changed_at",
        },
        [NEW, REVISED],
        {column.name: _value(column) for column in READINGS.columns},
    )


def _alert() -> dict[str, Any]:
    flag = {"type": "integer", "description": "Worst QARTOD flag"}
    used = {"date_time": dict(_TIME), "value": {"type": "number"}, "flag": flag}
    readings = {
        "type": "array",
        "description": "The readings by which it was judged; none for rules without a threshold",
        "items": {"type": "object", "properties": used, "required": [*used], "additionalProperties": False},
    }
    notice = {"type": "string", "description": "That it is no official warning"}
    return _enveloped(
        "Alert",
        _ALERTS_SAY,
        {
            "id": "alert_id-status-time; follows from the alert, so a repeated event has the same",
            "source": "What sends it",
            "type": "Firing, cleared, or learnt late, which is information and no alarm",
            "subject": "The measure, the flood area, or api",
            "time": "When it got this status",
        },
        [*EVENT_TYPES.values()],
        {"notice": notice, **{column.name: _value(column) for column in ALERTS.columns}, "readings": readings},
    )


def _enveloped(
    title: str, says: str, meanings: Mapping[str, str], kinds: Sequence[str], data: Mapping[str, Any]
) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "specversion": {"const": "1.0"},
        "id": {
            "type": "string",
            "minLength": 1,
            "description": meanings["id"],
        },
        "source": {
            "type": "string",
            "format": "uri-reference",
            "minLength": 1,
            "description": meanings["source"],
        },
        "type": {"enum": [*kinds], "description": meanings["type"]},
        "subject": {"type": "string", "minLength": 1, "description": meanings["subject"]},
        "time": {**_TIME, "description": meanings["time"]},
        "datacontenttype": {"const": "application/json"},
    }
    content = {"type": "object", "properties": dict(data), "required": [*data], "additionalProperties": False}
    return {
        "title": title,
        "description": says,
        "type": "object",
        "properties": {**attributes, "data": content},
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
            "title": "flood_assets: readings of flood gauges in England, and alerts",
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
            },
            "alerts": {
                "address": None,
                "description": "A stream, queue, bus, topic or webhook that the rules of alerts name.",
                "messages": {"alert": {"$ref": "#/components/messages/alert"}},
            },
        },
        "operations": {
            "publishReadings": {
                "action": "send",
                "channel": {"$ref": "#/channels/readings"},
                "messages": [{"$ref": "#/channels/readings/messages/reading"}],
            },
            "notifyAlerts": {
                "action": "send",
                "channel": {"$ref": "#/channels/alerts"},
                "messages": [{"$ref": "#/channels/alerts/messages/alert"}],
            },
        },
        "components": {
            "messages": {
                "reading": _message("reading", "A reading that is new or was corrected", _event()),
                "alert": _message("alert", "An alert that fires, clears or is learnt late", _alert()),
            }
        },
    }


def _message(name: str, title: str, schema: dict[str, Any]) -> dict[str, Any]:
    payload = {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": schema}
    # The subject is what keeps the events of one gauge or alert in their order.
    bindings = {"kafka": {"key": schema["properties"]["subject"], "bindingVersion": "0.5.0"}}
    return {"name": name, "title": title, "contentType": ONE, "bindings": bindings, "payload": payload}
