"""Publish to a webhook: what is sent and signed, what is tried again, and what becomes of events that are refused."""

import json

import pytest

from flood_assets.errors import SettingsError
from flood_assets.lake.layout import PUBLISHED
from flood_assets.publish.publisher import publish
from flood_assets.schemas import READINGS
from flood_assets.sinks.base import SinkError
from flood_assets.sinks.webhook import MOST_BYTES, MOST_EVENTS, Webhook
from flood_assets_tests.support.lake_rows import HOUR, NOW, at, fetched
from flood_assets_tests.support.receiving import is_signed


@pytest.fixture
def hook(receiver):
    found = Webhook(receiver.url, lambda: NOW, secret="whsec_c2VjcmV0", pause_s=0)
    yield found
    found.close()


def test_events_come_as_a_signed_list(hook, receiver, events):
    sent = events(3)
    assert hook.send(sent).confirmed.all()
    ((headers, body),) = receiver.requests
    assert headers["content-type"] == "application/cloudevents-batch+json"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert is_signed(headers, body, b"secret")
    assert not is_signed(headers, body + b" ", b"secret")
    assert json.loads(body) == sent.bodies()


def test_without_a_secret_nothing_is_signed(receiver, events):
    hook = Webhook(receiver.url, lambda: NOW, pause_s=0)
    hook.send(events(1))
    hook.close()
    assert "webhook-signature" not in receiver.requests[0][0]


def test_a_secret_that_is_no_base64_is_refused():
    with pytest.raises(SettingsError, match="FLOOD_PUBLISH_SECRET begins with whsec_"):
        Webhook("https://example.org/", lambda: NOW, secret="whsec_???")


def test_a_list_keeps_to_the_limits(hook, receiver, events):
    long = [f"{number:05}-{'x' * 900}" for number in range(MOST_EVENTS)]
    sent = events(measures=[*long, *[f"m{number:04}" for number in range(2 * MOST_EVENTS + 1)]])
    assert hook.send(sent).confirmed.all()
    assert receiver.accepted == sent.bodies()
    assert max(len(body) for _, body in receiver.requests) <= MOST_BYTES
    assert max(len(json.loads(body)) for _, body in receiver.requests) == MOST_EVENTS
    ids = [headers["webhook-id"] for headers, _ in receiver.requests]
    assert len(set(ids)) == len(ids) > 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(hook, receiver, events, status):
    answers = iter([status, status, 200])
    receiver.answer = lambda _events: next(answers)
    receiver.headers["retry-after"] = "0"
    assert hook.send(events(2)).confirmed.all()
    assert len(receiver.requests) == 3
    # The same message has the same id, by which a receiver knows it.
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1


@pytest.mark.parametrize("status", [302, 401, 404, 410])
def test_what_will_not_pass_ends_at_once_and_says_what_to_do(hook, receiver, events, status):
    receiver.answer = lambda _events: status
    receiver.headers["location"] = receiver.url
    with pytest.raises(SinkError, match=f"answered {status}: correct the URL, FLOOD_PUBLISH_SECRET") as raised:
        hook.send(events(2))
    assert len(receiver.requests) == 1
    assert "/hook" not in str(raised.value), "a path may be a secret"


def test_a_receiver_that_is_away_confirms_nothing(events):
    hook = Webhook("http://127.0.0.1:9/hook", lambda: NOW, pause_s=0)
    with pytest.raises(SinkError, match=r"no answer \(ConnectionError\) in 4 tries"):
        hook.send(events(2))
    hook.close()


def test_what_came_before_the_receiver_went_is_confirmed(hook, receiver, events):
    receiver.answer = lambda _events: 200 if len(receiver.requests) == 1 else 500
    sent = hook.send(events(MOST_EVENTS + 5))
    assert (sent.confirmed.sum(), sent.confirmed[:MOST_EVENTS].all()) == (MOST_EVENTS, True)
    assert "answered 500 in 4 tries" in sent.trouble


@pytest.mark.parametrize("status", [400, 413, 422])
def test_an_event_that_is_refused_becomes_a_dead_letter_and_holds_up_no_other(hook, receiver, lake, status):
    lake.upsert_readings(fetched(*[(f"m{number}", at(8), float(number)) for number in range(20)]), NOW, NOW)
    receiver.answer = lambda events: status if any(event["subject"] == "m7" for event in events) else 204
    found = publish(lake, hook, NOW)
    assert (found.events, found.refused, found.waiting, found.trouble) == (20, 1, 0, "")
    assert sorted(e["subject"] for e in receiver.accepted) == sorted(f"m{n}" for n in range(20) if n != 7)
    (letter,) = [meta for meta in lake.store.list(PUBLISHED) if meta.key.endswith(".json")]
    told = json.loads(lake.store.read(letter.key).data.to_pybytes())
    assert (told["reason"], told["at"]) == (f"answered {status}", "2026-11-21T09:07:30Z")
    assert told["event"]["data"]["measure_id"] == "m7"
    assert publish(lake, hook, NOW).events == 0


def test_a_dead_letter_leaves_the_lake_with_its_window(hook, receiver, lake):
    lake.upsert_readings(fetched(("a", at(8), 1.0)), NOW, NOW)
    receiver.answer = lambda _events: 422
    publish(lake, hook, NOW)

    def letters():
        return [meta.key for meta in lake.store.list(PUBLISHED) if meta.key.endswith(".json")]

    lake.expire(at(8) + 24 * HOUR)
    assert len(letters()) == 1
    later = at(9) + 24 * HOUR
    assert {each.table for each in lake.expired(later)} == {READINGS.name}
    lake.expire(later)
    assert letters() == []
