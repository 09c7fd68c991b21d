"""Read and replace the stored state of the alerts: one object beside the tables, `_alerts/state.parquet`.

`flood_assets.alerts` decides what is in it; the server, the notebook and the commands only read it, as rows with
`alerts`. It is replaced by compare-and-swap, so that an alert fires once however many schedulers judge one lake.
"""

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake.judged import JUDGED_AT
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import ALERTS_KEY
from flood_assets.lake.objects import Blob
from flood_assets.lake.parquet import pack, unpack
from flood_assets.lake.store import Revision
from flood_assets.partitions import cutoff, from_ms, to_ms
from flood_assets.query import filters, names
from flood_assets.query.filters import Moment, Texts
from flood_assets.query.place import LakePlace, Place, Result
from flood_assets.query.query import stations
from flood_assets.schemas import ALERTS, TIME

logger = logging.getLogger("flood_assets.alerts")

# Kinds of rules, and CAP 1.2's severities.
KINDS = ("above", "below", "band", "record", "rising", "rain", "silent", "late", "warning", "api_late")
SEVERITIES = ("Extreme", "Severe", "Moderate", "Minor", "Unknown")
FIRING, CLEARED, LEARNT_LATE = "firing", "cleared", "learnt_late"
NO_WARNING = (
    "This is no official warning. It was made by a rule of whoever runs this copy of flood_assets, from provisional "
    "readings of the Environment Agency."
)
ADVICE = (
    "For flood warnings and advice see check-for-flooding.service.gov.uk or call Floodline, 0345 988 1188. In danger "
    "call 999."
)
# The type of the event that tells that an alert has a status.
EVENT_TYPES = {status: f"flood_assets.alert.{status}" for status in (FIRING, CLEARED, LEARNT_LATE)}
# In `told`: it was over before its rule was first judged, so nobody needs to be told.
HISTORY = "history"

_READING = pa.struct([("date_time", TIME), ("value", pa.float64()), ("flag", pa.int8())])
# What is stored: the columns that everybody sees, the readings, and who was told.
SCHEMA = pa.schema(
    [
        *ALERTS.schema,
        pa.field("readings", pa.list_(_READING), nullable=False),
        pa.field("told", pa.list_(pa.string()), nullable=False),
    ]
)
# As times are written in the sentences of an alert.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d)Z")
_OLD = timedelta(hours=1)
_NOTES, _RULES = b"notes", b"rules"

T = TypeVar("T")


@dataclass(frozen=True)
class UsedReading:
    """A reading on which an alert is based, with its worst quality flag."""

    date_time: datetime
    value: float
    flag: int


@dataclass(frozen=True)
class Alert:
    """One time for which a rule held for one gauge, flood area or the API.

    Attributes:
        alert_id: the same in whatever run it is found.
        rule: name of the rule.
        kind: kind of the rule, such as "above".
        subject: measure_id, flood_area_id, or "api".
        status: "firing", "cleared", or "learnt_late" for one that was over or old when it became known: information.
        severity: CAP's severity, as the rule says.
        label: name of the place.
        why: why it fired, in one sentence.
        since: time of the first reading at or beyond the threshold.
        known_at: when it was first judged so.
        readings: those by which it was judged.
        threshold: value that was reached; None where there is none.
        unit: its unit.
        value, value_at: newest value judged, and its time.
        peak, peak_at: the value furthest beyond the threshold.
        fired_at: when it fired; None for one learnt late.
        until: time of the reading that ended it; None while it lasts.
        cleared_at: when that was judged.
        ended_because: why it ended.
        unknown: why nothing newer is known of it; None if it is known.
        station_id: station of a gauge.
        lat, long: its position.
        told: notifications that were sent of it, such as "ab12 fired".
    """

    alert_id: str
    rule: str
    kind: str
    subject: str
    status: str
    severity: str
    label: str
    why: str
    since: datetime
    known_at: datetime
    readings: tuple[UsedReading, ...] = ()
    threshold: float | None = None
    unit: str | None = None
    value: float | None = None
    value_at: datetime | None = None
    peak: float | None = None
    peak_at: datetime | None = None
    fired_at: datetime | None = None
    until: datetime | None = None
    cleared_at: datetime | None = None
    ended_because: str | None = None
    unknown: str | None = None
    station_id: str | None = None
    lat: float | None = None
    long: float | None = None
    told: tuple[str, ...] = ()

    @property
    def lasts(self) -> bool:
        """True as long as it has not ended."""
        return self.cleared_at is None


