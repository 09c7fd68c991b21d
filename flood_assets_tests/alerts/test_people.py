"""People are told in words, by Apprise: one mail for each alert, one for many at once, and none twice."""

import logging
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import apprise
import pytest

from flood_assets.alerts import saying
from flood_assets.alerts.events import AlertEvents, News
from flood_assets.alerts.judging import judge_lake
from flood_assets.alerts.notify import Teller
from flood_assets.alerts.people import MOST_MESSAGES
from flood_assets.alerts.targets import APPRISE, Target
from flood_assets.query.alerts import CLEARED, FIRING, LEARNT_LATE, stored_alerts, update_alerts
from flood_assets_tests.alerts.test_lake import RULES, VALUES, lake, read_out
from flood_assets_tests.support.mailbox import mailbox

__all__ = ["lake"]

PAGE = "https://floods.example.org/alerts"


@pytest.fixture
def box(monkeypatch):
    # Apprise waits between two mails.
    monkeypatch.setattr(apprise.plugins.NotifyBase, "request_rate_per_sec", 0)
    with mailbox() as found:
        yield found


@pytest.fixture
def firing(lake):
    """The state with one alert that fires, and its tick."""
    *_, now = read_out(lake, VALUES[:4])
    judge_lake(lake, RULES, now)
    (alert,) = stored_alerts(lake, now).rows
    return alert, now


def tell(lake, box, now):
    return Teller(lambda: now).tell(lake, [Target(APPRISE, box.url, PAGE)])


def several(lake, alert, count):
    """Store so many alerts that fire."""
    rows = tuple(replace(alert, alert_id=f"a{n}", label=f"Mill {n}") for n in range(count))
    update_alerts(lake, lambda state: (replace(state, rows=rows), None))


def test_a_mail_tells_once_what_fires_and_once_that_it_cleared(lake, box):
    for now in read_out(lake, VALUES):
        for _ in range(3):
            judge_lake(lake, RULES, now)
            assert tell(lake, box, now) == []
    assert [mail["subject"] for mail in box.mails] == ["Alert: Mill high: Mill", "Cleared: Mill high: Mill"]
    first, second = (mail.get_content() for mail in box.mails)
    assert "Firing since 21 November 2026 07:15 GMT (07:15 UTC)." in first
    assert "Why: 1.200 mASD at 21 November 2026 07:15 GMT (07:15 UTC) and 1.300 mASD at" in first
    assert "This is no official warning." in first
    assert f"All alerts: {PAGE}" in first
    assert "Cleared 21 November 2026 08:15 GMT (08:15 UTC); it had lasted since" in second
    assert "Peak: 1.400 mASD at 21 November 2026 07:45 GMT (07:45 UTC)." in second
    assert {mail.get_content_type() for mail in box.mails} == {"text/plain"}


@pytest.mark.parametrize(("count", "mails"), [(1, 1), (MOST_MESSAGES, MOST_MESSAGES), (MOST_MESSAGES + 1, 1), (300, 1)])
def test_a_storm_is_one_mail(lake, firing, box, count, mails):
    alert, now = firing
    several(lake, alert, count)
    assert tell(lake, box, now) == []
    assert tell(lake, box, now) == []
    assert len(box.mails) == mails
    if count > MOST_MESSAGES:
        (mail,) = box.mails
        assert mail["subject"] == f"{count} alerts: {count} firing"
        text = mail.get_content()
        assert text.count("\n- Alert: Mill high: Mill ") == min(count, saying.LISTED)
        assert ("and 250 more." in text) == (count == 300)
        assert "This is no official warning." in text


def test_what_fired_and_cleared_while_the_server_was_away_is_one_mail_of_its_end(lake, box):
    box.full = True
    *_, last = list(read_out(lake, VALUES[:-1]))
    for now in (last - timedelta(minutes=45), last):
        judge_lake(lake, RULES, now)
        faults = tell(lake, box, now)
    (fault,) = faults
    assert "apprise mailto:// was not told of 2 events (it was not taken: check address, password" in fault
    box.full = False
    assert tell(lake, box, last) == []
    assert [mail["subject"] for mail in box.mails] == ["Cleared: Mill high: Mill"]


def test_what_apprise_does_not_understand_is_said_without_the_url(lake, firing, caplog):
    _, now = firing
    with caplog.at_level(logging.DEBUG):
        (fault,) = Teller(lambda: now).tell(lake, [Target(APPRISE, "nonsense://me:secret@x")])
    assert "apprise nonsense:// was not told of 1 event (Apprise does not understand the URL" in fault
    assert "secret" not in fault + caplog.text


def test_without_the_extra_it_is_named(lake, firing, monkeypatch):
    _, now = firing
    monkeypatch.setitem(sys.modules, "apprise", None)
    (fault,) = Teller(lambda: now).tell(lake, [Target(APPRISE, "mailto://me:secret@x")])
    assert "Apprise is not installed: pip install 'flood-assets[apprise]'" in fault


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2026, 7, 1, 8, 5, tzinfo=UTC), "1 July 2026 09:05 BST (08:05 UTC)"),
        (datetime(2026, 7, 1, 23, 30, tzinfo=UTC), "2 July 2026 00:30 BST (01 July 23:30 UTC)"),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "25 October 2026 01:30 BST (00:30 UTC)"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "25 October 2026 01:30 GMT (01:30 UTC)"),
    ],
)
def test_times_are_those_of_the_clocks_of_england_with_utc_beside(moment, said):
    assert saying.clock(moment) == said


def test_information_is_no_alarm(firing):
    alert, now = firing
    late = replace(alert, status=LEARNT_LATE, fired_at=None, until=now)
    assert saying.title(late, LEARNT_LATE) == "Learnt late: Mill high: Mill"
    assert "It is information and no alarm." in saying.text(late, LEARNT_LATE, None)
    assert "All alerts" not in saying.text(late, LEARNT_LATE, None)


def test_a_notice_of_a_topic_has_the_same_words(firing):
    alert, _ = firing
    (notice,) = AlertEvents((News(FIRING, alert),), PAGE).notices()
    assert (notice.subject, notice.text) == (saying.title(alert, FIRING), saying.text(alert, FIRING, PAGE))
    assert notice.filters == {"rule": "Mill high", "kind": "above", "severity": "Severe"}
    assert News(CLEARED, alert).event_id != News(FIRING, alert).event_id
