"""Model the source: gauges with habits, an API that shows what has arrived, and the trouble of a run.

It knows what the API showed at each moment; `keeper` checks the lake.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa

from flood_assets.ea import parse
from flood_assets.ea.client import Answer
from flood_assets.ea.http import Cost, NotFoundError
from flood_assets.errors import SourceError
from flood_assets.schemas import MEASURES

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
HISTORY = 30 * HOUR
# Longer than a run takes: what arrives during a run must be known before it begins.
AHEAD = 4 * HOUR
# No request reaches further back than two days.
FORGOTTEN = 50 * HOUR
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[str, datetime]


@dataclass(frozen=True)
class Gauge:
    """Reporting habits of one measure.

    Attributes:
        step: seconds between readings; None for an event gauge.
        nominal: its period in the snapshot; 0 if the snapshot does not list the measure.
        delay: minutes from reading to arrival.
        batch: minutes between uploads; 0 when each reading comes by itself.
        gaps: how often, of 10, a reading is skipped.
        silent: hours after the start at which it falls silent for a while, and for how long.
        opens: hours after the start of its first reading.
        ahead: minutes by which its clock is ahead.
        disorder: up to how many minutes later single readings arrive; 0 when they arrive in order of their time.
        corrections: true if values are corrected afterwards.
        odd: true if some readings have no value, two values, or other text.
    """

    step: int | None = 900
    nominal: int | None = 900
    delay: int = 3
    batch: int = 0
    gaps: int = 0
    silent: tuple[int, int] = (0, 0)
    opens: int = -30
    ahead: int = 0
    disorder: int = 0
    corrections: bool = False
    odd: bool = False
    seed: int = 0

    def readings(self, start: datetime) -> Iterator[tuple[datetime, datetime, dict[datetime, str]]]:
        """Yield readings without end: arrival, time, and the texts shown with their start."""
        chance = random.Random(self.seed)
        midnight = datetime.combine((start - HISTORY).date(), time(), tzinfo=UTC)
        at = midnight + chance.randrange(4) * timedelta(seconds=1)
        quiet = start + self.silent[0] * HOUR
        upload = midnight + chance.randrange(max(self.batch, 1)) * MINUTE
        while True:
            at += timedelta(seconds=self.step or chance.choice([60, 900, 901, 3600, 3600, 20_000]))
            skipped = chance.randrange(10) < self.gaps or quiet <= at < quiet + self.silent[1] * HOUR
            if skipped or at < start + self.opens * HOUR:
                continue
            arrival = at + self.delay * MINUTE
            if self.batch:
                uploads = -((upload - arrival) // (self.batch * MINUTE))
                arrival = upload + uploads * self.batch * MINUTE
            if self.disorder and chance.random() < 0.3:
                arrival += chance.randrange(self.disorder) * MINUTE
            corrected = arrival + chance.randrange(1, 600) * MINUTE if self.corrections else None
            value = chance.randrange(100)
            shown = {arrival: f"{value}.5"}
            if self.odd and value < 40:
                shown[arrival] = ["", f"{value}|{value + 1}", f"{value + 1}|{value}", f"{value}|{value}"][value % 4]
            if corrected:
                shown[corrected] = f"{value + 1000}"
                if value % 3 == 0:  # it comes back to what it was
                    shown[corrected + value * MINUTE + MINUTE] = shown[arrival]
            yield at, at + self.ahead * MINUTE, shown


class Source:
    """Everything the API ever shows of each reading, with its start. Forgets what no request can reach."""

    def __init__(self, start: datetime = LONG_AGO, gauges: Iterable[Gauge] = ()) -> None:
        self.start = start
        self.gauges: dict[str, Gauge] = {}
        # A manual reading between a regular gauge's readings; its reporting interval does not predict it.
        self.stragglers: set[Key] = set()
        self._shown: dict[Key, list[tuple[datetime, str]]] = {}
        self._coming: dict[str, Iterator] = {}
        self._next: dict[str, tuple] = {}
        self._silent: dict[str, datetime] = {}
        self._since: dict[str, datetime] = {}
        self._by_measure: dict[str, list[Key]] | None = None
        for gauge in gauges:
            self.add(gauge)

    def add(self, gauge: Gauge, start: datetime | None = None, *, since: datetime = LONG_AGO) -> str:
        """Add a gauge, shown from `since` on."""
        name = f"m{len(self.gauges)}"
        self._since[name] = since
        self.gauges[name] = gauge
        self._coming[name] = gauge.readings(start or self.start)
        self._next[name] = next(self._coming[name])
        return name

    def silence(self, measure: str, until: datetime) -> None:
        """Silence a gauge from now on."""
        self._silent[measure] = until

    def until(self, now: datetime) -> None:
        """Generate arrivals until a while after `now`."""
        for name, coming in self._coming.items():
            while self._next[name][0] <= now + AHEAD:
                by, at, shown = self._next[name]
                if by > self._silent.get(name, by - HOUR):
                    for moment, text in shown.items():
                        self.publish(name, at, max(moment, self._since[name]), text)
                self._next[name] = next(coming)
        for key in [key for key in self._shown if key[1] < now - FORGOTTEN]:
            del self._shown[key]
            self._by_measure = None

    def publish(self, measure: str, at: datetime, moment: datetime, text: str) -> None:
        """Show a reading with this text from `moment` on, until another is published."""
        events = self._shown.setdefault((measure, at), [])
        events.append((moment, text))
        events.sort(key=lambda event: event[0])
        self._by_measure = None

    def text(self, key: Key, moment: datetime) -> str | None:
        """Return the text shown for a reading at a moment; None before it has arrived."""
        found = None
        for since, text in self._shown.get(key, ()):
            if since <= moment:
                found = text
        return found

    def texts(self, key: Key, until: datetime, since: datetime = LONG_AGO) -> set[str]:
        """Return all texts shown for a reading in a span of time, both ends included."""
        events = self._shown.get(key, ())
        before = [text for moment, text in events if moment <= since][-1:]
        return {*before, *(text for moment, text in events if since < moment <= until)}

    def shown(self, moment: datetime) -> dict[Key, str]:
        """Return everything shown at a moment."""
        texts = {key: self.text(key, moment) for key in self._shown}
        return {key: text for key, text in texts.items() if text is not None}

    def arrival(self, key: Key) -> datetime:
        return self._shown[key][0][0]

    def of(self, measure: str) -> list[Key]:
        """Return a measure's readings, shown or to come, by time."""
        if self._by_measure is None:
            self._by_measure = defaultdict(list)
            for key in sorted(self._shown):
                self._by_measure[key[0]].append(key)
        return self._by_measure.get(measure, [])

    def in_order(self, moment: datetime) -> set[Key]:
        """Return the readings shown at a moment that arrived in order of time: a tick must find them."""
        found = set()
        for measure in self.gauges:
            soonest = None
            for key in reversed(self.of(measure)):
                arrival = self.arrival(key)
                if arrival <= moment and (soonest is None or arrival <= soonest) and key not in self.stragglers:
                    found.add(key)
                soonest = arrival if soonest is None else min(soonest, arrival)
        return found

    def listed(self, now: datetime) -> pa.Table:
        """Return the snapshot of measures."""
        rows = [
            {
                **dict.fromkeys(MEASURES.schema.names),
                "measure_id": name,
                "station_id": station_of(name),
                "period_s": gauge.nominal,
                "observed_at": now,
            }
            for name, gauge in self.gauges.items()
            if gauge.nominal != 0
        ]
        return pa.Table.from_pylist(rows, schema=MEASURES.schema)


