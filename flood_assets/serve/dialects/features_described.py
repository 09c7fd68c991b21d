"""Describe the collections of features: landing page, extent, schema, OpenAPI 3.0."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from flood_assets import __version__
from flood_assets.serve import formats
from flood_assets.serve.dialects.features_asked import COLLECTIONS, CRS84, MOST
from flood_assets.serve.parameters import described
from flood_assets.serve.snapshot import Snapshot

JSON, GEOJSON, SCHEMA = "application/json", "application/geo+json", "application/schema+json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
CONFORMS = [
    f"http://www.opengis.net/spec/ogcapi-{each}"
    for each in (
        "common-1/1.0/conf/core",
        "common-2/1.0/conf/collections",
        "features-1/1.0/conf/core",
        "features-1/1.0/conf/oas30",
        "features-1/1.0/conf/geojson",
    )
]


def link(href: str, rel: str, kind: str, title: str = "") -> dict[str, str]:
    """Return a link with the type of what it leads to."""
    return {"href": href, "rel": rel, "type": kind, **({"title": title} if title else {})}


def landing(base: str) -> dict[str, Any]:
    """Return the landing page."""
    return {
        "title": "flood_assets",
        "description": "The last 24 hours of every river, tide, rain and groundwater gauge in England. This uses "
        "Environment Agency flood and river level data from the real-time data API (Beta).",
        "links": [
            link(base, "self", JSON, "This page"),
            link(f"{base}/api", "service-desc", OPENAPI, "Definition of the API"),
            link(f"{base}/conformance", "conformance", JSON, "Standards that are met"),
            link(f"{base}/collections", "data", JSON, "Collections"),
        ],
    }


def collections(snapshot: Snapshot, base: str) -> dict[str, Any]:
    """Return all collections."""
    return {
        "links": [link(f"{base}/collections", "self", JSON)],
        "collections": [collection(snapshot, name, base) for name in COLLECTIONS],
    }


def collection(snapshot: Snapshot, name: str, base: str) -> dict[str, Any]:
    """Return a collection with its extent, which is that of the stations."""
    here, of = f"{base}/collections/{name}", COLLECTIONS[name]
    known = ~(np.isnan(snapshot.lat) | np.isnan(snapshot.long))
    lat, long = snapshot.lat[known], snapshot.long[known]
    # Flood areas may lie beyond.
    placed = len(lat) > 0 and name != "warnings"
    box = [long.min(), lat.min(), long.max(), lat.max()] if placed else [-180, -90, 180, 90]
    return {
        "id": name,
        "title": of.title,
        "description": of.description,
        "itemType": "feature",
        "crs": [CRS84],
        "extent": {"spatial": {"bbox": [[float(each) for each in box]], "crs": CRS84}},
        "links": [
            link(here, "self", JSON),
            link(f"{here}/items", "items", GEOJSON, of.title),
            link(f"{here}/schema", "describedby", SCHEMA, "Schema of a feature"),
        ],
    }


def schema(snapshot: Snapshot, now: datetime, name: str, base: str) -> dict[str, Any]:
    """Return the schema of a feature: the first page, from which GDAL guesses, may lack a column's values."""
    of = COLLECTIONS[name]
    own = {"joined": True} if "joined" in of.model.model_fields else {}
    answer = of.answer(snapshot, of.model.model_construct(None, **own), now)
    said = {each.name: f"{each.meaning} [{each.unit}]" if each.unit else each.meaning for each in of.table.columns}
    columns = {
        field.name: {**_type(field.type), "nullable": True, "description": said.get(field.name, "")}
        for field in answer.rows.schema
        if field.name not in formats.POSITION
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{base}/collections/{name}/schema",
        "title": of.title,
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": ["Feature"]},
            "id": {"type": "string"},
            "geometry": {"$ref": "https://geojson.org/schema/Point.json"},
            "properties": {"type": "object", "properties": columns},
        },
    }


def _type(kind: pa.DataType) -> dict[str, str]:
    if pa.types.is_timestamp(kind):
        return {"type": "string", "format": "date-time"}
    if pa.types.is_date(kind):
        return {"type": "string", "format": "date"}
    if pa.types.is_boolean(kind):
        return {"type": "boolean"}
    if pa.types.is_floating(kind):
        return {"type": "number"}
    return {"type": "integer" if pa.types.is_integer(kind) else "string"}


def definition(base: str) -> dict[str, Any]:
    """Return the definition of the API (OpenAPI 3.0), from which GDAL learns the pages' size and the filters."""
    paths: dict[str, Any] = {
        "/": _operation("The landing page", "landing", []),
        "/conformance": _operation("Standards that are met", "conformance", []),
        "/collections": _operation("The collections", "collections", []),
    }
    for name, of in COLLECTIONS.items():
        at, called = f"/collections/{name}", of.title.lower()
        one = {"name": "featureId", "in": "path", "required": True, "schema": {"type": "string"}}
        asked_for = [_parameter(each) for each in described(of.model)]
        paths[at] = _operation(of.title, name, [])
        paths[f"{at}/schema"] = _operation(f"Schema of {called}", f"{name}_schema", [], SCHEMA)
        paths[f"{at}/items"] = _operation(of.description, f"{name}_items", asked_for, GEOJSON)
        paths[f"{at}/items/{{featureId}}"] = _operation(f"One of {called}", f"{name}_item", [one], GEOJSON)
    return {
        "openapi": "3.0.3",
        "info": {"title": "flood_assets: OGC API - Features", "version": __version__},
        "servers": [{"url": base}],
        "paths": paths,
    }


def _operation(summary: str, name: str, parameters: list[dict[str, Any]], kind: str = JSON) -> dict[str, Any]:
    content = {kind: {"schema": {"type": "object"}}}
    problems = {
        "description": "What was wrong",
        "content": {"application/problem+json": {"schema": {"type": "object"}}},
    }
    responses = {"200": {"description": summary, "content": content}, "default": problems}
    return {"get": {"summary": summary, "operationId": name, "parameters": parameters, "responses": responses}}


def _parameter(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter with what OpenAPI 3.0 knows of its schema."""
    schema = {"maximum": MOST, **said["schema"]} if said["name"] == "limit" else said["schema"]
    kept = {key: schema[key] for key in ("type", "enum", "default", "minimum", "maximum") if key in schema}
    if kept.get("type") == "array":
        items = {key: value for key, value in schema["items"].items() if key in ("type", "enum")}
        return {**said, "schema": {"type": "array", "items": items}, "style": "form", "explode": True}
    return {**said, "schema": kept or {"type": "string"}, "style": "form", "explode": False}
