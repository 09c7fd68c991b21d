"""Tell receivers what fired and cleared: at least once, and each time under the same id.

What is to be told is claimed in the state of the lake, so that of two schedulers one tells it. It is remembered there
after the receiver has confirmed it: a restart tells nothing again, and a receiver that was down gets all of the last
day once it is back.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from flood_assets.alerts.events import AlertEvents, News
from flood_assets.alerts.targets import ALERTMANAGER, APPRISE, Target
from flood_assets.errors import FloodAssetsError
from flood_assets.lake.lake import Lake
from flood_assets.lake.pipeline import in_order
from flood_assets.partitions import from_ms, to_ms, window_of
from flood_assets.query.alerts import (
    CLEARED,
    FIRING,
    HISTORY,
    NO_WARNING,
    Alert,
    Alerts,
    stored_alerts,
    update_alerts,
)
from flood_assets.sinks import dead_letters
from flood_assets.sinks.base import Sent, paused
from flood_assets.sinks.events import text_of
from flood_assets.words import counted

# An alert that is not confirmed for so long is over for Alertmanager: four ticks.
_LASTS = timedelta(hours=1)
# For so long nobody else tells what somebody has begun to tell. It ends before the next tick.
_CLAIM = timedelta(minutes=10)


@dataclass(frozen=True)
class Teller:
    """Tell receivers: with which clock, signature and patience.

    Attributes:
        clock: the current time, which a webhook signs.
        secret: signs what is sent to webhooks; None for no signature.
        pause_s: seconds before a second try.
    """

    clock: Callable[[], datetime]
    secret: str | None = None
    pause_s: float = 0.5

    def tell(self, lake: Lake, targets: Sequence[Target]) -> list[str]:
        """Tell each receiver what it has not been told, and remember that; return what went wrong.

        All are told at once, so one that does not answer holds up no other.

        Raises:
            LakeError: the lake could not be read or written.
        """
        if not targets:
            return []
        now = self.clock()
        state = stored_alerts(lake, now)
        faults = in_order(lambda target: self._tell(lake, target, state, now), targets, len(targets))
        return [fault for each in faults for fault in each]

    def _tell(self, lake: Lake, target: Target, state: Alerts, now: datetime) -> list[str]:
        news = untold(target, state)
        if news and target.kind != ALERTMANAGER:
            news = _claimed(lake, target, now)
        events = AlertEvents(tuple(news), target.page)
        if not len(events) and (target.kind != ALERTMANAGER or not state.firing):
            return []
        try:
            sent = self._sent(target, events, state, now)
        except FloodAssetsError as error:
            sent = Sent(np.zeros(len(events), np.bool_), str(error))
        if sent.refused:
            windows = [window_of(now)] * len(events)
            dead_letters.keep(lake.store, f"alerts-{target.key}", events, sent.refused, windows, now)
        told = events.chosen(sent.confirmed).news
        _remember(lake, target, events.news, told)
        faults = []
        if sent.refused:
            refused = counted(len(sent.refused), "event")
            faults.append(f"{target.name} refused {refused} for good, kept as dead letters below _published/")
        if sent.trouble:
            faults.append(_left(target, len(events) - len(told), sent.trouble))
        return faults

    def _sent(self, target: Target, events: AlertEvents, state: Alerts, now: datetime) -> Sent:
        if target.kind == ALERTMANAGER:
            self._post(target, events, state, now)
            return Sent.whole(events)
        if target.kind == APPRISE:
            from flood_assets.alerts.people import send  # noqa: PLC0415 - it needs the extra `apprise`

            return send(target.url, events)
        from flood_assets.sinks.opening import open_sink  # noqa: PLC0415 - nothing is loaded for others

        with closing(open_sink(target.url, self.clock, secret=self.secret, pause_s=self.pause_s)) as sink:
            return sink.send(events)

    def _post(self, target: Target, events: AlertEvents, state: Alerts, now: datetime) -> None:
        """Tell Alertmanager all that fires, again and again, as what is not repeated ends there; and what cleared."""
        from flood_assets.sinks.posting import Receiver, RefusedError  # noqa: PLC0415 - as above

        over = [news.alert for news in events.news if news.what == CLEARED]
        alerts = [_for_alertmanager(alert, now) for alert in (*state.firing, *over)]
        if not alerts:
            return
        url, remedy = f"{target.url}/api/v2/alerts", "correct its URL in the rules of alerts"
        body = json.dumps(alerts).encode()
        with closing(Receiver(url, target.name, remedy, paused(self.pause_s))) as receiver:
            try:
                receiver.post(body, lambda: {"content-type": "application/json"})
            except RefusedError as error:
                raise FloodAssetsError(f"{error}: is it Alertmanager with API v2?") from None


def _left(target: Target, count: int, trouble: str) -> str:
    return f"{target.name} was not told of {counted(count, 'event')} ({trouble}): the next tick tries again"


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
        "annotations": {"summary": f"{alert.label}: {alert.why}", "notice": NO_WARNING},
        "startsAt": text_of(to_ms(alert.since)),
        "endsAt": text_of(to_ms(alert.cleared_at or now + _LASTS)),
    }


def _claimed(lake: Lake, target: Target, now: datetime) -> list[News]:
    """Return what a receiver has not been told and no other scheduler is telling it now, and claim that.

    Only one of two that tell at once gets the claim. One that was killed loses it after a while.
    """

    def claimed(state: Alerts) -> tuple[Alerts | None, list[News]]:
        news = [each for each in untold(target, state) if not _is_claimed(_mark(target, each), each.alert, now)]
        if not news:
            return None, []
        claims = ((each.alert.alert_id, f"{_mark(target, each)} {to_ms(now)}") for each in news)
        return _with_marks(state, {_mark(target, each) for each in news}, claims), news

    return update_alerts(lake, claimed)


def _is_claimed(mark: str, alert: Alert, now: datetime) -> bool:
    claims = (each.removeprefix(f"{mark} ") for each in alert.told if each.startswith(f"{mark} "))
    return any(abs(now - from_ms(int(at))) < _CLAIM for at in claims)


def _remember(lake: Lake, target: Target, claimed: Sequence[News], told: Sequence[News]) -> None:
    """Remember what was told, and give up the claims of it and of what was not taken."""
    if not claimed:
        return

    def marked(state: Alerts) -> tuple[Alerts, None]:
        marks = ((each.alert.alert_id, _mark(target, each)) for each in told)
        return _with_marks(state, {_mark(target, each) for each in claimed}, marks), None

    update_alerts(lake, marked)


def _with_marks(state: Alerts, claims: Collection[str], marks: Iterable[tuple[str, str]]) -> Alerts:
    """Return a state without some claims, and with marks by the id of the alert."""
    more = defaultdict[str, list[str]](list)
    for alert_id, mark in marks:
        more[alert_id].append(mark)
    rows = []
    for row in state.rows:
        kept = [each for each in row.told if each.rpartition(" ")[0] not in claims]
        rows.append(replace(row, told=tuple(dict.fromkeys([*kept, *more[row.alert_id]]))))
    return replace(state, rows=tuple(rows))