@dataclass(frozen=True)
class Alerts:
    """All alerts of the last day.

    Attributes:
        rows: those that last, and those that ended in the last 24 hours.
        judged_at: when they were judged; None if they never were.
        notes: what could not be judged, and why.
        rules: names of the rules that were judged.
    """

    rows: tuple[Alert, ...] = ()
    judged_at: datetime | None = None
    notes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def is_old(self, now: datetime) -> bool:
        """Return True if they were judged, and longer ago than four ticks."""
        return self.judged_at is not None and now - self.judged_at > _OLD

    @property
    def firing(self) -> tuple[Alert, ...]:
        """The alerts that are firing, the latest first."""
        return tuple(sorted((a for a in self.rows if a.status == FIRING), key=lambda a: (a.since, a.alert_id))[::-1])


def headline(alert: Alert, what: str | None = None) -> str:
    """Return rule and place in a line, with `what` it is: the alert's status if that is not given."""
    said = {FIRING: "", CLEARED: "Cleared: "}.get(what or alert.status, "Learnt late: ")
    return f"{said}{alert.rule}: {alert.label}"


def with_times(sentence: str, said: Callable[[datetime], str]) -> list[str]:
    """Return a sentence about an alert in parts, of which every second one is a time as it is to be said."""
    parts = _TIME.split(sentence)
    return [said(datetime.fromisoformat(part).replace(tzinfo=UTC)) if n % 2 else part for n, part in enumerate(parts)]


def alerts(
    lake: LakePlace,
    now: Moment,
    *,
    status: Texts | None = None,
    rule: Texts | None = None,
    kind: Texts | None = None,
    severity: Texts | None = None,
    station: Texts | None = None,
    columns: Texts | None = None,
) -> Result:
    """Return the alerts that last and those that ended in the last 24 hours, by since and alert_id.

    They are made by rules of whoever runs this lake, and are no official warnings. Each filter is one text or several,
    of which any may match; of those that are given, all must. A note says if nothing was judged, or not for an hour,
    and what could not be judged.

    Args:
        lake: as for `readings`.
        now: likewise.
        status: "firing", "cleared" or "learnt_late".
        rule: name of a rule, compared without regard to case.
        kind: kind of the rules, such as "above" or "silent".
        severity: "Extreme", "Severe", "Moderate", "Minor" or "Unknown", as the rules say.
        station: name or id of a station, as for `readings`.
        columns: as for `readings`.

    Returns:
        The columns of `flood_assets.schemas.ALERTS`.

    Raises:
        ValueError: an unknown status, kind, severity or column, a time without a zone.
        TypeError: an argument of another type or name.
        LakeError: the lake could not be read.
    """
    now = filters.moment("now", now)
    chosen = filters.columns(columns, ALERTS.schema.names, [])
    given = (("status", status, EVENT_TYPES), ("kind", kind, KINDS), ("severity", severity, SEVERITIES))
    wanted = {name: filters.words(name, texts, known) for name, texts, known in given if texts is not None}
    place = Place.of(lake, now)
    state = Alerts() if place.lake is None else stored_alerts(place.lake, now)
    columns_of = ALERTS.schema.names
    rows = pa.Table.from_pylist([{n: getattr(row, n) for n in columns_of} for row in state.rows], schema=ALERTS.schema)
    known = pa.table({"rule": pa.array(sorted({*state.rules, *rows["rule"].to_pylist()}), pa.string())})
    matched, missing = list(state.notes), list[str]()
    if state.judged_at is None:
        missing.append("no alerts were judged: set FLOOD_ALERTS to a file of rules, and run `flood-assets refresh`")
    elif state.is_old(now):
        last = filters.shown(state.judged_at)
        matched.insert(0, f"alerts were last judged at {last}, over an hour ago: run `flood-assets refresh`")
    for name, texts in wanted.items():
        rows = rows.filter(pc.is_in(rows[name], value_set=pa.array(texts, pa.string())))
    if rule is not None and not missing:
        texts = filters.texts("rule", rule) or ()
        fits = names.match(known, "rule", texts, names.Columns(labels=("rule",)), missing, matched)
        rows = rows.filter(pc.is_in(rows["rule"], value_set=known["rule"].filter(pa.array(fits)).combine_chunks()))
    if station is not None and place.lake is not None:
        of = stations(place.lake, now, station=station, columns=("station_id",))
        (matched if len(of.rows) else missing).extend(of.notes)
        rows = rows.filter(pc.is_in(rows["station_id"], value_set=of.rows["station_id"].combine_chunks()))
    rows = rows.sort_by([("since", "ascending"), ("alert_id", "ascending")])
    return place.result(rows.select(chosen), [*matched, *missing])


