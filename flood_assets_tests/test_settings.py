"""Settings from the environment."""

from datetime import UTC, datetime, timedelta

import pytest

from flood_assets import settings
from flood_assets.errors import SettingsError


def test_the_live_api_is_asked_unless_told_otherwise():
    assert settings.api_url({}) == settings.api_url({"FLOOD_API_URL": ""}) == settings.LIVE_API
    assert settings.api_url({"FLOOD_API_URL": "http://localhost:8000/"}) == "http://localhost:8000"


def test_an_api_that_is_no_web_address_is_refused_with_the_remedy():
    with pytest.raises(SettingsError, match=r"FLOOD_API_URL is 'localhost:8000': expected http:// or https://"):
        settings.api_url({"FLOOD_API_URL": "localhost:8000"})


@pytest.mark.parametrize(
    "url", ["ftp://me:secret@host/api", "me:secret@host", "https://me:sec/ret@host", "https://@:x"]
)
def test_an_address_that_is_refused_shows_no_password(url):
    with pytest.raises(SettingsError) as error:
        settings.api_url({"FLOOD_API_URL": url})
    assert "sec" not in str(error.value)
    assert "FLOOD_API_URL is '" in str(error.value)


def test_the_lake_is_a_folder_here_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings.lake_url({}) == settings.lake_url({"FLOOD_LAKE_URL": ""}) == (tmp_path / "lake").as_uri()
    assert settings.lake_url({"FLOOD_LAKE_URL": "s3://bucket/lake"}) == "s3://bucket/lake"


def test_now_is_the_machines_time_in_utc():
    for environ in ({}, {"FLOOD_NOW": ""}):
        now = settings.now(environ)
        assert now.tzinfo is UTC
        assert abs(datetime.now(UTC) - now) < timedelta(seconds=10)


@pytest.mark.parametrize("text", ["2026-11-21T09:00:00Z", "2026-11-21T10:00:00+01:00", "2026-11-21 09:00+00:00"])
def test_another_time_can_be_pretended(text):
    now = settings.now({"FLOOD_NOW": text})
    assert now == datetime(2026, 11, 21, 9, tzinfo=UTC)
    assert now.tzinfo is UTC


@pytest.mark.parametrize("text", ["yesterday", "2026-11-21", "2026-11-21T09:00:00", "1795251600"])
def test_a_time_that_is_none_or_has_no_zone_is_refused_with_the_remedy(text):
    with pytest.raises(SettingsError, match=rf"FLOOD_NOW is '{text}': expected a time with a zone, such as 2026-"):
        settings.now({"FLOOD_NOW": text})


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "0999-05-01T00:00:00Z", "9999-12-31T23:59:59-14:00"])
def test_a_year_without_readings_is_refused_with_those_that_may_have_some(text):
    with pytest.raises(SettingsError, match="expected a year from 1971 to 2999"):
        settings.now({"FLOOD_NOW": text})


@pytest.mark.parametrize("year", [1971, 2999])
def test_any_other_year_can_be_pretended(year):
    assert settings.now({"FLOOD_NOW": f"{year}-12-31T23:59:59Z"}).year == year


def test_the_environment_is_read_when_it_is_needed(monkeypatch):
    monkeypatch.setenv("FLOOD_API_URL", "http://one")
    monkeypatch.setenv("FLOOD_LAKE_URL", "file:///one")
    monkeypatch.setenv("FLOOD_NOW", "2026-11-21T09:00:00Z")
    assert settings.api_url() == "http://one"
    assert settings.lake_url() == "file:///one"
    assert settings.now() == datetime(2026, 11, 21, 9, tzinfo=UTC)
    monkeypatch.setenv("FLOOD_API_URL", "http://two")
    assert settings.api_url() == "http://two"
