"""The API does what its OpenAPI says, whatever it is asked: schemathesis with all of its checks."""

import pytest
import schemathesis
from schemathesis.config import HealthCheck
from schemathesis.engine import events, from_schema

from flood_assets.lake.lake import Lake
from flood_assets.serve.keys import Keys
from flood_assets.serve.limits import Limits
from flood_assets.serve.stream import Stream
from flood_assets_tests.support.pushing import key_file
from flood_assets_tests.support.served import Served
from flood_assets_tests.support.seven_gauges import NOW

# Each check that is left out, and why.
EXCLUDED = {
    "positive_data_acceptance": (
        "what OpenAPI cannot say is refused with a 400 and a remedy: start beside last, a box whose south is above its "
        "north, a column that only comes with joined=true, a time without a zone"
    )
}
EXAMPLES = 8


def findings(app, *, headers=None, only=None, least=(200, 50)):
    """Run all phases; yield each failed check, and each 400 that names no parameter that was sent.

    `headers` are sent with each request; `only` is a pattern of the paths; `least` are the fewest requests and 400s.
    """
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=headers or {})
    if only:
        schema = schema.include(path_regex=only)
    # A failed check ends the search, also one that is left out, and the next run begins with what failed.
    for name in EXCLUDED:
        getattr(schema.config.checks, name).enabled = False
    # They judge how requests are made up, by size and speed, and nothing of the API.
    schema.config.update(headers=headers or {}, suppress_health_check=[HealthCheck.all])
    schema.config.seed = 1
    schema.config.generation.update(max_examples=EXAMPLES)
    tried = refused = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            yield str(event)
        if not isinstance(event, events.ScenarioFinished):
            continue
        tried += len(event.recorder.cases)
        for case, checks in event.recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    failure = check.failure_info.failure
                    yield f"{event.label}: {failure.title}: {failure.message}\n{check.failure_info.code_sample}"
            if (vague := _refusal(event.recorder, case)) is not None:
                refused += 1
                yield from vague
    assert tried > least[0]
    assert refused > least[1]


def _refusal(recorder, case):
    """Return what is wrong with a 400, which must name the wrong parameter; None for other answers."""
    response = recorder.interactions[case].response if case in recorder.interactions else None
    if response is None or response.status_code != 400:
        return None
    detail = response.json()["detail"]
    if recorder.cases[case].value.method == "POST":
        parts = ("the body", "of a batch", "the JSON", "the CSV", "the arrow file", "the parquet file")
        return [] if any(part in detail for part in parts) else [f"vague: {detail}"]
    names = [
        "id of a batch",
        *(recorder.cases[case].value.query or {}),
        "column",
        "unknown parameter",
        "parameters",
        "is missing",
    ]
    return [] if any(name in detail for name in names) else [f"vague: {detail}"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_api_does_what_its_openapi_says(seven, monkeypatch):
    async def nothing_more(*_):
        """A stream ends after its first events."""

    monkeypatch.setattr(Stream, "_send_changes", nothing_more)
    assert list(findings(Served(Lake.open(seven), NOW).app)) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pushes_and_receipts_do_what_their_openapi_says(seven, tmp_path):
    limits = Limits(0, Keys(key_file(tmp_path), lambda: 0.0))
    app = Served(Lake.open(seven), NOW, limits).app
    key = {"X-Api-Key": "key-of-beta"}
    found = findings(app, headers=key, only="receipts|uploads|readings$", least=(200, 50))
    assert list(found) == []
    assert Lake.open(seven).store.list("landing") == []
