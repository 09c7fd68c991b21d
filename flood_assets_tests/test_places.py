"""Where a lake is: one rule for URLs and paths, which every door follows."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from click.testing import CliRunner

from flood_assets import settings
from flood_assets.cli.main import main
from flood_assets.defs.resources import LakeResource
from flood_assets.errors import SettingsError
from flood_assets.lake.lake import Lake
from flood_assets.notebook import load_readings
from flood_assets.places import folder_of, is_same_source, lake_url, path_of, split_userinfo
from flood_assets.query.place import Place
from flood_assets_tests.conftest import NOW


@pytest.mark.parametrize("place", ["./lake", "lake", "../here/lake", "{here}/lake", "file://{here}/lake/", "~/lake"])
def test_a_folder_is_named_by_a_path_or_a_url(place, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    url = lake_url(place.format(here=here))
    assert url == (here / "lake").as_uri()
    assert folder_of(url) == here / "lake"


@pytest.mark.parametrize("place", ["./lake", "{here}/lake", "file://{here}/lake"])
def test_every_door_takes_a_path_or_a_url(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = place.format(here=tmp_path)
    wanted = (tmp_path / "lake").as_uri()
    Lake.open(place).claim("http://one")
    assert LakeResource(url=place).open().url == Place.of(place, NOW).lake.url == wanted
    monkeypatch.setenv("FLOOD_LAKE_URL", place)
    assert settings.lake_url() == LakeResource().lake_url == wanted
    with pytest.warns(UserWarning, match=f"the lake {wanted} has no readings yet"):
        load_readings()
    for command in (["status"], ["expire"]):
        assert "FLOOD_LAKE_URL is" not in CliRunner().invoke(main, command).output


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file://tmp/x", "expected an absolute path after three slashes: write file:///tmp/x, or the path alone"),
        ("file:/tmp/x", "expected file://"),
        ("file:///", "expected an absolute path"),
        ("x3://b", "expected file://, s3://, az:// or gs://, or a folder such as ./lake"),
        ("s3:bucket", "expected file://"),
        ("s3://", "expected s3:// followed by a bucket"),
        ("s3:///x", "expected s3:// followed by a bucket"),
    ],
)
def test_every_door_refuses_the_same_places_in_the_same_words(place, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOOD_LAKE_URL", place)
    monkeypatch.setenv("FLOOD_API_URL", "http://127.0.0.1:9/flood-monitoring")
    message = f"FLOOD_LAKE_URL is '{place}': {said}"
    opened = (lambda: Lake.open(place), LakeResource().open, LakeResource(url=place).open)
    for door in (*opened, settings.lake_url, load_readings, lambda: Place.of(place, NOW)):
        with pytest.raises(SettingsError) as refused:
            door()
        assert str(refused.value).startswith(message)
    for command in ("status", "refresh", "reconcile", "expire"):
        result = CliRunner().invoke(main, [command])
        assert result.exit_code == 2
        assert message in result.output
    assert list(tmp_path.iterdir()) == [], "nothing was made"


def test_names_with_odd_characters_come_back_as_they_were(tmp_path):
    odd = tmp_path / "a b" / "Dürre 100%#1?"
    assert folder_of(lake_url(odd)) == odd


@pytest.mark.parametrize("place", [r"C:\flood\a lake", "C:/flood/a lake", "file:///C:/flood/a%20lake"])
def test_a_drive_of_windows_is_a_place_too(place):
    url = lake_url(place, flavour=PureWindowsPath)
    assert url == "file:///C:/flood/a%20lake"
    assert path_of(url, PureWindowsPath) == PureWindowsPath("C:/flood/a lake")
    # Elsewhere it is a folder with such a name.
    assert path_of(url, PurePosixPath) == PurePosixPath("/C:/flood/a lake")


def test_a_bucket_has_no_folder():
    assert folder_of("s3://bucket/lake") is None
    assert isinstance(folder_of("file:///x"), Path)


# -- addresses of APIs


@pytest.mark.parametrize(
    ("url", "shown", "credentials"),
    [
        ("https://api.example/root", "https://api.example/root", None),
        ("https://me:secret@api.example:8443/root", "https://api.example:8443/root", ("me", "secret")),
        ("http://me:p%40ss%2Fw@api.example", "http://api.example", ("me", "p@ss/w")),
        ("https://me:p@ss@[::1]:80?x=a@b", "https://[::1]:80?x=a@b", ("me", "p@ss")),
        ("http://token@api.example/a@b", "http://api.example/a@b", ("token", "")),
        ("http://[", "http://[", None),
        ("http://me:secret@[", "[", None),
    ],
)
def test_a_name_and_a_password_are_taken_out_of_an_address(url, shown, credentials):
    assert split_userinfo(url) == (shown, credentials)


SPELT = "http://environment.data.gov.uk/flood-monitoring"


@pytest.mark.parametrize(
    "other",
    [
        "https://environment.data.gov.uk/flood-monitoring",
        "http://environment.data.gov.uk:80/flood-monitoring/",
        "https://Environment.data.gov.uk:443/flood-monitoring",
        "https://user:new@environment.data.gov.uk/flood-monitoring",
    ],
)
def test_one_api_has_many_spellings(other):
    assert is_same_source(SPELT, other)


@pytest.mark.parametrize(
    "other", [f"{SPELT}2", SPELT.replace("uk/", "uk:8080/"), "http://other.example/flood-monitoring"]
)
def test_another_host_port_or_path_is_another_api(other):
    assert not is_same_source(SPELT, other)


def test_an_address_that_is_none_is_only_itself():
    assert is_same_source("http://[", "http://[")
    assert not is_same_source("http://[", SPELT)
    assert not is_same_source("http://api.example:x", "http://api.example")