def station_of(measure: str) -> str:
    return f"station of {measure}"


@dataclass(frozen=True)
class Trouble:
    """Trouble of one run.

    Attributes:
        pause: seconds that each of its requests takes, in which more arrives.
        failing: requests that fail: `latest`, `today`, `yesterday`, measures.
        unknown: measures that the API answers with 404.
        empty: measures that return no rows when requested by name.
        write: at which of its writes something happens, counted from 0; None when nothing does.
        what: what happens there. `killed`: the process ends before it. `killed after`: and after it. `refused`: the
            store says no. `lost`: it is done, and the store says no. `twice`: it is done, its answer is lost, and the
            repetition meets it. Otherwise the name of another run that comes in between.
    """

    pause: float = 0
    failing: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    empty: frozenset[str] = frozenset()
    write: int | None = None
    what: str = "killed"


QUIET = Trouble()


@dataclass
class Api:
    """API during one run: each request sees what has arrived when it is sent.

    Requests for single measures are under way at once; so that a failure can be repeated, the time of each follows
    from its measure and not from the threads.
    """

    source: Source
    now: datetime
    trouble: Trouble = QUIET
    asked: list[tuple[str, datetime]] = field(default_factory=list)
    given: dict[Key, dict[datetime, str]] = field(default_factory=lambda: defaultdict(dict))
    clock: datetime = field(init=False)
    base_url: str = "http://there/flood-monitoring"
    bulk_requests: int = 1

    def __post_init__(self) -> None:
        self.clock = self.now

    @property
    def end(self) -> datetime:
        return max((moment for _, moment in self.asked), default=self.now)

    def latest(self) -> Answer:
        newest: dict[str, Key] = {}
        moment = self._sent("latest", "latest")
        for key in sorted(self.source.shown(moment)):
            newest[key[0]] = key
        return self._answer(newest.values(), moment)

    def readings_of_day(self, day: date) -> Answer:
        moment = self._sent(str(day), "today" if day == self.now.date() else "yesterday")
        return self._answer((key for key in self.source.shown(moment) if key[1].date() == day), moment)

    def readings_since(self, measure_id: str, since: datetime) -> Answer:
        moment = self.clock + int(measure_id[1:]) * timedelta(seconds=self.trouble.pause) / 10
        self.asked.append((measure_id, moment))
        if measure_id in self.trouble.failing:
            raise SourceError(f"{measure_id} cannot be had")
        if measure_id in self.trouble.unknown:
            raise NotFoundError(f"{measure_id} is not known")
        keys = [key for key in self.source.of(measure_id) if key[1] > since and measure_id not in self.trouble.empty]
        return self._answer((key for key in keys if self.source.arrival(key) <= moment), moment)

    def answered(self, measure: str) -> bool:
        """Return True if the measure can be requested by name."""
        return measure not in self.trouble.failing | self.trouble.unknown | self.trouble.empty

    def _sent(self, what: str, kind: str) -> datetime:
        moment = self.clock
        self.asked.append((what, moment))
        self.clock += timedelta(seconds=self.trouble.pause)
        if kind in self.trouble.failing:
            raise SourceError(f"{what} cannot be had")
        return moment

    def _answer(self, keys: Iterable[Key], moment: datetime) -> Answer:
        lines = []
        for key in keys:
            text = self.source.text(key, moment)
            self.given[key][moment] = text
            lines.append(f"{key[1]:%Y-%m-%dT%H:%M:%SZ},http://there/flood-monitoring/id/measures/{key[0]},{text}\n")
        random.Random(len(lines)).shuffle(lines)  # the API promises no order
        lines += lines[:1]  # pages may overlap
        parsed = parse.parse_readings("".join(["dateTime,measure,value\n", *lines]).encode(), moment)
        return Answer(parsed.rows, parsed.rejects, moment, Cost("a recording", requests=1))
