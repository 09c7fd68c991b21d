"""Receivers are told what fires and clears: each once, also over restarts, and all of it once they are back."""

import json
import threading
from collections import Counter
from datetime import timedelta

import jsonschema
import pytest

from flood_assets.alerts import notify
from flood_assets.alerts.judging import judge_lake
from flood_assets.alerts.notify import Teller
from flood_assets.alerts.rules import AlertRulesError, parse_rules
from flood_assets.alerts.targets import ALERTMANAGER, SINK, Target, read_targets
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import PUBLISHED
from flood_assets.publish import schema
from flood_assets.query.alerts import stored_alerts
from flood_assets_tests.alerts.test_lake import RULES, VALUES, lake, read_out
from flood_assets_tests.support.receiving import is_signed, receiving

__all__ = ["lake"]

FIRING, CLEARED = "flood_assets.alert.firing", "flood_assets.alert.cleared"
VALIDATOR = jsonschema.Draft202012Validator(
    schema.alert_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found


def tell(lake, targets, now, **more):
    return Teller(lambda: now, pause_s=0, **more).tell(lake, targets)


def judged_and_told(lake, targets, values=VALUES, **more):
    """Judge and tell at the tick after each value; return the faults."""
    faults = []
    for now in read_out(lake, values):
        judge_lake(lake, RULES, now)
        faults += tell(lake, targets, now, **more)
    return faults


def test_a_webhook_gets_each_event_once_over_fifty_restarts(lake, receiver):
    target = Target(SINK, f"{receiver.url}?token=1")
    restarts = 0
    for now in read_out(lake, VALUES):
        for _ in range(8):
            again = Lake.open(lake.url)
            judge_lake(again, RULES, now)
            assert tell(again, [target], now, secret="secret") == []
            restarts += 1
    assert restarts > 50
    assert [event["type"] for event in receiver.accepted] == [FIRING, CLEARED]
    assert len(receiver.requests) == 2
    assert {*receiver.paths} == {"/hook?token=1"}
    for headers, body in receiver.requests:
        assert headers["content-type"] == "application/cloudevents-batch+json"
        assert is_signed(headers, body, b"secret")
    event, _ = receiver.accepted
    assert event["data"]["notice"].startswith("This is no official warning.")
    assert [used["value"] for used in event["data"]["readings"]] == [1.2, 1.3]
    assert "told" not in event["data"]


@pytest.mark.races
def test_of_four_schedulers_at_once_one_tells(lake, receiver):
    target = Target(SINK, receiver.url)
    for now in read_out(lake, VALUES):
        barrier = threading.Barrier(4)

        def tick(now=now, barrier=barrier):
            again = Lake.open(lake.url)
            barrier.wait()
            judge_lake(again, RULES, now)
            assert tell(again, [target], now) == []

        threads = [threading.Thread(target=tick) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [event["type"] for event in receiver.accepted] == [FIRING, CLEARED]


def test_what_is_sent_is_valid_by_the_schema(lake, receiver):
    judged_and_told(lake, [Target(SINK, receiver.url)])
    jsonschema.Draft202012Validator.check_schema(schema.alert_schema())
    assert len(receiver.accepted) == 2
    for event in receiver.accepted:
        VALIDATOR.validate(event)
        assert not VALIDATOR.is_valid(event | {"type": "flood_assets.alert.other"})
        for name in event["data"]:
            lacking = {key: value for key, value in event["data"].items() if key != name}
            assert not VALIDATOR.is_valid(event | {"data": lacking})


def test_what_is_sent_again_after_a_kill_has_the_id_that_it_had(lake, receiver, monkeypatch):
    target = Target(SINK, receiver.url)
    for number, now in enumerate(read_out(lake, VALUES)):
        judge_lake(lake, RULES, now)
        with monkeypatch.context() as patch:
            if number % 2 == 0:
                # Killed between sending and remembering.
                patch.setattr(notify, "_remember", lambda *_: None)
            tell(lake, [target], now)
    sent = Counter((event["id"], event["type"]) for event in receiver.accepted)
    assert max(sent.values()) > 1
    assert sorted(kind for _, kind in sent) == [CLEARED, FIRING]


def test_what_somebody_is_telling_nobody_else_tells_until_the_next_tick(lake, receiver, monkeypatch):
    target = Target(SINK, receiver.url)
    *_, now = list(read_out(lake, VALUES[:4]))
    judge_lake(lake, RULES, now)
    with monkeypatch.context() as patch:
        # Killed between claiming and sending.
        patch.setattr(Teller, "_sent", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tell(lake, [target], now)
    assert tell(lake, [target], now + timedelta(minutes=5)) == []
    assert receiver.accepted == []
    assert tell(lake, [target], now + timedelta(minutes=15)) == []
    assert [event["type"] for event in receiver.accepted] == [FIRING]
    # The claim is gone once it is told.
    (alert,) = stored_alerts(lake, now).rows
    assert alert.told == (f"{target.key} {receiver.accepted[0]['id']}",)


def test_a_receiver_that_is_down_holds_up_no_other_and_gets_all_once_it_is_back(lake):
    with receiving() as well, receiving() as ill:
        targets = [Target(SINK, f"http://me:secret@{ill.url[7:]}"), Target(SINK, well.url)]
        ill.answer = lambda _: 503
        faults = judged_and_told(lake, targets, VALUES[:-1])
        assert faults
        assert all("webhook at 127.0.0.1 was not told of" in fault for fault in faults)
        assert all("answered 503 in 4 tries" in fault for fault in faults)
        assert "secret" not in str(faults)
        ill.answer = lambda _: 204
        assert judged_and_told(lake, targets, VALUES[-1:]) == []
        assert [event["id"] for event in ill.accepted] == [event["id"] for event in well.accepted]
        assert len(ill.accepted) == 2


def test_an_alert_that_a_webhook_refuses_is_a_dead_letter_and_is_not_sent_again(lake, receiver):
    receiver.answer = lambda events: 422 if any(event["type"] == FIRING for event in events) else 204
    (fault,) = judged_and_told(lake, [Target(SINK, receiver.url)])
    assert "refused 1 event for good, kept as dead letters" in fault
    assert [event["type"] for event in receiver.accepted] == [CLEARED]
    (letter,) = [meta for meta in lake.store.list(PUBLISHED) if meta.key.endswith(".json")]
    kept = json.loads(lake.store.read(letter.key).data.to_pybytes())
    assert (kept["reason"], kept["event"]["type"]) == ("answered 422", FIRING)


def test_a_receiver_that_cannot_be_reached_is_told_without_its_url(lake):
    with receiving() as gone:
        target = Target(SINK, f"{gone.url}/secret")
    *_, last = read_out(lake, VALUES[:4])
    judge_lake(lake, RULES, last)
    (fault,) = tell(lake, [target], last)
    assert "no answer (ConnectionError)" in fault
    assert "/secret" not in fault


def test_alertmanager_is_told_what_fires_again_and_again_and_its_end_once(lake, receiver):
    assert judged_and_told(lake, [Target(ALERTMANAGER, receiver.url.removesuffix("/hook"))]) == []
    assert {*receiver.paths} == {"/api/v2/alerts"}
    posted = receiver.accepted
    assert len({json.dumps(alert["labels"], sort_keys=True) for alert in posted}) == 1
    labels = posted[0]["labels"]
    assert (labels["alertname"], labels["severity"], labels["place"]) == ("Mill high", "severe", "Mill")
    # Fires at the third tick and clears at the sixth: three times with an end to come, then with its end.
    ends = [alert["endsAt"] for alert in posted]
    assert len(ends) == 4
    assert ends[-1] < ends[-2]
    assert all(alert["startsAt"] == posted[0]["startsAt"] for alert in posted)


def test_what_is_no_alertmanager_is_said(lake, receiver):
    receiver.answer = lambda _: 400
    (fault, *_) = judged_and_told(lake, [Target(ALERTMANAGER, receiver.url)], VALUES[:3])
    assert "alertmanager at 127.0.0.1 was not told of 1 event (answered 400: is it Alertmanager with API v2?)" in fault


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("mail = 'x'", "notify 1 has mail: give it one of alertmanager"),
        ("webhook = 'ftp://me:secret@x'", "notify 1: webhook is no URL: expected http:// or https://"),
        ("webhook = 3", "notify 1: webhook is no URL: expected one such as https://example.org/hook"),
        ("webhook = 'http://x'\nalertmanager = 'http://x'", "notify 1 has webhook, alertmanager: give it one of"),
        ("sink = 'dynamodb://secret'", "takes alerts (dynamodb:// holds readings only): expected https://example.org"),
        ("sink = 'mailto://me:secret@x'", "notify 1: sink is no URL of one that takes alerts: expected https://"),
        ("sink = 'https://:secret@'", "notify 1: sink is no URL of one that takes alerts: expected https://"),
        ("apprise = 'secret'", "notify 1: apprise is no URL: expected one such as mailto://..."),
        ("apprise = 'mailto://x'\npage = 'floods'", "notify 1: page is 'floods': expected where `flood-assets serve`"),
    ],
)
def test_a_wrong_receiver_is_an_error_that_shows_no_secret(tmp_path, lines, said):
    file = tmp_path / "alerts.toml"
    file.write_text(f"[[rule]]\nname = 'x'\nabove = 1\n[[notify]]\n{lines}\n")
    assert len(parse_rules(file.read_text())) == 1
    with pytest.raises(AlertRulesError) as error:
        read_targets(file)
    assert said in str(error.value)
    assert "secret" not in str(error.value)


def test_receivers_are_read_from_the_file_of_rules(tmp_path):
    file = tmp_path / "alerts.toml"
    lines = [
        "alertmanager = 'http://a:9093/'",
        "webhook = 'https://b/x/'",
        # The same once more.
        "sink = 'https://b/x/'",
        "sink = 'kinesis://alerts'",
        "apprise = 'mailto://me:pass@example.org'\npage = 'https://floods.example.org/'",
    ]
    file.write_text("[[rule]]\nname = 'x'\nabove = 1\n" + "".join(f"[[notify]]\n{line}\n" for line in lines))
    found = read_targets(file)
    assert found == (
        Target("alertmanager", "http://a:9093"),
        Target("sink", "https://b/x/"),
        Target("sink", "kinesis://alerts"),
        Target("apprise", "mailto://me:pass@example.org", "https://floods.example.org/alerts"),
    )
    names = [target.name for target in found]
    assert names == ["alertmanager at a", "webhook at b", "kinesis://alerts", "apprise mailto://"]
