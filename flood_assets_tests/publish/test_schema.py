"""The description of the events is true: what is sent is valid by it, and what is wrong is not."""

import copy
import json

import jsonschema
import pytest
from click.testing import CliRunner

from flood_assets.cli.main import main
from flood_assets.publish import schema
from flood_assets.schemas import READINGS
from flood_assets_tests.support.lake_rows import NOW, at, fetched

VALIDATOR = jsonschema.Draft202012Validator(
    schema.event_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema.event_schema())


def test_what_is_sent_is_valid(lake, events):
    lake.upsert_readings(fetched(("m0000", at(8), None, "1|2"), ("m0001", at(8), 1e300)), NOW, NOW)
    documents = events(4).documents()
    assert len(documents) == 4
    for document in documents:
        VALIDATOR.validate(json.loads(document))


@pytest.mark.parametrize("column", READINGS.schema.names)
def test_a_column_that_is_missing_or_of_another_type_is_not_valid(events, column):
    (right,) = events(1).bodies()
    lacking, wrong = copy.deepcopy(right), copy.deepcopy(right)
    del lacking["data"][column]
    wrong["data"][column] = [1]
    assert not VALIDATOR.is_valid(lacking)
    assert not VALIDATOR.is_valid(wrong)


@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type", "subject", "time"])
def test_each_attribute_is_needed(events, attribute):
    (body,) = events(1).bodies()
    del body[attribute]
    assert not VALIDATOR.is_valid(body)


def test_the_units_are_said():
    told = schema.event_schema()["properties"]["data"]["properties"]
    assert told["value"]["description"].endswith("[the measure's unit]")
    assert told["value"]["type"] == ["number", "null"]


def resolved(document, reference):
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


@pytest.mark.parametrize(
    ("name", "described"), [("publishReadings", schema.event_schema), ("notifyAlerts", schema.alert_schema)]
)
def test_the_asyncapi_document_describes_the_same_events_and_its_references_lead_somewhere(name, described):
    document = schema.asyncapi()
    assert document["asyncapi"] == "3.0.0"
    assert document["operations"].keys() == {"publishReadings", "notifyAlerts"}
    operation = document["operations"][name]
    assert operation["action"] == "send"
    channel = resolved(document, operation["channel"]["$ref"])
    message = resolved(document, operation["messages"][0]["$ref"])
    assert message in channel["messages"].values()
    payload = resolved(document, message["$ref"])["payload"]["schema"]
    assert payload == {key: value for key, value in described().items() if key != "$schema"}


@pytest.mark.parametrize("name", ["reading", "alert"])
def test_the_key_of_a_message_in_kafka_is_described(name):
    """Compared with what is sent: `test_kafka`."""
    message = schema.asyncapi()["components"]["messages"][name]
    described = message["payload"]["schema"]["properties"]["subject"]["description"]
    assert message["bindings"]["kafka"]["key"]["description"] == described


@pytest.mark.parametrize(
    ("words", "made"), [(["event"], schema.event_schema), (["alert"], schema.alert_schema), ([], schema.asyncapi)]
)
def test_the_command_prints_it(words, made):
    result = CliRunner().invoke(main, ["publish", "--schema", *words])
    assert (result.exit_code, json.loads(result.output)) == (0, made())
