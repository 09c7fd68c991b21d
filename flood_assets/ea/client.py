"""The API's answers, whole: readings of a day, the latest ones, those since a time, and the lists of gauges.

How they are downloaded is in `flood_assets.ea.http`; what to ask for, and when, in `flood_assets.ea.plan`.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple
from urllib.parse import quote

import pyarrow as pa

from flood_assets.ea import parse
from flood_assets.ea.gather import Gatherer
from flood_assets.ea.http import Cost, Http
from flood_assets.errors import SourceError

logger = logging.getLogger("flood_assets.ea")

HARD_LIMIT = 10_000
# The API limits readings to one of these numbers, and a CSV does not say so.
LIMITS = (500, HARD_LIMIT)
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
    """

    rows: pa.Table
    rejects: pa.Table
    observed_at: datetime
    cost: Cost


class Listed(NamedTuple):
    """One of the API's lists, whole.

    Attributes:
        rows: with the schema of its table.
        rejects: items and cells that could not be understood, schema `REJECTS`.
        asked_at: when the API was asked, which an empty list does not say; as the rows' `observed_at`.
    """

    rows: pa.Table
    rejects: pa.Table
    asked_at: datetime


class FloodMonitoringApi(Http):
    """The real-time flood-monitoring API, or a server that answers like it."""

    def stations(self) -> Listed:
        """Return every station, rows of schema `STATIONS`, and what could not be understood; some MB of JSON."""
        from flood_assets.ea.lists import parse_stations  # noqa: PLC0415 - few runs need msgspec

        return self._list("stations", "id/stations?_view=full", parse_stations)

    def measures(self) -> Listed:
        """Return every measure, likewise; rows of schema `MEASURES`."""
        from flood_assets.ea.lists import parse_measures  # noqa: PLC0415 - few runs need msgspec

        return self._list("measures", "id/measures", parse_measures)

    def warnings(self) -> Listed:
        """Return the flood alerts and warnings that are listed now; no rows on a calm day."""
        from flood_assets.ea.lists import parse_warnings  # noqa: PLC0415 - few runs need msgspec

        return self._list("flood warnings", "id/floods", parse_warnings, may_be_empty=True)

    def warning_areas(self) -> Listed:
        """Return every flood area, schema `WARNING_AREAS`; some MB of JSON."""
        from flood_assets.ea.lists import parse_warning_areas  # noqa: PLC0415 - few runs need msgspec

        return self._list("flood areas", "id/floodAreas?_limit=1000000", parse_warning_areas)

    def readings_of_day(self, day: date) -> Answer:
        """Return every reading of a UTC day: half a million rows, 60 MB of CSV, 4 MB as sent.

        The API keeps 28 days and the one that is under way.
        """
        return self._readings(f"readings of {day}", f"data/readings.csv?date={day.isoformat()}")

    def latest(self) -> Answer:
        """Return the newest reading of every measure that had one in the last 28 days."""
        return self._readings("latest readings", "data/readings.csv?latest")

    def readings_since(self, measure_id: str, since: datetime) -> Answer:
        """Return the readings of one measure that are dated after `since`, a time with a zone, whenever they arrived.

        `measure_id` is the notation, as in `parse.FETCHED`: already percent-encoded where it needs to be. NotFoundError
        if the API does not know the measure.
        """
        moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = f"id/measures/{quote(measure_id, safe='%')}/readings.csv?since={moment}&_limit={HARD_LIMIT}"
        return self._readings(f"readings of {measure_id} since {moment}", path)

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

    def _readings(self, what: str, path: str) -> Answer:
        """Return readings, with the missing pages where the answer was limited."""
        cost = Cost(what)
        whole = self._page(path, cost)
        # The limit counts values, and two values of one moment are one line.
        if whole.lines in LIMITS or whole.values in LIMITS:
            logger.warning("%s: %d rows look like a limit: asking for more", what, whole.lines)
            self._add_pages(path, cost, whole)
        started = self.retry.clock()
        rows, rejects = whole.take()
        cost.seconds_parse += self.retry.clock() - started
        cost.finished(len(rows))
        return Answer(rows, rejects, whole.observed_at, cost)

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
