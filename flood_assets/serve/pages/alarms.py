"""Answer with the alerts of the lake: a page, an Atom feed, and each as CAP 1.2.

They are judged elsewhere; here the stored state is read from the frozen lake.
"""

from datetime import datetime, timedelta
from xml.etree import ElementTree as ET

from starlette.requests import Request

from flood_assets.query.alerts import CLEARED, FIRING, LEARNT_LATE, NO_WARNING, Alert, headline, stored_alerts
from flood_assets.serve.bodies import Body
from flood_assets.serve.cap import MEDIA_TYPE, add, cap, identifier
from flood_assets.serve.pages.render import page, problem
from flood_assets.serve.snapshot import Snapshot

_ATOM = "http://www.w3.org/2005/Atom"
_HOLDS = timedelta(seconds=30)


def alarms(_: Request, snapshot: Snapshot, now: datetime) -> Body:
    """Return the page of the alerts."""
    state = stored_alerts(snapshot.lake, now)
    over = sorted((each for each in state.rows if each.status == CLEARED), key=_moment, reverse=True)
    late = sorted((each for each in state.rows if each.status == LEARNT_LATE), key=_moment, reverse=True)
    old = state.is_old(now)
    return page("alarms.html", snapshot, now, state=state, over=over, late=late, overdue=old, no_warning=NO_WARNING)


def feed(_: Request, snapshot: Snapshot, now: datetime) -> Body:
    """Return the alerts of the last day as an Atom feed, the latest first, each with a link to its CAP message."""
    state = stored_alerts(snapshot.lake, now)
    rows = sorted(state.rows, key=_moment, reverse=True)
    root = ET.Element("feed", xmlns=_ATOM)
    add(root, "id", "urn:flood-assets:alerts")
    add(root, "title", "Alerts of flood_assets: no official warnings")
    add(root, "subtitle", NO_WARNING)
    add(root, "updated", _time(max([*map(_moment, rows), *([state.judged_at] if state.judged_at else [])] or [now])))
    ET.SubElement(root, "link", rel="self", href="/alerts.atom", type="application/atom+xml")
    ET.SubElement(root, "link", rel="alternate", href="/alerts", type="text/html")
    add(ET.SubElement(root, "author"), "name", "flood_assets")
    for alert in rows:
        entry = ET.SubElement(root, "entry")
        add(entry, "id", f"urn:flood-assets:alert:{identifier(alert)}")
        add(entry, "title", headline(alert))
        add(entry, "updated", _time(_moment(alert)))
        add(entry, "published", _time(alert.known_at))
        ET.SubElement(entry, "link", rel="alternate", href=f"/alerts/{alert.alert_id}.cap", type=MEDIA_TYPE)
        ET.SubElement(entry, "category", term=alert.status)
        add(entry, "summary", f"{alert.why}. {alert.ended_because or alert.unknown or ''}".strip())
    body = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return Body(body, "application/atom+xml; charset=utf-8", snapshot.modified, now + _HOLDS)


def message(request: Request, snapshot: Snapshot, now: datetime) -> Body:
    """Return one alert as CAP."""
    wanted = request.path_params["alert_id"]
    for alert in stored_alerts(snapshot.lake, now).rows:
        if alert.alert_id == wanted:
            return Body(cap(alert), MEDIA_TYPE, snapshot.modified, now + _HOLDS)
    return problem(snapshot, now, 404, "There is no such alert", "Alerts are kept until a day after their end.")


def _moment(alert: Alert) -> datetime:
    """Return when an alert last changed its status."""
    return alert.cleared_at or (alert.fired_at if alert.status == FIRING else None) or alert.known_at


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
