"""Judge the rules that ask how things are now: silent and late gauges, flood warnings, the API as a whole. Pure.

A gauge is judged by when its next reading was due, at the moment when the API was last asked, so that our own pause
makes no gauge silent. As long as the API is late as a whole, one alert says so and no gauge becomes silent or late.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flood_assets.alerts.evidence import Evidence, Gauge
from flood_assets.alerts.rules import API_RULE, WARNINGS, Rule
from flood_assets.partitions import RETENTION, utc
from flood_assets.query.alerts import CLEARED, FIRING, Alert, alert_id

KINDS = ("silent", "late", "warning", "api_late")
API = "api"
# Fewer gauges say nothing of the API as a whole.
_FEWEST = 10


@dataclass(frozen=True)
class Found:
    """State of a subject now.

    Attributes:
        holds: True if the rule holds for it; None if that is not known.
        since: since when.
        why: in a sentence; of one that does not hold, why it ended.
        about: fields of the alert.
    """

    holds: bool | None
    since: datetime
    why: str
    about: Mapping[str, Any]


def with_api(rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules, and one about the API if gauges may be silent and no rule is about it."""
    kinds = {rule.kind for rule in rules}
    needed = kinds & {"silent", "late"} and "api_late" not in kinds
    return [*rules, *([API_RULE] if needed else [])]


def judge(
    rule: Rule, known: Mapping[str, list[Alert]], evidence: Evidence, now: datetime, *, outage: bool
) -> list[Alert]:
    """Return the alerts of a rule as they are now; `outage` is True while the API is late as a whole."""
    found = dict(_found(rule, known, evidence, now))
    after = [alert for rows in known.values() for alert in rows if not alert.lasts]
    lasting = {subject: alert for subject, rows in known.items() for alert in rows if alert.lasts}
    for subject, alert in lasting.items():
        after.append(_continued(alert, found.get(subject), evidence.chosen.get(rule.name) is None, now))
    for subject, state in found.items():
        inhibited = outage and rule.kind in ("silent", "late")
        if state.holds and subject not in lasting and not inhibited:
            after.append(_new(rule, subject, state, now, {alert.alert_id for alert in after}))
    return after


def _continued(alert: Alert, state: Found | None, unread: bool, now: datetime) -> Alert:
    gone = "no longer in force" if alert.kind == "warning" else "the rule no longer chooses it"
    if state is None and not unread:
        state = Found(False, now, gone, {})
    if state is None or state.holds is None:
        why = state.why if state else "no list of the last hour"
        if alert.value_at is not None and now - alert.value_at >= RETENTION:
            return _over(alert, f"not known any more: {why}", now)
        return replace(alert, unknown=why)
    if not state.holds:
        return _over(alert, state.why, now)
    return replace(alert, unknown=None, **state.about)


def _over(alert: Alert, why: str, now: datetime) -> Alert:
    return replace(alert, status=CLEARED, until=now, cleared_at=now, ended_because=why, unknown=None)


def _new(rule: Rule, subject: str, state: Found, now: datetime, known: set[str]) -> Alert:
    since = utc(state.since)
    name = alert_id(rule.name, subject, since)
    return Alert(
        # Something may begin twice at one time: a gauge that is chosen anew, a warning that left the list for a while.
        alert_id=name if name not in known else alert_id(rule.name, subject, now),
        rule=rule.name,
        kind=rule.kind,
        subject=subject,
        status=FIRING,
        severity=rule.severity,
        why=state.why,
        since=since,
        known_at=now,
        fired_at=now,
        **{"label": subject, **state.about},
    )


def _found(
    rule: Rule, known: Mapping[str, list[Alert]], evidence: Evidence, now: datetime
) -> Iterator[tuple[str, Found]]:
    if rule.kind == "api_late":
        lasts = any(alert.lasts for alert in known.get(API, ()))
        yield API, _api(rule, evidence, now, lasts=lasts)
    elif rule.kind == "warning":
        for row in evidence.chosen.get(rule.name) or ():
            # One of unknown severity is in force, as an alert is.
            if isinstance(row, Mapping) and (row["severity_level"] or 3) <= WARNINGS[rule.word]:
                yield row["flood_area_id"], _warned(row, now)
    else:
        asked = evidence.asked_at(now)
        for measure_id in evidence.chosen.get(rule.name) or ():
            yield str(measure_id), _reporting(rule, evidence.gauges[str(measure_id)], asked, now)


def _reporting(rule: Rule, gauge: Gauge, asked: datetime | None, now: datetime) -> Found:
    about = {
        "label": gauge.label,
        "station_id": gauge.station_id,
        "lat": gauge.lat,
        "long": gauge.long,
        "value_at": gauge.newest_at,
    }
    due = gauge.next_due_at
    limit = gauge.silent_from if rule.kind == "silent" else due
    if due is None or limit is None or asked is None:
        return Found(None, now, "it is not known when its next reading is due", about)
    if asked < limit:
        return Found(False, due, "it reports again", about)
    last = f"{gauge.newest_at:%Y-%m-%d %H:%MZ}" if gauge.newest_at else "none"
    why = f"its next reading was due at {due:%Y-%m-%d %H:%MZ}; the newest is of {last}"
    return Found(True, due, why, about)


def _warned(row: Mapping[str, Any], now: datetime) -> Found:
    about = {
        "label": row["label"] or row["description"] or row["flood_area_id"],
        "lat": row["lat"],
        "long": row["long"],
        "value": None if row["severity_level"] is None else float(row["severity_level"]),
        "value_at": row["observed_at"],
    }
    severity = row["severity"] or "flood warning"
    return Found(True, row["severity_changed_at"] or row["first_seen_at"] or now, f"{severity} in force", about)


def _api(rule: Rule, evidence: Evidence, now: datetime, *, lasts: bool) -> Found:
    """Judge the API as a whole; half as many late gauges as make it late end that."""
    about: dict[str, Any] = {"label": "The flood-monitoring API"}
    asked = evidence.asked_at(now)
    if asked is None:
        return Found(None, now, "the API was never asked", about)
    if now - asked > rule.span:
        return Found(True, asked, f"it was last asked with success at {asked:%Y-%m-%d %H:%MZ}", about)
    if evidence.overdue is None or evidence.reporting < _FEWEST:
        return Found(False, asked, "it answers", about)
    share = evidence.overdue / evidence.reporting
    limit = rule.share / 2 if lasts else rule.share
    if share >= limit:
        why = f"{evidence.overdue:,} of {evidence.reporting:,} gauges are late"
        return Found(True, now, why, about)
    return Found(False, now, f"it answers, and {1 - share:.0%} of the gauges are in time", about)
