"""Single measures, asked for one by one. Whole refreshes are in `flood_assets_tests/test_ingest.py`."""

from datetime import UTC, datetime
from time import sleep

from flood_assets.ea import fetch, parse
from flood_assets.ea.client import Answer
from flood_assets.ea.http import Cost
from flood_assets.errors import SourceError
from flood_assets.schemas import REJECTS

NOON = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)


def test_an_api_in_trouble_is_not_asked_for_each_of_a_hundred_measures():
    asked = []

    class InTrouble:
        def readings_since(self, measure: str, _since: datetime) -> None:
            asked.append(measure)
            sleep(0.01)  # as a request takes: the others wait for their turn
            raise SourceError("503")

    measures = [f"m{i}" for i in range(100)]
    answers, refused, unanswered = fetch.each(InTrouble(), measures, NOON)
    assert (answers, refused, unanswered) == ([], [], measures)
    assert len(asked) < len(measures)


def test_an_answer_without_rows_counts_as_not_knowing_the_measure():
    class Forgetful:
        def readings_since(self, _measure: str, _since: datetime) -> Answer:
            return Answer(parse.FETCHED.empty_table(), REJECTS.schema.empty_table(), NOON, Cost("m0"))

    answers, refused, unanswered = fetch.each(Forgetful(), ["m0"], NOON)
    assert (len(answers), refused, unanswered) == (1, ["m0"], [])
