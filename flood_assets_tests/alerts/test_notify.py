"""Receivers are told what fires and clears: each once, also over restarts, and all of it once they are back."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flood_assets.alerts import notify
from flood_assets.alerts.judging import judge_lake
from flood_assets.alerts.notify import Target, read_targets, tell
from flood_assets.alerts.rules import AlertRulesError, parse_rules
from flood_assets.lake.lake import Lake
from flood_assets_tests.alerts.test_lake import RULES, VALUES, lake, read_out

__all__ = ["lake"]


class Receiver:
    """A local HTTP server that keeps what it is sent."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict, object]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = receiver.answers.pop(0) if receiver.answers else 200
                if status == 200:
                    receiver.taken.append((self.path, dict(self.headers), body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def events(self) -> list[dict]:
        return [body for _, _, body in self.taken]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()


def test_a_webhook_gets_each_event_once_over_fifty_restarts(lake):
    with receiving() as receiver:
        target = Target(notify.WEBHOOK, f"{receiver.url}/hook?token=1")
        for now in read_out(lake, VALUES):
            for _ in range(8):
                again = Lake.open(lake.url)
                judge_lake(again, RULES, now)
                assert tell(again, [target], now) == []
        assert [event["type"] for event in receiver.events] == [
            "flood_assets.alert.firing",
            "flood_assets.alert.cleared",
        ]
        (path, headers, event), _ = receiver.taken
        assert path == "/hook?token=1"
        assert headers["idempotency-key"] == event["id"]
        assert event["specversion"] == "1.0"
        assert event["data"]["notice"].startswith("no official warning")
        assert [used["value"] for used in event["data"]["readings"]] == [1.2, 1.3]


def test_what_is_sent_again_after_a_kill_has_the_id_that_it_had(lake, monkeypatch):
    with receiving() as receiver:
        target = Target(notify.WEBHOOK, receiver.url)
        for number, now in enumerate(read_out(lake, VALUES)):
            judge_lake(lake, RULES, now)
            with monkeypatch.context() as patch:
                if number % 2 == 0:
                    # Killed between sending and remembering.
                    patch.setattr(notify, "_remember", lambda *_: None)
                tell(lake, [target], now)
        sent = Counter(event["id"] for event in receiver.events)
        assert max(sent.values()) > 1
        assert {event["id"]: event["type"].rpartition(".")[2] for event in receiver.events}.keys() == sent.keys()
        assert sorted({(event["id"], event["type"].rpartition(".")[2]) for event in receiver.events})
        assert len(sent) == 2


def test_a_receiver_that_is_down_holds_up_no_other_and_gets_all_once_it_is_back(lake):
    with receiving() as well, receiving() as ill:
        targets = [Target(notify.WEBHOOK, f"http://me:secret@{ill.url[7:]}"), Target(notify.WEBHOOK, well.url)]
        *_, last = ticks = list(read_out(lake, VALUES))
        faults = []
        for now in ticks:
            ill.answers = [503] * 10 if now != last else []
            judge_lake(lake, RULES, now)
            faults += tell(lake, targets, now)
        assert faults
        assert all("webhook at 127.0.0.1 was not told of all alerts (HTTP 503)" in fault for fault in faults)
        assert "secret" not in str(faults)
        assert [event["id"] for event in ill.events] == [event["id"] for event in well.events]


def test_a_receiver_that_cannot_be_reached_is_told_without_its_url(lake):
    with receiving() as gone:
        target = Target(notify.WEBHOOK, f"{gone.url}/secret")
    *_, last = read_out(lake, VALUES[:4])
    judge_lake(lake, RULES, last)
    (fault,) = tell(lake, [target], last)
    assert "ConnectionError" in fault
    assert "secret" not in fault


def test_alertmanager_is_told_what_fires_again_and_again_and_its_end_once(lake):
    with receiving() as receiver:
        target = Target(notify.ALERTMANAGER, receiver.url)
        for now in read_out(lake, VALUES):
            judge_lake(lake, RULES, now)
            assert tell(lake, [target], now) == []
        assert {path for path, _, _ in receiver.taken} == {"/api/v2/alerts"}
        posted = [alert for body in receiver.events for alert in body]
        assert len({json.dumps(alert["labels"], sort_keys=True) for alert in posted}) == 1
        labels = posted[0]["labels"]
        assert (labels["alertname"], labels["severity"], labels["place"]) == ("Mill high", "severe", "Mill")
        # Fires at the third tick and clears at the sixth: three times with an end to come, then with its end.
        ends = [alert["endsAt"] for alert in posted]
        assert len(ends) == 4
        assert ends[-1] < ends[-2]
        assert all(alert["startsAt"] == posted[0]["startsAt"] for alert in posted)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("mail = 'x'", "notify 1 has mail: give it one of alertmanager"),
        ("webhook = 'ftp://me:secret@x'", "notify 1: webhook is no URL: expected http:// or https://"),
        ("webhook = 'http://x'\nalertmanager = 'http://x'", "notify 1 has webhook, alertmanager: give it one of"),
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
    lines = "[[notify]]\nalertmanager = 'http://a:9093/'\n[[notify]]\nwebhook = 'https://b/x/'\n"
    file.write_text(f"[[rule]]\nname = 'x'\nabove = 1\n{lines}")
    assert read_targets(file) == (Target("alertmanager", "http://a:9093"), Target("webhook", "https://b/x/"))
