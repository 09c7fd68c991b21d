"""Make CloudEvents 1.0 of alerts: one for each that fires, clears or is learnt late, each with an id that stays."""

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from flood_assets.alerts import saying
from flood_assets.grouping import Flags, Ints
from flood_assets.partitions import to_ms
from flood_assets.query.alerts import CLEARED, EVENT_TYPES, NO_WARNING, Alert
from flood_assets.sinks.events import CloudEvents, Notice, text_of

SOURCE = "flood_assets/alerts"


@dataclass(frozen=True)
class News:
    """Alert that a receiver has not been told of, and its status as it is told."""

    what: str
    alert: Alert

    @property
    def at(self) -> datetime:
        """When it got that status."""
        moment = self.alert.cleared_at if self.what == CLEARED else self.alert.fired_at
        return moment or self.alert.known_at

    @property
    def event_id(self) -> str:
        """Id of the event, the same each time it is sent."""
        return f"{self.alert.alert_id}-{self.what}-{to_ms(self.at)}"


@dataclass(frozen=True, eq=False)
class AlertEvents(CloudEvents):
    """Alerts to be told, in the order in which they are.

    Attributes:
        news: of which alerts, and what.
        page: address of the page of the alerts, for people; None without one.
    """

    news: tuple[News, ...]
    page: str | None = None

    def __len__(self) -> int:
        return len(self.news)

    @cached_property
    def ids(self) -> list[str]:
        """The id of each event."""
        return [each.event_id for each in self.news]

    @property
    def keys(self) -> list[str]:
        """The subject of each alert, such as the measure."""
        return [each.alert.subject for each in self.news]

    @property
    def changed(self) -> Ints:
        """When each fired or cleared, in ms."""
        return np.array([to_ms(each.at) for each in self.news], np.int64)

    def kinds(self) -> list[str]:
        """Return the type of each event."""
        return [EVENT_TYPES[each.what] for each in self.news]

    def chosen(self, flags: Flags) -> "AlertEvents":
        """Return the events whose flag is true."""
        return AlertEvents(tuple(each for each, flag in zip(self.news, flags.tolist(), strict=True) if flag), self.page)

    def bodies(self) -> list[dict[str, Any]]:
        """Return the events as plain values; times are texts in UTC."""
        return [
            {
                "specversion": "1.0",
                "id": each.event_id,
                "source": SOURCE,
                "type": kind,
                "subject": each.alert.subject,
                "time": text_of(to_ms(each.at)),
                "datacontenttype": "application/json",
                "data": _data(each.alert),
            }
            for each, kind in zip(self.news, self.kinds(), strict=True)
        ]

    def notices(self) -> list[Notice]:
        """Return one for each alert, with words for people; those of one subject are in order."""
        return [
            Notice(
                body,
                each.alert.subject,
                {"rule": each.alert.rule, "kind": each.alert.kind, "severity": each.alert.severity},
                saying.title(each.alert, each.what),
                saying.text(each.alert, each.what, self.page),
            )
            for body, each in zip(self.bodies(), self.news, strict=True)
        ]


def _data(alert: Alert) -> dict[str, Any]:
    told = {name: _plain(value) for name, value in asdict(alert).items() if name != "told"}
    return {"notice": NO_WARNING, **told}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return text_of(to_ms(value))
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
