"""Write an alert as a message of the Common Alerting Protocol 1.2 (OASIS, July 2010).

Each is `Restricted` and says that it is no official warning: whoever passes it on must not take it for one.
"""

from datetime import datetime
from xml.etree import ElementTree as ET

from flood_assets.query.alerts import ADVICE, CLEARED, FIRING, NO_WARNING, Alert, headline

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
MEDIA_TYPE = "application/cap+xml"
SENDER = "flood-assets"
# What is wrong with gauges or the API is no flood.
_OF_INSTRUMENTS = ("silent", "late", "api_late")
_EVENTS = {
    "above": "High level",
    "below": "Low level",
    "band": "Level outside its typical range",
    "record": "Level near its record",
    "rising": "Rising level",
    "rain": "Heavy rain",
    "silent": "Silent gauge",
    "late": "Late gauge",
    "warning": "Flood warning in an area",
    "api_late": "Late source of data",
}
_AREA_KM = 1


def cap(alert: Alert) -> bytes:
    """Return the message of an alert as it is now: Alert while it lasts, Cancel of that one once it has cleared."""
    root = ET.Element("alert", xmlns=NAMESPACE)
    cancelled = alert.status == CLEARED
    sent = (alert.cleared_at if cancelled else alert.fired_at) or alert.known_at
    add(root, "identifier", identifier(alert))
    add(root, "sender", SENDER)
    add(root, "sent", _time(sent))
    add(root, "status", "Actual")
    add(root, "msgType", "Cancel" if cancelled else "Alert")
    add(root, "source", alert.rule)
    add(root, "scope", "Restricted")
    add(root, "restriction", NO_WARNING)
    add(root, "note", alert.ended_because or alert.unknown or "")
    if cancelled:
        add(root, "references", f"{SENDER},{alert.alert_id},{_time(alert.fired_at or alert.known_at)}")
    _info(ET.SubElement(root, "info"), alert)
    body: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return body


def identifier(alert: Alert) -> str:
    """Return the message's identifier: that of its end is another one than that of its beginning."""
    return f"{alert.alert_id}-cleared" if alert.status == CLEARED else alert.alert_id


def _info(info: ET.Element, alert: Alert) -> None:
    over = alert.status != FIRING
    add(info, "language", "en-GB")
    add(info, "category", "Infra" if alert.kind in _OF_INSTRUMENTS else "Met")
    add(info, "event", _EVENTS[alert.kind])
    # No advice is given, so nothing is said of how soon one must act.
    add(info, "urgency", "Past" if over else "Unknown")
    add(info, "severity", alert.severity)
    add(info, "certainty", "Observed")
    add(info, "onset", _time(alert.since))
    add(info, "expires", _time(alert.until) if alert.until else "")
    add(info, "senderName", "flood_assets, no official service")
    add(info, "headline", headline(alert))
    add(info, "description", f"{alert.why}. {NO_WARNING}")
    add(info, "instruction", ADVICE)
    named = {"rule": alert.rule, "kind": alert.kind, "subject": alert.subject, "status": alert.status}
    numbers = {name: getattr(alert, name) for name in ("threshold", "value", "peak")}
    named |= {name: f"{number:.3f}" for name, number in numbers.items() if number is not None}
    for name, value in (named | ({"unit": alert.unit} if alert.unit else {})).items():
        parameter = ET.SubElement(info, "parameter")
        add(parameter, "valueName", name)
        add(parameter, "value", value)
    area = ET.SubElement(info, "area")
    add(area, "areaDesc", alert.label or alert.subject)
    if alert.lat is not None and alert.long is not None:
        add(area, "circle", f"{alert.lat:.5f},{alert.long:.5f} {_AREA_KM}")


def add(parent: ET.Element, name: str, text: str) -> None:
    """Add an element with a text, without characters that XML cannot have; none for an empty text."""
    if text:
        ET.SubElement(parent, name).text = "".join(c for c in text if c >= " " or c in "\t\n")


def _time(moment: datetime) -> str:
    """Return a time as CAP wants it: UTC is -00:00, and never Z."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}-00:00"
