"""The page of alerts, the Atom feed, and CAP 1.2, whose structure is held against the standard's own lists."""

import re
from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest

from flood_assets.lake.lake import Lake
from flood_assets.query.alerts import CLEARED, FIRING, LEARNT_LATE, Alert, Alerts, UsedReading, update_alerts
from flood_assets.serve.cap import cap
from flood_assets.serve.pages import words
from flood_assets_tests.support.lake_rows import NOW
from flood_assets_tests.support.served import served

HOUR = timedelta(hours=1)
CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
ATOM = "{http://www.w3.org/2005/Atom}"
FIRES = Alert(
    "aa11", "Mill <high> & more", "above", "m", FIRING, "Severe", "Mill", "1.2 m and 1.3 m: at or above 1.0 m",
    NOW - HOUR, NOW - HOUR, (UsedReading(NOW - HOUR, 1.2, 1),), 1.0, "m", 1.3, NOW, 1.3, NOW,
    fired_at=NOW - HOUR, station_id="S", lat=51.0, long=-1.25,
)  # fmt: skip
ENDED = replace(FIRES, alert_id="bb22", status=CLEARED, until=NOW, cleared_at=NOW, ended_because="0.9 m")
LATE = replace(FIRES, alert_id="cc33", status=LEARNT_LATE, fired_at=None, lat=None, unknown="nothing newer")
API = replace(FIRES, alert_id="dd44", kind="api_late", subject="api", label="The API", station_id=None, readings=())
ALL = (FIRES, ENDED, LATE, API)

# CAP 1.2, section 3.2: the elements of each part in the order of its schema, those that must be there, and values.
ORDER = {
    "alert": "identifier sender sent status msgType source scope restriction addresses code note references "
    "incidents info",
    "info": "language category event responseType urgency severity certainty audience eventCode effective onset "
    "expires senderName headline description instruction web contact parameter resource area",
    "parameter": "valueName value",
    "area": "areaDesc polygon circle geocode altitude ceiling",
}
NEEDED = {
    "alert": "identifier sender sent status msgType scope restriction info",
    "info": "category event urgency severity certainty",
    "parameter": "valueName value",
    "area": "areaDesc",
}
SEVERAL = {"parameter", "category", "circle"}
VALUES = {
    "status": "Actual Exercise System Test Draft",
    "msgType": "Alert Update Cancel Ack Error",
    "scope": "Restricted",
    "category": "Geo Met Safety Security Rescue Fire Health Env Transport Infra CBRNE Other",
    "urgency": "Immediate Expected Future Past Unknown",
    "severity": "Extreme Severe Moderate Minor Unknown",
    "certainty": "Observed Likely Possible Unlikely Unknown",
}
TIME, NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d"), re.compile(r"[^\s,<&]+")
FORMS = {
    **{name: re.compile("|".join(values.split())) for name, values in VALUES.items()},
    **dict.fromkeys(("sent", "onset", "expires", "effective"), TIME),
    **dict.fromkeys(("identifier", "sender"), NAME),
    "circle": re.compile(r"-?\d+\.\d+,-?\d+\.\d+ \d+"),
}


def faults(element: ET.Element) -> list[str]:
    """Return what an element has that the standard does not allow."""
    name = element.tag.removeprefix(CAP)
    order, children = ORDER[name].split(), [child.tag.removeprefix(CAP) for child in element]
    found = [f"{name} has {child}" for child in children if child not in order]
    found += [f"{name} is out of order"] * (children != sorted(children, key=order.index))
    found += [f"{name} lacks {each}" for each in NEEDED[name].split() if each not in children]
    found += [f"{name} repeats {each}" for each in set(children) - SEVERAL if children.count(each) > 1]
    for child in element:
        tag, text = child.tag.removeprefix(CAP), child.text or ""
        if tag in ORDER:
            found += faults(child)
        elif tag in FORMS and not FORMS[tag].fullmatch(text):
            found.append(f"{tag} is {text}")
    return found


@pytest.mark.parametrize("alert", ALL, ids=lambda alert: alert.alert_id)
def test_an_alert_is_valid_cap_is_restricted_and_says_that_it_is_no_official_warning(alert):
    root = ET.fromstring(cap(alert))
    assert root.tag == f"{CAP}alert"
    assert faults(root) == []
    assert root.findtext(f"{CAP}scope") == "Restricted"
    assert "no official warning" in root.findtext(f"{CAP}restriction")
    assert "no official warning" in root.findtext(f"{CAP}info/{CAP}description")


def test_the_rules_of_cap_find_faults():
    text = cap(FIRES).decode()
    for old, new, fault in (
        ("<scope>Restricted", "<scope>Public", "scope is Public"),
        ("-00:00</sent>", "Z</sent>", "sent is 2026-11-21T08:07:30Z"),
        ("<sender>flood-assets", "<sender>flood assets", "sender is flood assets"),
        ("<severity>Severe</severity>", "", "info lacks severity"),
        ("<source>Mill", "<note>x</note><source>Mill", "alert is out of order"),
    ):
        assert old in text
        assert fault in faults(ET.fromstring(text.replace(old, new)))


def test_the_end_of_an_alert_cancels_its_message():
    root = ET.fromstring(cap(ENDED))
    assert (root.findtext(f"{CAP}msgType"), root.findtext(f"{CAP}identifier")) == ("Cancel", "bb22-cleared")
    assert root.findtext(f"{CAP}references") == "flood-assets,bb22,2026-11-21T08:07:30-00:00"


@pytest.fixture
def lake(tmp_path):
    lake = Lake.open(tmp_path / "lake")
    lake.claim("https://flood.example")
    update_alerts(lake, lambda _: (Alerts(ALL, NOW, ("rule 'x': no river is called 'Styx'",)), None))
    return lake


def test_page_feed_and_messages_are_served_from_the_stored_state(lake):
    with served(lake, NOW) as site:
        shown = site.client.get("/alerts", headers={"accept": "text/html"})
        assert shown.status_code == 200
        for said in ("2 alerts firing.", "no official warning", "Mill &lt;high&gt; &amp; more", "Learnt late", "Styx"):
            assert said in shown.text
        feed = site.client.get("/alerts.atom")
        assert feed.headers["content-type"].startswith("application/atom+xml")
        root = ET.fromstring(feed.content)
        entries = root.findall(f"{ATOM}entry")
        assert {each.find(f"{ATOM}category").get("term") for each in entries} == {FIRING, CLEARED, LEARNT_LATE}
        assert all(root.find(f"{ATOM}{name}") is not None for name in ("id", "title", "updated", "author"))
        for entry in entries:
            message = site.client.get(entry.find(f"{ATOM}link").get("href"))
            assert message.headers["content-type"] == "application/cap+xml"
            assert faults(ET.fromstring(message.content)) == []
        assert site.client.get("/alerts/zz.cap").status_code == 404


def test_times_in_sentences_are_those_of_the_clocks_and_texts_are_escaped():
    shown = words.sentence("1.200 m at 2026-07-01 08:00Z: <b>")
    assert "Wed 1 Jul, 09:00 BST" in shown
    assert "(08:00 UTC)" in shown
    assert "2026-07-01 08:00Z" not in shown
    assert shown.endswith(": &lt;b&gt;")


def test_without_alerts_the_page_says_so(tmp_path):
    lake = Lake.open(tmp_path / "lake")
    lake.claim("https://flood.example")
    with served(lake, NOW) as site:
        assert "No alerts were judged" in site.client.get("/alerts", headers={"accept": "text/html"}).text
        assert ET.fromstring(site.client.get("/alerts.atom").content).findall(f"{ATOM}entry") == []
