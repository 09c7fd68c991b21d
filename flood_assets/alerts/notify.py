"""Tell Alertmanager and webhooks what fired and cleared: at least once, and each time under the same id.

What was told is remembered in the state of the lake after the receiver has confirmed it, so that a restart tells
nothing again, and a receiver that was down gets all of the last day once it is back.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flood_assets.alerts.rules import AlertRulesError
from flood_assets.lake.lake import Lake
from flood_assets.partitions import to_ms
from flood_assets.query.alerts import CLEARED, FIRING, HISTORY, Alert, Alerts, stored_alerts, update_alerts

ALERTMANAGER, WEBHOOK = "alertmanager", "webhook"
_KINDS = (ALERTMANAGER, WEBHOOK)
_NO_WARNING = "no official warning: made by a rule of whoever runs this copy of flood_assets"
# An alert that is not confirmed for so long is over for Alertmanager: four ticks.
_LASTS = timedelta(hours=1)
# Seconds for a connection, and for the next byte.
_PATIENCE = (5, 10)
_TRIES = 2


@dataclass(frozen=True)
class Target:
    """A receiver: its kind and its URL, which may hold a password and is never shown."""

    kind: str
    url: str

    @property
    def name(self) -> str:
        """Name for messages, without what may be secret."""
        return f"{self.kind} at {urlsplit(self.url).hostname}"

    @property
    def key(self) -> str:
        """Name in the state."""
        return blake2b(self.url.encode(), digest_size=6).hexdigest()


@dataclass(frozen=True)
class News:
    """Alert that a receiver has not been told of, and its status as it is told."""

    what: str
    alert: Alert

    @property
    def event_id(self) -> str:
        """Id of the event, the same each time it is sent."""
        moment = self.alert.cleared_at if self.what == CLEARED else self.alert.fired_at
        return f"{self.alert.alert_id}-{self.what}-{to_ms(moment or self.alert.known_at)}"


def read_targets(path: Path) -> tuple[Target, ...]:
    """Return the receivers of a file of rules, which `rules.read_rules` has read.

    Raises:
        AlertRulesError: one is not understood.
    """
    given = tomllib.loads(path.read_text(encoding="utf-8")).get("notify", [])
    if not isinstance(given, list):
        raise AlertRulesError(f"{path}: begin each receiver with a line [[notify]]")
    found = []
    for number, each in enumerate(given, 1):
        kinds = [key for key in each if key in _KINDS]
        if len(kinds) != 1 or len(each) != 1:
            raise AlertRulesError(
                f"{path}: notify {number} has {', '.join(each) or 'nothing'}: give it one of "
                'alertmanager = "http://127.0.0.1:9093" and webhook = "https://..."'
            )
        url = each[kinds[0]]
        if not isinstance(url, str) or not url.startswith(("http://", "https://")) or not urlsplit(url).hostname:
            # A wrong URL may hold a password too.
            raise AlertRulesError(f"{path}: notify {number}: {kinds[0]} is no URL: expected http:// or https://")
        found.append(Target(kinds[0], url.rstrip("/") if kinds[0] == ALERTMANAGER else url))
    return tuple(dict.fromkeys(found))


def tell(lake: Lake, targets: Sequence[Target], now: datetime) -> list[str]:
    """Tell each receiver what it has not been told, and remember that; return what went wrong.

    A receiver that does not answer holds up no other one.

    Raises:
        LakeError: the lake could not be read or written.
    """
    faults = []
    for target in targets:
        state = stored_alerts(lake, now)
        told: list[News] = []
        try:
            for news in _sent(target, state, now):
                told.append(news)  # noqa: PERF402 - what was taken before a fault is kept
        except _NotTakenError as error:
            faults.append(f"{target.name} was not told of all alerts ({error}): the next tick tries again")
        if told:
            _remember(lake, target, told)
    return faults


class _NotTakenError(Exception):
    """Receiver that did not take a message."""


def untold(target: Target, state: Alerts) -> list[News]:
    """Return what a receiver has not been told, the oldest first."""
    found = []
    for alert in state.rows:
        fired = News(FIRING, alert) if alert.fired_at is not None else None
        other = News(alert.status, alert) if alert.status != FIRING else None
        found += [news for news in (fired, other) if news and not {_mark(target, news), HISTORY} & {*alert.told}]
    return found


def _mark(target: Target, news: News) -> str:
    return f"{target.key} {news.event_id}"


def _sent(target: Target, state: Alerts, now: datetime) -> Iterator[News]:
    """Send and yield what was taken."""
    new = untold(target, state)
    if target.kind == WEBHOOK:
        for news in new:
            content = _event(news)
            _post(
                target.url, content, {"content-type": "application/cloudevents+json", "idempotency-key": content["id"]}
            )
            yield news
        return
    # Alertmanager is told all that fires again and again; what is not repeated ends there by itself.
    over = [news.alert for news in new if news.what == CLEARED]
    if alerts := [*state.firing, *over]:
        _post(f"{target.url}/api/v2/alerts", [_for_alertmanager(alert, now) for alert in alerts], {})
    yield from new


def _event(news: News) -> dict[str, Any]:
    """Return a CloudEvent 1.0."""
    alert = news.alert
    moment = alert.cleared_at if news.what == CLEARED else alert.fired_at
    return {
        "specversion": "1.0",
        "id": news.event_id,
        "source": "flood_assets/alerts",
        "type": f"flood_assets.alert.{news.what}",
        "subject": alert.subject,
        "time": _time(moment or alert.known_at),
        "datacontenttype": "application/json",
        "data": {"notice": _NO_WARNING, **_plain({k: v for k, v in asdict(alert).items() if k != "told"})},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _for_alertmanager(alert: Alert, now: datetime) -> dict[str, Any]:
    labels = {
        "alertname": alert.rule,
        "alert_id": alert.alert_id,
        "severity": alert.severity.lower(),
        "kind": alert.kind,
        "subject": alert.subject,
        "station_id": alert.station_id,
        "place": alert.label,
    }
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": f"{alert.label}: {alert.why}", "notice": _NO_WARNING},
        "startsAt": _time(alert.since),
        "endsAt": _time(alert.cleared_at or now + _LASTS),
    }


def _post(url: str, content: object, headers: Mapping[str, str]) -> None:
    import requests  # noqa: PLC0415 - only who tells somebody pays for the import

    body = json.dumps(content).encode()
    problem = ""
    for _ in range(_TRIES):
        try:
            answer = requests.post(
                url,
                data=body,
                headers={"content-type": "application/json", **headers},
                timeout=_PATIENCE,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # Its text has the URL, which may hold a password.
            problem = type(error).__name__
            continue
        if answer.ok and not answer.is_redirect:
            return
        problem = f"HTTP {answer.status_code}"
        if answer.status_code < 500 and answer.status_code != 429:
            break
    raise _NotTakenError(problem)


def _remember(lake: Lake, target: Target, told: Iterable[News]) -> None:
    marks: dict[str, list[str]] = {}
    for news in told:
        marks.setdefault(news.alert.alert_id, []).append(_mark(target, news))

    def marked(state: Alerts) -> tuple[Alerts, None]:
        rows = (
            replace(row, told=tuple(dict.fromkeys([*row.told, *marks.get(row.alert_id, ())]))) for row in state.rows
        )
        return replace(state, rows=tuple(rows)), None

    update_alerts(lake, marked)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
