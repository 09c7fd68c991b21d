"""Decide by rules and evidence which alerts fire, last and clear. Pure: the state before in, the state after out.

An alert is the same if it overlaps one that is known, so nothing fires twice. What was over, or too old, when it became
known is information and not an alarm.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from flood_assets import quality
from flood_assets.alerts import present
from flood_assets.alerts.episodes import Episode, Point, episodes
from flood_assets.alerts.evidence import Evidence, Gauge
from flood_assets.alerts.rules import Rule
from flood_assets.alerts.series import Series, series_of
from flood_assets.partitions import RETENTION, from_ms, to_ms
from flood_assets.query.alerts import (
    CLEARED,
    FIRING,
    HISTORY,
    LEARNT_LATE,
    Alert,
    Alerts,
    UsedReading,
    alert_id,
    retained,
)

# What rules of kinds of series say in a sentence.
_SAID = {
    "above": "at or above {}",
    "below": "at or below {}",
    "band": "beyond {}, the end of its range",
    "record": "at or above {}, a share of the highest on record",
    "rising": "rising by {} or more",
    "rain": "at or above {}",
}
# Where values are back, by the side that is beyond the threshold.
_AWAY = {1: "below", -1: "above"}


@dataclass(frozen=True)
class Event:
    """Something to tell: an alert that fired, cleared or was learnt late; `what` is its status then."""

    what: str
    alert: Alert


@dataclass(frozen=True)
class Judged:
    """The result of judging.

    Attributes:
        after: the state after.
        events: what is new in it.
        remarks: how many gauges each rule leaves out, as it must.
    """

    after: Alerts
    events: tuple[Event, ...]
    remarks: tuple[str, ...] = ()


def judge(before: Alerts, rules: Sequence[Rule], evidence: Evidence, now: datetime) -> Judged:
    """Judge all rules.

    Args:
        before: the state as it was stored.
        rules: as they are now; alerts of a rule that is gone end.
        evidence: what is known at `now`.
        now: decides what is too old to fire, and what is forgotten.
    """
    known = defaultdict[tuple[str, str], list[Alert]](list)
    for alert in before.rows:
        known[alert.rule, alert.subject].append(alert)
    after: list[Alert] = []
    notes, remarks = list(evidence.notes), list[str]()
    asked = present.with_api(rules)
    outage = False
    # The API first: as long as it is late, no gauge is called silent.
    for rule in sorted(asked, key=lambda each: each.kind != "api_late"):
        of_rule = {subject: known.pop((name, subject)) for name, subject in [*known] if name == rule.name}
        if rule.kind in present.KINDS:
            found = present.judge(rule, of_rule, evidence, now, outage=outage)
            outage |= rule.kind == "api_late" and any(alert.status == FIRING for alert in found)
            after += found
        else:
            after += _of_series(rule, of_rule, evidence, now, notes, remarks)
    gone = "the rule is gone"
    after += [ended(alert, gone, None, now) if alert.lasts else alert for rows in known.values() for alert in rows]
    after = [_as_history(alert, now) if alert.rule not in before.rules else alert for alert in after]
    rows = tuple(sorted(retained(tuple(after), now), key=lambda alert: (alert.since, alert.alert_id)))
    judged = Alerts(rows, now, tuple(notes), tuple(rule.name for rule in asked))
    return Judged(judged, tuple(_events(before.rows, rows)), tuple(remarks))


def _as_history(alert: Alert, now: datetime) -> Alert:
    """Return an alert of a rule that is judged for the first time: what was over before is told to nobody."""
    over = alert.status == LEARNT_LATE and not alert.lasts and alert.known_at == now
    return replace(alert, told=(HISTORY,)) if over else alert


def ended(alert: Alert, why: str, until: datetime | None, now: datetime) -> Alert:
    """Return an alert that ends; one that never fired stays information."""
    status = CLEARED if alert.status == FIRING else alert.status
    return replace(alert, status=status, until=until or now, cleared_at=now, ended_because=why, unknown=None)


def _events(before: Iterable[Alert], after: Iterable[Alert]) -> Iterator[Event]:
    """Yield what has another status than before: an alert fires, clears, or is learnt late."""
    was = {alert.alert_id: alert for alert in before}
    for alert in after:
        old = was.get(alert.alert_id)
        if HISTORY not in alert.told and (old is None or old.status != alert.status):
            yield Event(alert.status, alert)


def _of_series(
    rule: Rule,
    known: Mapping[str, list[Alert]],
    evidence: Evidence,
    now: datetime,
    notes: list[str],
    remarks: list[str],
) -> Iterator[Alert]:
    ids = [str(each) for each in evidence.chosen.get(rule.name) or ()]
    without = 0
    for measure_id in ids:
        gauge = evidence.gauges[measure_id]
        series = series_of(rule, gauge, now)
        without += bool(series.unknown)
        stored = sorted(known.get(measure_id, ()), key=lambda alert: alert.since)
        if stored or any(point.side > 0 for point in series.points):
            yield from _of_gauge(rule, gauge, series, stored, now)
    if without:
        # A rule of bands for all gauges leaves out tides, rain and flows: that is no fault, unless it leaves out all.
        said = f"rule '{rule.name}': no typical range or record belongs to {without:,} of {len(ids):,} gauges"
        (notes if without == len(ids) else remarks).append(said)
    for subject, rows in known.items():
        if subject not in ids:
            yield from (_unheard(alert, "the rule no longer chooses it", now) for alert in rows)


def _of_gauge(rule: Rule, gauge: Gauge, series: Series, stored: Sequence[Alert], now: datetime) -> Iterator[Alert]:
    points = series.points
    first = from_ms(points[0].at) if points else now
    begun = next((alert for alert in stored if alert.since < first and (not alert.until or alert.until > first)), None)
    found = episodes(
        points, needed=series.needed, gap=series.gap, sign=series.sign, begun=_begun(begun) if begun else None
    )
    left = list(stored)
    for episode in found if points else ():
        old = next((alert for alert in left if _overlap(alert, episode)), None)
        if old is not None:
            left.remove(old)
        yield _alert(rule, gauge, series, episode, old, now)
    for alert in left:
        if alert.lasts and points and alert.since >= first:
            yield ended(alert, _no_longer(alert, series), None, now)
        else:
            yield _unheard(alert, "no reading that can be used", now)


def _no_longer(alert: Alert, series: Series) -> str:
    """Return why readings that made an alert make none any more."""
    if alert.threshold == series.threshold:
        return "the readings were corrected"
    return f"the threshold is {_number(series.threshold, series.unit)} now, and was not reached"


def _begun(alert: Alert) -> Episode:
    """Return a stored alert as an episode, in the order in which it is continued."""
    on = tuple(Point(to_ms(each.date_time), each.value, 1, each.flag) for each in alert.readings)
    peak = Point(to_ms(alert.peak_at or alert.since), alert.peak if alert.peak is not None else on[0].value, 1)
    return Episode(to_ms(alert.since), on, peak, ())


def _overlap(alert: Alert, episode: Episode) -> bool:
    starts = max(to_ms(alert.since), episode.since)
    ends = [each for each in (to_ms(alert.until) if alert.until else None, episode.until) if each is not None]
    return all(starts <= end for end in ends)


def _alert(rule: Rule, gauge: Gauge, series: Series, episode: Episode, old: Alert | None, now: datetime) -> Alert:
    """Return the alert of an episode: a new one, or the one that is known as it is now."""
    since = from_ms(episode.since)
    newest = series.points[-1]
    base = old or Alert(
        alert_id=alert_id(rule.name, gauge.measure_id, since),
        rule=rule.name,
        kind=rule.kind,
        subject=gauge.measure_id,
        status=LEARNT_LATE,
        severity=rule.severity,
        label=gauge.label,
        why=_why(rule, series, episode.on),
        since=since,
        known_at=now,
        readings=_used(episode.on),
        threshold=series.threshold,
        unit=series.unit,
        station_id=gauge.station_id,
        lat=gauge.lat,
        long=gauge.long,
    )
    # It fires on its first readings, or if these are too old, on its newest ones.
    on = next((on for on in (episode.on, episode.held) if on and now - from_ms(on[0].at) <= series.fresh), ())
    if episode.until is not None:
        if not base.lasts:
            return base
        last = next(point for point in reversed(series.points) if point.at <= episode.until)
        told = f"{_number(last.value, series.unit)}, back {_AWAY[series.sign]} {_number(series.back, series.unit)}"
        base = _valued(base, episode, last)
        return ended(base, told, from_ms(episode.until), now)
    if base.status != FIRING and on:
        fired = replace(base, status=FIRING, fired_at=now, until=None, cleared_at=None, ended_because=None)
        marks = tuple(mark for mark in base.told if mark != HISTORY)
        base = replace(fired, readings=_used(on), why=_why(rule, series, on), told=marks)
    elif not base.lasts:
        return base
    age = now - from_ms(newest.at)
    stale = None if age <= series.fresh else f"nothing newer than {from_ms(newest.at):%Y-%m-%d %H:%MZ} is known"
    return replace(_valued(base, episode, newest), unknown=stale)


def _valued(alert: Alert, episode: Episode, newest: Point) -> Alert:
    return replace(
        alert,
        value=newest.value,
        value_at=from_ms(newest.at),
        peak=episode.peak.value,
        peak_at=from_ms(episode.peak.at),
    )


def _unheard(alert: Alert, why: str, now: datetime) -> Alert:
    """Return an alert of which nothing new is known; it ends when its last reading is a day old."""
    if not alert.lasts:
        return alert
    if now - (alert.value_at or alert.since) >= RETENTION:
        return ended(alert, f"not known any more: {why}", None, now)
    return replace(alert, unknown=why)


def _used(points: Sequence[Point]) -> tuple[UsedReading, ...]:
    return tuple(UsedReading(from_ms(p.at), p.value, p.flag) for p in points)


def _why(rule: Rule, series: Series, on: Sequence[Point]) -> str:
    limit = _SAID[rule.kind].format(_number(series.threshold, series.unit))
    # Rain is a total of the time before.
    when = f"in {_hours(rule.span)} up to" if rule.kind == "rain" else "at"
    values = " and ".join(f"{_number(p.value, series.unit)} {when} {from_ms(p.at):%Y-%m-%d %H:%MZ}" for p in on)
    suspect = any(p.flag == quality.SUSPECT for p in on)
    return f"{values}: {limit}{' (suspect or of high interest)' if suspect else ''}"


def _number(value: float, unit: str) -> str:
    return f"{value:.3f} {unit}".rstrip()


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):g} h"
