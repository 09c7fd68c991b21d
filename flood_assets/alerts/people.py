"""Tell people by Apprise (extra `apprise`): by mail, Slack, Teams and what else it knows, in plain text.

Each alert is a message of its own, but more than `MOST_MESSAGES` at once are one digest: a storm sends no 300 mails.
What fired and cleared since the last time is told once, as it is now.
"""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_assets.alerts import saying
from flood_assets.alerts.events import AlertEvents
from flood_assets.errors import SettingsError
from flood_assets.grouping import Flags
from flood_assets.query.alerts import CLEARED, FIRING
from flood_assets.sinks.base import Sent, SinkError

if TYPE_CHECKING:
    import apprise

# Apprise waits seconds between two messages, 5.5 of mail: the next tick is not to wait for them.
MOST_MESSAGES = 3


def send(url: str, events: AlertEvents) -> Sent:
    """Send alerts to a URL of Apprise; SinkError if nothing was taken, SettingsError if that is no URL of it."""
    try:
        import apprise  # noqa: PLC0415 - the extra may not be installed, and it takes its time
    except ImportError:
        raise SinkError("Apprise is not installed: pip install 'flood-assets[apprise]'") from None
    # It logs URLs that it does not understand, and these may hold passwords.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    asset = apprise.AppriseAsset(app_id="flood_assets", app_desc="Alerts of flood_assets", async_mode=False)
    given = apprise.Apprise(asset=asset)
    if not given.add(url):
        raise SettingsError("Apprise does not understand the URL: compare it with Apprise's documentation of its kind")
    confirmed: Flags = np.zeros(len(events), np.bool_)
    for places, title, text, kind in _messages(events):
        if not given.notify(body=text, title=title, notify_type=_type(apprise, kind), body_format="text"):
            trouble = "it was not taken: check address, password and network"
            if not confirmed.any():
                raise SinkError(trouble)
            return Sent(confirmed, trouble)
        confirmed[places] = True
    return Sent(confirmed)


def _messages(events: AlertEvents) -> list[tuple[list[int], str, str, str]]:
    """Return the messages: the places of the events that each tells, its title, its text, and what it tells."""
    places: dict[str, list[int]] = {}
    for place, each in enumerate(events.news):
        places.setdefault(each.alert.alert_id, []).append(place)
    last = [events.news[each[-1]] for each in places.values()]
    if len(last) <= MOST_MESSAGES:
        return [
            (each, saying.title(news.alert, news.what), saying.text(news.alert, news.what, events.page), news.what)
            for each, news in zip(places.values(), last, strict=True)
        ]
    title, text = saying.digest([(news.alert, news.what) for news in last], events.page)
    return [(list(range(len(events))), title, text, FIRING if any(n.what == FIRING for n in last) else last[0].what)]


def _type(module: Any, what: str) -> "apprise.NotifyType":
    kinds = {FIRING: module.NotifyType.WARNING, CLEARED: module.NotifyType.SUCCESS}
    return kinds.get(what, module.NotifyType.INFO)
