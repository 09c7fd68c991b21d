"""Our own files: kept for ever under their digests, with the licences and digests of what others wrote."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from flood_assets.serve.pages import static

VENDOR = static.FOLDER / "vendor"
LICENCES = {
    "leaflet-1.9.4": "BSD 2-Clause License",
    "uplot-1.6.32": "The MIT License (MIT)",
    "swagger-ui-dist-5.35.0": "Apache License",
    "world-atlas-2.0.2": "Permission to use, copy, modify, and/or distribute this software",
}


@pytest.mark.parametrize("folder", [VENDOR, Path(__file__).parent / "vendor"], ids=["served", "for tests"])
def test_what_others_wrote_is_as_they_published_it(folder):
    told = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert found == told


def test_each_of_them_has_its_licence():
    assert {path.name for path in VENDOR.iterdir() if path.is_dir()} == set(LICENCES)
    for name, words in LICENCES.items():
        assert words in (VENDOR / name / "LICENSE").read_text()
    # Apache asks for both.
    assert (VENDOR / "swagger-ui-dist-5.35.0" / "NOTICE").exists()


def test_a_file_is_kept_for_a_year_under_its_digest_and_sent_compressed(site):
    address = static.url("site.css")
    response = site.client.get(address)
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-type"] == "text/css; charset=utf-8"
    assert response.headers["content-encoding"] == "gzip"
    assert response.content == (static.FOLDER / "site.css").read_bytes()
    again = site.client.get(address, headers={"if-none-match": response.headers["etag"]})
    assert again.status_code == 304
    assert site.client.get("/static/000000000000/site.css").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "site.css/",
        "../routes.py",
        "..%2Froutes.py",
        "%2e%2e/%2e%2e/snapshot.py",
        "vendor/SHA256SUMS",
        "vendor/leaflet-1.9.4/LICENSE",
        "/etc/passwd",
        "site.css%00",
    ],
)
def test_nothing_else_is_served(site, path):
    assert site.client.get(f"/static/0/{path}").status_code == 404


def test_no_script_or_style_of_ours_names_a_foreign_host():
    for path in static.FOLDER.iterdir():
        if path.suffix in (".js", ".css"):
            assert "://" not in path.read_text(), path


def test_the_coast_is_that_of_three_countries_and_small():
    data = (static.FOLDER / "coast.json").read_bytes()
    coast = json.loads(data)
    assert sorted(each["properties"]["name"] for each in coast["features"]) == [
        "Ireland",
        "Isle of Man",
        "United Kingdom",
    ]
    points = [
        p for f in coast["features"] for polygon in f["geometry"]["coordinates"] for ring in polygon for p in ring
    ]
    assert all(-14 < long < 2 and 49 < lat < 61 for long, lat in points)
    assert len(gzip.compress(data, 5)) < 50_000
