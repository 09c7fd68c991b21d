"""The API's answers, whole: readings of a day, the latest ones, those since a time, and the lists of gauges.

How they are downloaded is in `flood_assets.ea.http`; what to ask for, and when, in `flood_assets.ea.plan`.
"""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ea import parse
from flood_assets.ea.gather import Gatherer
from flood_assets.ea.http import CONNECTIONS, LARGEST_ANSWER, Cost, Gate, Http, NotFoundError, RetryPolicy
from flood_assets.errors import SourceError
from flood_assets.words import counted

if TYPE_CHECKING:  # few networks have shards
    from flood_assets.network import Scope

logger = logging.getLogger("flood_assets.ea")

T = TypeVar("T")

HARD_LIMIT = 10_000
# The API limits readings to one of these numbers, and a CSV does not say so.
LIMITS = (500, HARD_LIMIT)
# Requests under way at once for single measures or stations: the API asks its users to go easy.
AT_ONCE = 4
# A few measures that are listed where they do not belong are left out; a larger share is an API without filters.
FEW_OTHERS, OTHERS = 3, 0.1
# Pages of at least 500 rows each: 600,000 readings of a day fit.
MOST_PAGES = 1_500


@dataclass(frozen=True)
class Answer:
    """All readings that the API gave to one question.

    Attributes:
        rows: the readings, schema `parse.FETCHED`, by window, measure and time as a `Gatherer` sorts them; the last of
            those with one key.
        rejects: rows that could not be understood, schema `REJECTS`.
        observed_at: the time just before the API was asked, by our clock; put back where it is fast.
        cost: the requests, bytes and seconds that it took.
        unknown: stations of the scope that the API does not know.
    """

    rows: pa.Table
    rejects: pa.Table
    observed_at: datetime
    cost: Cost
    unknown: Sequence[str] = ()


class Listed(NamedTuple):
    """One of the API's lists, whole.

    Attributes:
        rows: with the schema of its table.
        rejects: items and cells that could not be understood, schema `REJECTS`.
        asked_at: when the API was asked, which an empty list does not say; as the rows' `observed_at`.
        unknown: stations of the scope that the API does not know.
    """

    rows: pa.Table
    rejects: pa.Table
    asked_at: datetime
    unknown: Sequence[str] = ()


