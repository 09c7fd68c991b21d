"""Ask the API for whole days, `latest` or single measures, and retry bulk answers that the completeness check suspects.

What to ask for is decided in `flood_assets.ea.plan`; the answers are combined in `flood_assets.ingest`.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from datetime import date, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ea import completeness, plan
from flood_assets.ea.client import AT_ONCE, Answer, FloodMonitoringApi
from flood_assets.ea.http import NotFoundError
from flood_assets.ea.parse import FETCHED
from flood_assets.errors import SourceError
from flood_assets.grouping import Windowed, by_window
from flood_assets.partitions import cutoff, retained_windows
from flood_assets.schemas import WATERMARKS

log = logging.getLogger(__name__)

# Most retries of a suspect bulk answer.
RETRIES = 2
# Failed requests for single measures after which the API counts as down, and the others wait for the next tick.
GIVE_UP_AFTER = 5
LATER = "the next run asks again. If this lasts, open the address in a browser and look for news of the API"


class Days(NamedTuple):
    """Days that were read whole.

    Attributes:
        answers: all answers for them, those of spot checks included.
        covered: their retained windows, oldest first; none when the answers are suspect.
        watermarks: the watermarks that follow, schema `WATERMARKS`; none when the answers are suspect.
        suspect: why the answers look incomplete; empty when they do not.
    """

    answers: Sequence[Answer]
    covered: Sequence[datetime]
    watermarks: pa.Table
    suspect: str = ""


def latest(
    api: FloodMonitoringApi, watermarks: pa.Table, now: datetime, first: Future[Answer] | None = None
) -> tuple[list[Answer], str]:
    """Ask for the newest reading of each measure.

    A measure that is missing in the answer keeps its watermark, so the next tick sees its reading. `first` is the first
    answer, if it was asked for already, after the watermarks were read.

    Returns:
        The answers, the most complete one last; and why that one is suspect, else an empty text.

    Raises:
        SourceError: no answer, or one without any reading.
    """
    answers = [first.result() if first else api.latest()]
    while (suspect := completeness.of_latest(answers[-1].rows, watermarks, now)) and len(answers) <= RETRIES:
        log.warning("%s: treated as suspect and retried", suspect)
        answers.append(api.latest())
    if suspect:
        answers.sort(key=lambda answer: len(answer.rows))
    if not len(answers[-1].rows):
        raise SourceError(
            f"{api.base_url}/data/readings.csv?latest: the answer has no reading of any measure, but the API keeps 28 "
            f"days of them: it is in trouble. Nothing was changed; {LATER}"
        )
    return answers, suspect


def days(
    api: FloodMonitoringApi, chosen: Sequence[date], lake: plan.Known, now: datetime, latest: Windowed | None = None
) -> Days:
    """Read days whole, again if the answers are suspect, unless spot checks of single measures confirm them.

    The newest day is read first: a batch that arrives between two requests is then in the older day's answer and not in
    the newer's. The gauge's newest reading is missing, and the next tick finds several new ones. The other way round,
    the hole would be hidden.

    `chosen` are UTC days that follow each other, oldest first; `lake` is its content before, and `latest` the readings
    that the API's `latest` showed before, if it was asked.

    Raises:
        SourceError: a day could not be read, or the answers have no reading at all.
    """
    # The readings of spot checks are stored too, but do not count for the days: else they would confirm themselves.
    answers: list[Answer] = []
    checks: list[Answer] = []
    for _ in range(1 + RETRIES):
        answers += [api.readings_of_day(day) for day in sorted(chosen, reverse=True)]
        shown = by_window(pa.concat_tables([answer.rows for answer in answers]))
        if not len(shown) and now >= completeness.settled(chosen[0]):
            raise SourceError(
                f"{api.base_url}/data/readings.csv?date={chosen[0]}: the API has no reading of any measure of "
                f"{' and '.join(map(str, chosen))}: it is in trouble. Nothing was changed; {LATER}"
            )
        newer = plan.watermarks_of(shown, now)
        suspect = completeness.of_days(
            shown, chosen, watermarks=newer, latest=latest, held=lake.rows, listed=len(lake.measures), now=now
        )
        if not suspect:
            break
        singles, _, _ = each(api, completeness.sample(shown, lake.watermarks, chosen), now)
        sampled = pa.concat_tables([FETCHED.empty_table(), *(single.rows for single in singles)])
        checks += singles
        if len(sampled) and not completeness.contradicted(shown, by_window(sampled), chosen, now):
            log.warning("%s, but spot checks of %d measures agree: accepted", suspect, len(singles))
            suspect = ""
            break
        log.warning("%s, and spot checks found more: treated as suspect and retried", suspect)
    if suspect:
        return Days([*answers, *checks], (), WATERMARKS.empty_table(), suspect)
    newer = plan.credible(newer, lake, chosen[0], now)
    if latest is not None:
        newer = without(newer, completeness.absent(latest, shown, chosen))
    covered = [window for window in retained_windows(now) if window.date() in set(chosen)]
    return Days([*answers, *checks], covered, newer)


def each(api: FloodMonitoringApi, measures: Sequence[str], now: datetime) -> tuple[list[Answer], list[str], list[str]]:
    """Ask for the retained day of each measure.

    Not only for readings after its watermark: a batch brings corrections and late readings, and a day of one gauge is
    a hundred rows.

    Returns:
        The answers; the measures that the API does not know by name (a 404, or an answer without rows) although
        `latest` shows them, so nothing more is available until a day is read; and those whose request failed.
    """
    answers: list[Answer] = []
    refused: list[str] = []
    unanswered: list[str] = []
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="since") as pool:
        asked = [(measure, pool.submit(api.readings_since, measure, cutoff(now))) for measure in measures]
        for measure, waiting in asked:
            if len(unanswered) == GIVE_UP_AFTER:
                for _, later in asked:
                    later.cancel()
            try:
                answer = waiting.result()
            except CancelledError:
                unanswered.append(measure)
            except NotFoundError:
                refused.append(measure)
            except SourceError as error:
                log.warning("measure %s stays behind until the next tick: %s", measure, error)
                unanswered.append(measure)
            else:
                answers.append(answer)
                if not len(answer.rows):
                    refused.append(measure)
    return answers, refused, unanswered


def only(rows: pa.Table, measures: Sequence[str]) -> pa.Table:
    """Return the rows of some measures."""
    return rows.filter(_is_of(rows, measures))


def without(rows: pa.Table, measures: Sequence[str]) -> pa.Table:
    """Return the rows of all other measures."""
    return rows.filter(pc.invert(_is_of(rows, measures))) if measures else rows


def _is_of(rows: pa.Table, measures: Sequence[str]) -> pa.ChunkedArray:
    return pc.is_in(rows["measure_id"].cast(pa.string()), pa.array(measures, pa.string()))
