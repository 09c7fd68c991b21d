"""The examples of the pages and docstrings, on the lake of a demo: none of them may leave a newcomer with nothing."""

import warnings
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from flood_assets.cli.main import main
from flood_assets.lake.lake import Lake
from flood_assets.notebook import NothingFoundWarning, load_measures, load_readings, load_stations
from flood_assets.schemas import READINGS
from flood_assets_tests.conftest import NOW
from flood_assets_tests.support import examples
from flood_assets_tests.support.listening import listening
from flood_assets_tests.support.served import served


@pytest.fixture(autouse=True)
def _on_the_demo(demo_lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOOD_LAKE_URL", demo_lake.as_uri())
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())


def here_and_now(code: str, lake: Path) -> str:
    """Return an example with this lake and this time in place of the reader's."""
    moment = f"datetime.fromisoformat('{NOW.isoformat()}')"
    return code.replace("file:///var/lib/flood", lake.as_uri()).replace("datetime.now(UTC)", moment)


@pytest.mark.parametrize("example", examples.python(), ids=lambda each: each.place)
def test_the_python_of_the_pages_gives_rows(demo_lake, example):
    answers = list(examples.values(here_and_now(example.text, demo_lake), {"now": NOW}))
    assert answers
    for code, answer in answers:
        if code.endswith(".notes"):
            assert not answer, code
        else:
            assert len(answer) > 0, code


@pytest.mark.parametrize(("name", "value"), examples.filters())
def test_each_name_of_the_pages_is_one_of_the_demo(name, value):
    with warnings.catch_warnings():
        # A part of a name is an example too, of what a warning then says.
        warnings.filterwarnings("ignore", ".*by its words it matches.*", NothingFoundWarning)
        assert len(load_readings(**{name: value}))


@pytest.mark.parametrize("example", examples.shown(), ids=lambda each: f"{each.place}-{each.text}")
def test_each_name_that_the_pages_show_is_shown_with_values(example):
    result = CliRunner().invoke(main, ["show", example.text])
    assert result.exit_code == 0, result.output
    assert "River Thames" in result.output
    assert "mASD" in result.output
    assert " BST" in result.output


@pytest.fixture(scope="module")
def served_demo(demo_lake):
    with served(demo_lake, NOW) as found:
        yield found


STREAM = "/api/v1/stream"
# Those of the page on pushing need a key: `flood_assets_tests.landing.test_documented` runs them.
PUSHES = ("/api/v1/receipts/", "/api/v1/uploads")


@pytest.mark.parametrize("url", [url for url in examples.urls("/api/v1/") if not url.startswith((STREAM, *PUSHES))])
def test_each_url_of_the_pages_gives_rows(served_demo, url):
    response = served_demo.client.get(url)
    assert response.status_code == 200, response.text
    rows = response.headers.get("number-matched") or response.json()["numberMatched"]
    assert int(rows) > 0


@pytest.mark.parametrize("url", examples.urls("/erddap/"))
def test_each_erddap_url_of_the_pages_gives_rows(served_demo, url):
    response = served_demo.client.get(url)
    assert response.status_code == 200, response.text
    # The first two lines are names and units.
    assert len(response.text.splitlines()) > 2


@pytest.mark.parametrize("url", examples.urls(STREAM))
def test_each_stream_of_the_pages_begins(demo_lake, url):
    with listening(demo_lake, NOW) as server, server.events(url.removeprefix(STREAM)) as events:
        name, said = events.next()
    assert (name, said["notes"]) == ("snapshot", [])


# Those of the page on SQL are for `flood-assets sql`, and of that on publishing for PostgreSQL:
# `flood_assets_tests.query.test_sql_recipes` and `flood_assets_tests.publish.test_postgresql_page` run them.
@pytest.mark.parametrize(
    "example",
    [each for each in examples.fenced("sql") if not each.place.startswith(("sql.md", "publishing.md"))],
    ids=lambda each: each.place,
)
def test_the_sql_of_the_pages_gives_rows_and_each_reading_once(demo_lake, monkeypatch, example):
    stored = len(Lake.open(demo_lake.as_uri()).read(READINGS, now=NOW))
    monkeypatch.chdir(demo_lake.parent)
    with duckdb.connect() as connection:
        rows = connection.sql(example.text).to_arrow_table()
    assert len(rows) > 0
    if "/readings/" not in example.text:
        return
    assert len(rows) == stored
    assert len(rows.group_by(["measure_id", "date_time"]).aggregate([])) == stored
    for column, wanted in (("unit", "mASD"), ("label", "Kingston"), ("river", "River Thames")):
        assert column not in rows.column_names or wanted in rows[column].to_pylist()


def test_the_examples_were_found():
    """What finds the examples must not overlook them: a page without any would pass."""
    python = "\n".join(example.text for example in examples.python())
    for part in ("station=7267", 'river="River Thames"', 'station="Kingston"', "query.readings(", 'last="3h"'):
        assert part in python
    assert {example.text for example in examples.shown()} == {"Kingston", "River Thames"}
    assert {("river", "Thames"), ("station", "Kingston"), ("catchment", "Cotswolds")} <= set(examples.filters())
    assert min(len(examples.urls(below)) for below in (STREAM, "/erddap/", "/api/v1/latest")) > 0
    assert {example.place.split(".")[0] for example in examples.fenced("sql")} == {
        "README",
        "notebooks",
        "publishing",
        "sql",
    }


def test_the_gauge_of_the_examples_is_real_in_name_number_and_river():
    (kingston,) = load_stations(station="Kingston").to_dict("records")
    assert (kingston["rloi_id"], kingston["river"], kingston["town"]) == (
        "7267",
        "River Thames",
        "Kingston upon Thames",
    )
    assert set(load_measures(station="Kingston").unit) == {"m3/s", "mASD"}