class FloodMonitoringApi(Http):
    """The real-time flood-monitoring API, or a server that answers like it.

    Args:
        base_url, now, retry, largest, gate: as for `Http`.
        scope: the part of it that is asked for; None for all of it. A list of stations takes a request for each of
            them wherever one asks for all gauges; a station that the API does not know is named in the answer, and any
            other failure is one of the whole answer.
        at_once: most requests for stations that are under way at once.
    """

    def __init__(
        self,
        base_url: str,
        *,
        now: Callable[[], datetime],
        retry: RetryPolicy | None = None,
        largest: int = LARGEST_ANSWER,
        gate: Gate = nullcontext,
        scope: "Scope | None" = None,
        at_once: int = AT_ONCE,
    ) -> None:
        super().__init__(base_url, now=now, retry=retry, largest=largest, gate=gate)
        self._parameter = scope.parameter if scope else None
        self._stations = scope.stations if scope else ()
        self._at_once = min(at_once, CONNECTIONS)

    @property
    def bulk_requests(self) -> int:
        """Requests that it takes to ask for all gauges of the scope."""
        return len(self._stations) or 1

    def stations(self) -> Listed:
        """Return every station, rows of schema `STATIONS`, and what could not be understood; some MB of JSON."""
        from flood_assets.ea.lists import parse_stations  # noqa: PLC0415 - few runs need msgspec

        if self._stations:
            return self._list_of_each("stations", "", parse_stations)
        return self._list("stations", self._filtered("id/stations?_view=full"), parse_stations)

    def measures(self) -> Listed:
        """Return every measure, likewise; rows of schema `MEASURES`."""
        from flood_assets.ea.lists import parse_measures  # noqa: PLC0415 - few runs need msgspec

        if self._stations:
            found = self._list_of_each("measures", "/measures", parse_measures)
        else:
            found = self._list("measures", self._filtered("id/measures"), parse_measures)
        return found._replace(rows=self._in_scope(found.rows))

    def warnings(self) -> Listed:
        """Return the flood alerts and warnings that are listed now, whatever the scope; no rows on a calm day."""
        from flood_assets.ea.lists import parse_warnings  # noqa: PLC0415 - few runs need msgspec

        return self._list("flood warnings", "id/floods", parse_warnings, may_be_empty=True)

    def warning_areas(self) -> Listed:
        """Return every flood area, whatever the scope, schema `WARNING_AREAS`; some MB of JSON."""
        from flood_assets.ea.lists import parse_warning_areas  # noqa: PLC0415 - few runs need msgspec

        return self._list("flood areas", "id/floodAreas?_limit=1000000", parse_warning_areas)

    def readings_of_day(self, day: date) -> Answer:
        """Return every reading of a UTC day: half a million rows, 60 MB of CSV, 4 MB as sent.

        The API keeps 28 days and the one that is under way.
        """
        return self._bulk(f"readings of {day}", f"date={day.isoformat()}")

    def latest(self) -> Answer:
        """Return the newest reading of every measure that had one in the last 28 days."""
        return self._bulk("latest readings", "latest")

    def readings_since(self, measure_id: str, since: datetime) -> Answer:
        """Return the readings of one measure that are dated after `since`, a time with a zone, whenever they arrived.

        `measure_id` is the notation, as in `parse.FETCHED`: already percent-encoded where it needs to be. NotFoundError
        if the API does not know the measure.
        """
        moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = f"id/measures/{quote(measure_id, safe='%')}/readings.csv?since={moment}&_limit={HARD_LIMIT}"
        return self._readings(f"readings of {measure_id} since {moment}", path)

    def _filtered(self, path: str) -> str:
        """Return a path with the scope's parameter as a filter."""
        if self._parameter is None:
            return path
        return f"{path}{'&' if '?' in path else '?'}parameter={quote(self._parameter)}"

    def _in_scope(self, measures: pa.Table) -> pa.Table:
        """Return the measures of the scope; SourceError if the API does not filter: its readings would be all."""
        if self._stations:
            inside = pc.is_in(measures["station_id"], pa.array([None, *self._stations]))
        elif self._parameter:
            # Several values of one field are joined.
            either = rf"(^|\|){re.escape(self._parameter)}(\||$)"
            inside = pc.match_substring_regex(measures["parameter"], either).fill_null(False)
        else:
            return measures
        others = measures.filter(pc.invert(inside))
        if len(others) > max(FEW_OTHERS, OTHERS * len(measures)):
            raise SourceError(
                f"{self.base_url} was asked for {self._asked()}, and lists {others['measure_id'][0]} too: it does not "
                "filter as the API does, so its readings cannot be split into shards like this one"
            )
        for other in others["measure_id"].to_pylist():
            logger.warning("%s is listed and not of %s: left out", other, self._asked())
        return measures.filter(inside)

    def _asked(self) -> str:
        return self._parameter or counted(len(self._stations), "station")

    def _list(
        self, what: str, path: str, parsed: Callable[[bytes, datetime], parse.Parsed], *, may_be_empty: bool = False
    ) -> Listed:
        """Return a JSON list, parsed; one that was cut off is no JSON, and an error."""

        def read(chunks: Iterator[bytes], asked_at: datetime) -> Listed:
            found = parsed(b"".join(chunks), asked_at)
            if not found.rows.num_rows and not may_be_empty:
                raise SourceError(f"the list of {what} is empty")
            return Listed(*found, asked_at)

        cost = Cost(what)
        found = self.get(path, read, cost)
        cost.finished(len(found.rows))
        return found

    def _list_of_each(
        self, what: str, path: str, parsed: Callable[[Sequence[bytes], datetime], parse.Parsed]
    ) -> Listed:
        """Return the lists of all stations of the scope as one; that of a single station may be empty."""
        from flood_assets.ea.lists import require_items  # noqa: PLC0415 - few runs need msgspec

        def read(chunks: Iterator[bytes], asked_at: datetime) -> tuple[bytes, datetime]:
            body = b"".join(chunks)
            require_items(body)
            return body, asked_at

        cost = Cost(what)
        answers, unknown = self._of_each(cost, lambda at, cost: self.get(f"{at}{path}", read, cost))
        asked_at = min(asked for _, asked in answers)
        found = parsed([body for body, _ in answers], asked_at)
        if not found.rows.num_rows:
            raise SourceError(f"{self.base_url} lists no {what} of the {self._asked()} of the shard")
        cost.finished(len(found.rows))
        return Listed(*found, asked_at, unknown)

    def _of_each(self, cost: Cost, ask: Callable[[str, Cost], T]) -> tuple[list[T], list[str]]:
        """Ask for each station of the scope; return the answers, and the stations that the API does not know.

        `ask` gets the station's path and counts of its own, which are added to `cost`.

        Raises:
            SourceError: one could not be asked, and the others would be a part that looks like the whole; or the API
                knows none of them.
        """
        found, unknown = list[T](), list[str]()
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="stations") as pool:
            asked = []
            for station in self._stations:
                own = Cost(f"{cost.what} of {station}")
                asked.append((station, own, pool.submit(ask, f"id/stations/{quote(station, safe='%')}", own)))
            try:
                for station, own, waiting in asked:
                    try:
                        found.append(waiting.result())
                    except NotFoundError:
                        unknown.append(station)
                    cost.add(own)
            except BaseException:
                for _, _, waiting in asked:
                    waiting.cancel()
                raise
        if not found:
            raise SourceError(
                f"{self.base_url} knows none of the {self._asked()} of the shard, such as {unknown[0]}: check its "
                "stations in the file of the network"
            )
        if unknown:
            logger.warning(
                "%s: %s does not know %s", cost.what, self.base_url, f"{', '.join(unknown[:5])} ({len(unknown)} in all)"
            )
        return found, unknown

    def _bulk(self, what: str, query: str) -> Answer:
        """Return the readings of all gauges of the scope, by a query that the API does not limit."""
        if not self._stations:
            return self._readings(what, self._filtered(f"data/readings.csv?{query}"))

        def ask(at: str, cost: Cost) -> tuple[parse.Parsed, datetime]:
            page = self._whole(f"{at}/readings.csv?{query}", cost)
            return page.take(), page.observed_at

        cost = Cost(what)
        parts, unknown = self._of_each(cost, ask)
        whole = Gatherer(min(asked_at for _, asked_at in parts))
        for part, _ in parts:
            whole.add(part)
        return self._answer(whole, cost, unknown)

    def _readings(self, what: str, path: str) -> Answer:
        cost = Cost(what)
        return self._answer(self._whole(path, cost), cost)

    def _answer(self, whole: Gatherer, cost: Cost, unknown: Sequence[str] = ()) -> Answer:
        started = self.retry.clock()
        rows, rejects = whole.take()
        cost.seconds_parse += self.retry.clock() - started
        cost.finished(len(rows))
        return Answer(rows, rejects, whole.observed_at, cost, unknown)

    def _whole(self, path: str, cost: Cost) -> Gatherer:
        """Return one answer's rows, with the missing pages where it was limited."""
        whole = self._page(path, cost)
        # The limit counts values, and two values of one moment are one line.
        if whole.lines in LIMITS or whole.values in LIMITS:
            logger.warning("%s: %d rows look like a limit: asking for more", cost.what, whole.lines)
            self._add_pages(path, cost, whole)
        return whole

    def _page(self, path: str, cost: Cost, observed_at: datetime | None = None) -> Gatherer:
        """Return one answer's rows; a further page is as old as the first."""

        def read(chunks: Iterator[bytes], asked_at: datetime) -> Gatherer:
            page = Gatherer(observed_at or asked_at)
            for part in parse.read_readings(chunks, page.observed_at):
                page.add(part)
            return page

        return self.get(path, read, cost)

    def _add_pages(self, path: str, cost: Cost, whole: Gatherer) -> None:
        """Add the pages after a first one, until one is empty: a short page is not the last.

        Pages may overlap, as the API promises no order. `_limit` is never added: it would limit what is not.
        """
        offset, head = whole.lines, whole.head
        for _ in range(MOST_PAGES):
            page = self._page(f"{path}&_offset={offset}", cost, whole.observed_at)
            if not page.lines:
                return
            if len(page.head) and page.head.to_pylist() == head.to_pylist():
                raise SourceError(
                    f"{self.base_url}/{path}: the answer stops at {offset} rows, a limit of the API, and the next page "
                    f"(_offset={offset}) repeats the one before: the rest is not available. Ask for less at once"
                )
            offset, head = offset + page.lines, page.head
            whole.add(page.take())
        raise SourceError(f"{self.base_url}/{path}: no end after {MOST_PAGES} pages and {offset} rows")