def alert_id(rule: str, subject: str, since: datetime) -> str:
    """Return the id of an alert, the same wherever it is judged."""
    return blake2b(f"{rule}\0{subject}\0{to_ms(since)}".encode(), digest_size=12).hexdigest()


def stored_alerts(lake: Lake, now: datetime) -> Alerts:
    """Return the stored state, without what ended over a day ago; an empty one where none is stored or it is damaged.

    Raises:
        LakeError: the lake could not be read.
    """
    states = lake.each_shard(lambda shard: _decoded(shard, shard.store.read(ALERTS_KEY)))
    if "" not in states:
        # What is judged over all shards is kept at the URL that they have in common.
        states[""] = _decoded(lake, lake.store.read(ALERTS_KEY))
    found = _united([*states.values()])
    return replace(found, rows=retained(found.rows, now))


def _united(states: Sequence[Alerts]) -> Alerts:
    """Return the alerts of several shards as of the one that was judged longest ago; an alert has one id in each."""
    judged = [state for state in states if state.judged_at is not None]
    if len(judged) < 2:
        return (judged or states)[0]
    return Alerts(
        tuple({row.alert_id: row for state in judged for row in state.rows}.values()),
        min(state.judged_at for state in judged if state.judged_at is not None),
        tuple(dict.fromkeys(note for state in judged for note in state.notes)),
        tuple(dict.fromkeys(rule for state in judged for rule in state.rules)),
    )


def retained(rows: tuple[Alert, ...], now: datetime) -> tuple[Alert, ...]:
    """Return the alerts that last or ended less than 24 hours ago."""
    return tuple(row for row in rows if row.cleared_at is None or row.cleared_at > cutoff(now))


def update_alerts(lake: Lake, revise: Callable[[Alerts], tuple[Alerts | None, T]]) -> T:
    """Replace the state by compare-and-swap; `revise` is called again if another writer was first.

    Args:
        lake: the lake.
        revise: returns the new state, None to leave it, and the result.

    Raises:
        LakeError: the lake could not be read or written.
    """

    def revised(blob: Blob | None) -> Revision[T]:
        new, result = revise(_decoded(lake, blob))
        return Revision(None if new is None else _encoded(new), result)

    return lake.store.update(ALERTS_KEY, revised)


def _decoded(lake: Lake, blob: Blob | None) -> Alerts:
    if blob is None:
        return Alerts()
    try:
        table, said = unpack(blob.data)
        rows = table.select(SCHEMA.names).cast(SCHEMA).to_pylist()
        notes, judged = (tuple(json.loads(said[name])) for name in (_NOTES, _RULES))
        return Alerts(tuple(_alert(row) for row in rows), from_ms(int(said[JUDGED_AT])), notes, judged)
    except (pa.ArrowException, OSError, TypeError, KeyError, ValueError, OverflowError) as error:
        # Ids follow from rule, subject and time: what fires again has the id that it had, and receivers know it.
        logger.error("%s/%s is damaged (%s): all rules are judged anew", lake.url, ALERTS_KEY, error)  # noqa: TRY400
        return Alerts()


def _alert(row: dict[str, Any]) -> Alert:
    used = tuple(UsedReading(**each) for each in row["readings"])
    return Alert(**{**row, "readings": used, "told": tuple(row["told"])})


def _encoded(alerts: Alerts) -> bytes:
    names = [field.name for field in fields(Alert)]
    rows = [{name: getattr(row, name) for name in names} for row in alerts.rows]
    for row in rows:
        row["readings"] = [vars(each) for each in row["readings"]]
    said = {
        JUDGED_AT: str(to_ms(alerts.judged_at)).encode() if alerts.judged_at else b"0",
        _NOTES: json.dumps(alerts.notes).encode(),
        _RULES: json.dumps(alerts.rules).encode(),
    }
    return pack(pa.Table.from_pylist(rows, schema=SCHEMA), said)
