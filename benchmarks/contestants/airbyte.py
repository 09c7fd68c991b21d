"""Read the day with airbyte-cdk and a declarative manifest; keep the JSON lines it prints."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import Task, main
from benchmarks.contestants import messages

if TYPE_CHECKING:
    import pyarrow as pa


def fill(task: Task) -> dict[str, Any]:
    """Read one stream for each day."""
    manifest = _manifest(task)
    config = {"base_url": task.api, "__injected_declarative_manifest": manifest}
    streams = [
        {
            "stream": {"name": stream["name"], "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
        }
        for stream in manifest["streams"]
    ]
    (task.out / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (task.out / "catalog.json").write_text(json.dumps({"streams": streams}), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("source-declarative-manifest")), "read"]
    return messages.captured([*command, "--config", "config.json", "--catalog", "catalog.json"], task.out)


def rows(out: Path) -> "pa.Table":
    """Return its records."""
    return messages.table(out, _record)


def _record(message: dict[str, Any]) -> dict[str, Any] | None:
    if message.get("type") != "RECORD":
        return None
    found: dict[str, Any] = message["record"]["data"]
    return found


def _manifest(task: Task) -> dict[str, Any]:
    streams = [
        {
            "type": "DeclarativeStream",
            "name": f"readings_{day}",
            "primary_key": ["measure", "dateTime"],
            "schema_loader": {
                "type": "InlineSchemaLoader",
                "schema": {"type": "object", "additionalProperties": True, "properties": {}},
            },
            "retriever": {
                "type": "SimpleRetriever",
                "requester": {
                    "type": "HttpRequester",
                    "url_base": "{{ config['base_url'] }}",
                    "path": "/data/readings",
                    "http_method": "GET",
                    "request_parameters": {"date": f"{day}"},
                },
                "record_selector": {
                    "type": "RecordSelector",
                    "extractor": {"type": "DpathExtractor", "field_path": ["items"]},
                },
                "paginator": {"type": "NoPagination"},
            },
        }
        for day in task.days
    ]
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": [streams[0]["name"]]},
        "streams": streams,
        "spec": {
            "type": "Spec",
            "connection_specification": {"type": "object", "properties": {"base_url": {"type": "string"}}},
        },
    }


if __name__ == "__main__":
    main(fill, rows)
