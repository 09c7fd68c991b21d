"""The stored alerts as rows: in a query, in SQL, in the notebook and in `/api/v1/alerts`, the same everywhere."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import duckdb
import pyarrow as pa
import pytest

from flood_assets import notebook, query
from flood_assets.alerts import rules
from flood_assets.alerts.judging import judge_lake
from flood_assets.query.alerts import KINDS, stored_alerts, update_alerts
from flood_assets.query.sql import Views
from flood_assets.query.sql_script import script
from flood_assets.schemas import ALERTS
from flood_assets_tests.alerts.test_lake import RULES, VALUES, lake, read_out
from flood_assets_tests.support.served import served

__all__ = ["lake"]


@pytest.fixture
def now(lake):
    """The last tick of a flood that was over, with a second alert that lasts."""
    *_, last = list(read_out(lake, VALUES))
    for tick in (last - timedelta(hours=1), last):
        judge_lake(lake, RULES, tick)
    (over,) = stored_alerts(lake, last).rows
    again = replace(over, alert_id="b", rule="Weir|Lock", status="firing", severity="Minor", kind="below", label="Weir")
    again = replace(again, cleared_at=None, until=None, ended_because=None, station_id=None, since=last)
    update_alerts(lake, lambda state: (replace(state, rows=(again, over), notes=("one is unknown",)), None))
    return last


def labels(lake, now, **wanted):
    return query.alerts(lake, now, **wanted).rows["label"].to_pylist()


def test_alerts_are_rows_with_their_columns_and_notes(lake, now):
    found = query.alerts(lake, now)
    assert found.rows.schema.equals(ALERTS.schema)
    assert found.rows["label"].to_pylist() == ["Mill", "Weir"]
    assert found.notes == ["one is unknown"]
    assert query.alerts(lake, now, columns=["rule", "status"]).rows.to_pylist() == [
        {"rule": "Mill high", "status": "cleared"},
        {"rule": "Weir|Lock", "status": "firing"},
    ]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"status": "firing"}, ["Weir"]),
        ({"status": ["firing", "cleared"]}, ["Mill", "Weir"]),
        ({"status": "learnt_late"}, []),
        ({"rule": "mill HIGH"}, ["Mill"]),
        ({"kind": "above"}, ["Mill"]),
        ({"severity": "Minor"}, ["Weir"]),
        ({"station": "Mill"}, ["Mill"]),
        ({"station": "Mill", "status": "firing"}, []),
    ],
)
def test_filters_choose(lake, now, wanted, found):
    assert labels(lake, now, **wanted) == found


def test_what_nothing_is_called_is_said(lake, now):
    assert "no rule is called 'Mill hihg'; there is 'Mill high'" in query.alerts(lake, now, rule="Mill hihg").notes[-1]
    assert "no station is called 'Miller'" in query.alerts(lake, now, station="Miller").notes[-1]
    with pytest.raises(ValueError, match="status has no 'on': choose from firing, cleared, learnt_late"):
        query.alerts(lake, now, status="on")


def test_old_alerts_and_none_are_said(lake, tmp_path, now):
    (old, _) = query.alerts(lake, now + timedelta(hours=2)).notes
    assert "alerts were last judged at" in old
    for place in (tmp_path / "nowhere", tmp_path):
        found = query.alerts(place, now)
        assert (len(found.rows), "set FLOOD_ALERTS" in found.notes[0]) == (0, True)


def test_sql_and_the_notebook_have_the_same(lake, now):
    wanted = query.alerts(lake, now).rows
    with closing(Views(lake, now)) as views:
        schema, batches = views.read(views.select("SELECT * FROM alerts ORDER BY since, alert_id"))
        found = pa.Table.from_batches(batches, schema)
    with closing(duckdb.connect()) as shell:
        shell.execute(script(lake, now, stopped=True))
        from_file = shell.sql("SELECT * FROM alerts ORDER BY since, alert_id").to_arrow_table()
    assert found.column_names == from_file.column_names == wanted.column_names
    assert found["alert_id"].to_pylist() == from_file["alert_id"].to_pylist() == wanted["alert_id"].to_pylist()
    assert from_file["peak"].to_pylist() == wanted["peak"].to_pylist()
    with pytest.warns(notebook.NothingFoundWarning, match="one is unknown"):
        frame = notebook.load_alerts(lake=lake, now=now, status="cleared")
    assert frame.label.tolist() == ["Mill"]


def test_the_server_answers_with_them(lake, now):
    with served(lake.url.removeprefix("file://"), now) as api:
        content = api.get("alerts").json()
        assert [row["label"] for row in content["alerts"]] == ["Mill", "Weir"]
        assert content["notes"] == ["one is unknown"]
        assert [row["peak"] for row in api.get("alerts", status="cleared").json()["alerts"]] == [1.4]
        assert api.get("alerts.csv", columns="rule,status").text.splitlines()[1:] == [
            '"Mill high","cleared"',
            '"Weir|Lock","firing"',
        ]
        first = api.get("alerts", {"origin": "https://example.org"}, limit=1)
        assert first.headers["access-control-allow-origin"] == "*"
        assert api.client.get(first.json()["next"]).json()["alerts"][0]["label"] == "Weir"
        assert api.get("alerts", {"if-none-match": first.headers["etag"]}, limit=1).status_code == 304
        assert api.get("alerts", status="on").status_code == 400
        paths = json.loads(api.client.get("/api/v1/openapi.json").text)["paths"]
        row = paths["/api/v1/alerts"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert row["properties"]["alerts"]["items"]["properties"].keys() == {*ALERTS.schema.names}


def test_the_kinds_are_those_of_the_rules():
    assert tuple(rules.KINDS) == KINDS
