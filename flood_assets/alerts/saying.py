"""Say alerts in words for people who get a mail or a message: the clocks of England, with UTC beside. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from flood_assets.partitions import london
from flood_assets.query.alerts import ADVICE, CLEARED, FIRING, LEARNT_LATE, NO_WARNING, Alert, headline, with_times
from flood_assets.words import counted

# Alerts that a digest lists; the rest is counted.
LISTED = 50
_SAID = {FIRING: "firing", CLEARED: "cleared", LEARNT_LATE: "learnt late"}


def clock(moment: datetime) -> str:
    """Return a time by the clocks of England, with UTC beside."""
    here, there = moment.astimezone(london()), moment.astimezone(UTC)
    # In summer the day may differ too, between midnight and one.
    beside = f"{there:%H:%M} UTC" if here.date() == there.date() else f"{there:%d %B %H:%M} UTC"
    return f"{here:%d %B %Y %H:%M %Z} ({beside})".lstrip("0")


def title(alert: Alert, what: str) -> str:
    """Return what is new of an alert in a line."""
    return " ".join(f"{'Alert: ' if what == FIRING else ''}{headline(alert, what)}".split())


def text(alert: Alert, what: str, page: str | None) -> str:
    """Return an alert as a message in plain text.

    Args:
        alert: as it is now.
        what: what is told of it: a status.
        page: address of the page of the alerts; None without one.
    """
    lines = [f"{alert.rule}: {alert.label}", ""]
    if what == LEARNT_LATE:
        over = f"to {clock(alert.until)}" if alert.until else "and may be so still"
        lines.append(f"This was so from {clock(alert.since)} {over}, and became known at {clock(alert.known_at)}.")
        lines.append("It is information and no alarm.")
    elif what == CLEARED:
        lines.append(f"Cleared {clock(alert.until or alert.known_at)}; it had lasted since {clock(alert.since)}.")
    else:
        lines.append(f"Firing since {clock(alert.since)}.")
    lines.append(f"Why: {_in_words(alert.why)}.")
    if alert.ended_because and what != FIRING:
        lines.append(f"End: {_in_words(alert.ended_because)}.")
    if alert.peak is not None and alert.peak_at is not None and what != FIRING:
        unit = f" {alert.unit}" if alert.unit else ""
        lines.append(f"Peak: {alert.peak:.3f}{unit} at {clock(alert.peak_at)}.")
    if alert.unknown:
        lines.append(f"Now: {_in_words(alert.unknown)}.")
    lines.append(f"Severity, as the rule says: {alert.severity}.")
    return "\n".join([*lines, *_foot(page)])


def digest(news: Sequence[tuple[Alert, str]], page: str | None) -> tuple[str, str]:
    """Return title and text of one message about many alerts, each with what is told of it."""
    counts = [(sum(what == status for _, what in news), said) for status, said in _SAID.items()]
    heading = f"{counted(len(news), 'alert')}: {', '.join(f'{count:,} {said}' for count, said in counts if count)}"
    lines = [
        f"- {title(alert, what)}, since {clock(alert.since)}{f' to {clock(alert.until)}' if alert.until else ''}"
        for alert, what in news[:LISTED]
    ]
    if more := len(news) - LISTED:
        lines += [f"and {more:,} more."] if more > 0 else []
    return heading, "\n".join([f"{heading}.", "", *lines, *_foot(page)])


def _foot(page: str | None) -> list[str]:
    return ["", *([f"All alerts: {page}", ""] if page else []), NO_WARNING, ADVICE]


def _in_words(sentence: str) -> str:
    """Return a sentence with its times by the clocks of England."""
    return "".join(with_times(sentence, clock)).rstrip(".")
