"""Check lines of CloudWatch's embedded metric format against its specification."""

import json
from collections import Counter

import jsonschema

_SIZES = (
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
)
_UNITS = ("Seconds", "Microseconds", "Milliseconds", *_SIZES, "Percent", "Count", "None")
# By AWS' specification of the format, which allows no other members in `_aws`.
SCHEMA = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": False,
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 255},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "maxItems": 30, "items": {"type": "string"}},
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"enum": [*_UNITS, *(f"{u}/Second" for u in (*_SIZES, "Count"))]},
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}  # fmt: skip


def checked(line: str) -> dict:
    """Return a line as an object, if it keeps the specification: each target is there, and of the right type."""
    assert "\n" not in line
    assert len(line.encode()) < 256 * 1024
    found = json.loads(line)
    jsonschema.validate(found, SCHEMA)
    for directive in found["_aws"]["CloudWatchMetrics"]:
        names = [metric["Name"] for metric in directive["Metrics"]]
        assert max(Counter(names).values()) == 1
        assert all(isinstance(found[name], int | float) for name in names)
        assert all(isinstance(found[name], str) and found[name] for each in directive["Dimensions"] for name in each)
    return found


def lines(text: str) -> list[dict]:
    return [checked(line) for line in text.splitlines() if line.startswith("{")]
