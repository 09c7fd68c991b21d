"""A push is stored whole, ingested once, and told; in a folder and in a bucket."""

from datetime import timedelta

import pytest

from flood_assets.landing.ingest import ingest
from flood_assets.schemas import REJECTS
from flood_assets_tests.support.lake_rows import HOUR, QUARTER
from flood_assets_tests.support.pushing import Publisher, in_every_format, reading, stored, zipped
from flood_assets_tests.support.seven_gauges import NOW

LATER = NOW + timedelta(seconds=20)


def test_a_push_is_answered_with_a_receipt_and_is_in_the_lake_once_it_is_ingested(api, acme):
    before = stored(api.lake, NOW)
    answer = acme.post([acme.reading("weir", NOW - HOUR, 1.5), acme.reading("weir", NOW - QUARTER, 2)], "first")
    assert answer.status_code == 202
    receipt = answer.json()
    assert answer.headers["location"] == "/api/v1/receipts/first"
    assert (receipt["state"], receipt["accepted"], receipt["rejected"]) == ("waiting", 2, 0)
    assert acme.receipt("first").json() == receipt

    done = ingest(api.lake, LATER)
    assert (done.count("added"), done.count("revised"), done.unreadable) == (2, 0, [])
    told = acme.receipt("first").json()
    assert (told["state"], told["added"], told["revised"], told["unchanged"]) == ("ingested", 2, 0, 0)
    rows = stored(api.lake, LATER)
    assert {key: rows[key] for key in before} == before
    new = {key: row for key, row in rows.items() if key not in before}
    assert {key: row["value"] for key, row in new.items()} == {
        ("acme:weir", NOW - HOUR): 1.5,
        ("acme:weir", NOW - QUARTER): 2.0,
    }
    for row in new.values():
        assert row["first_seen_at"] == row["changed_at"] == NOW, "which is when it landed, not when it was ingested"
    assert ingest(api.lake, LATER).receipts == []


def test_each_format_says_the_same(api, acme):
    for number, (name, (data, media_type)) in enumerate(
        in_every_format([acme.reading("a", NOW - i * QUARTER, i / 4) for i in range(5)]).items()
    ):
        plain = acme.post(data, f"plain-{number}", media_type)
        assert (plain.status_code, plain.json()["accepted"]) == (202, 5), (name, plain.text)
        if name in ("json", "csv", "parquet"):
            packed = acme.post(zipped(data), f"plain-{number}", media_type, Content_Encoding="gzip")
            assert (packed.status_code, packed.json()) == (200, plain.json()), "the same content"
    done = ingest(api.lake, LATER)
    assert [(each.added, each.unchanged) for each in done.receipts] == [(5, 0), *[(0, 5)] * 6]


def test_the_same_batch_is_taken_once_whether_it_waits_or_was_ingested(api, acme):
    rows = [acme.reading("a", NOW - HOUR, 1)]
    first = acme.post(rows, "one")
    again = acme.post(rows, "one")
    assert (first.status_code, again.status_code, again.json()) == (202, 200, first.json())
    ingest(api.lake, LATER)
    # Another one has changed the reading meanwhile: the repeat must not set it back.
    acme.post([acme.reading("a", NOW - HOUR, 2)], "two")
    ingest(api.lake, LATER)
    third = acme.post(rows, "one")
    assert (third.status_code, third.json()["state"], third.json()["added"]) == (200, "ingested", 1)
    assert api.lake.store.list("landing") == []
    row = stored(api.lake, LATER)["acme:a", NOW - HOUR]
    assert (row["value"], row["previous_value"], row["revision"]) == (2, 1, 1)


def test_a_batch_without_a_key_is_known_by_its_content(api, acme):
    rows = [acme.reading("a", NOW - HOUR, 1)]
    first, again = acme.post(rows), acme.post(rows)
    assert (first.status_code, again.status_code, first.json()["id"]) == (202, 200, again.json()["id"])
    assert acme.post([acme.reading("a", NOW - HOUR, 2)]).status_code == 202


@pytest.mark.parametrize("ingested", [False, True])
def test_another_content_under_the_same_key_is_refused(api, acme, ingested):
    acme.post([acme.reading("a", NOW - HOUR, 1)], "one")
    if ingested:
        ingest(api.lake, LATER)
    answer = acme.post([acme.reading("a", NOW - HOUR, 2)], "one")
    assert answer.status_code == 409
    assert "send another Idempotency-Key" in answer.json()["detail"]
    ingest(api.lake, LATER)
    assert stored(api.lake, LATER)["acme:a", NOW - HOUR]["value"] == 1


def test_two_publishers_may_use_the_same_key_and_know_nothing_of_each_other(api, acme, beta):
    assert acme.post([acme.reading("a", NOW, 1)], "one").status_code == 202
    assert beta.receipt("one").status_code == 404
    assert beta.post([beta.reading("a", NOW, 2)], "one").status_code == 202
    ingest(api.lake, LATER)
    rows = stored(api.lake, LATER)
    assert (rows["acme:a", NOW]["value"], rows["beta:a", NOW]["value"]) == (1, 2)


def test_a_correction_is_a_revision_and_reordered_batches_end_alike(api, acme):
    acme.post([acme.reading("a", NOW - HOUR, 1), acme.reading("b", NOW - HOUR, 1)], "old")
    acme.post([acme.reading("b", NOW - HOUR, 3), acme.reading("a", NOW - HOUR, 2)], "new")
    done = ingest(api.lake, LATER)
    assert [(each.id, each.added, each.revised) for each in done.receipts] == [("old", 2, 0), ("new", 0, 2)]
    rows = stored(api.lake, LATER)
    assert [(rows[key]["value"], rows[key]["revision"]) for key in rows if key[0] in ("acme:a", "acme:b")] == [
        (2, 1),
        (3, 1),
    ]


def test_a_row_that_comes_twice_in_a_batch_counts_once(api, acme):
    answer = acme.post([acme.reading("a", NOW, 1), acme.reading("b", NOW, 1), acme.reading("a", NOW, 2)], "one")
    assert (answer.json()["accepted"], answer.json()["repeated"]) == (3, 1)
    (receipt,) = ingest(api.lake, LATER).receipts
    assert (receipt.added, receipt.repeated) == (2, 1)
    assert stored(api.lake, LATER)["acme:a", NOW]["value"] == 2


def test_refused_rows_are_told_with_their_reasons_and_kept_as_rejects(api, acme):
    bad = [acme.reading("a", NOW, None), reading("K1-level", NOW, 9), acme.reading("a", NOW - 25 * HOUR)]
    answer = acme.post([bad[0], acme.reading("a", NOW, 1), *bad[1:]], "mixed")
    told = answer.json()
    assert (answer.status_code, told["rows"], told["accepted"], told["rejected"]) == (202, 4, 1, 3)
    assert [each["row"] for each in told["reasons"]] == [1, 3, 4]
    ingest(api.lake, LATER)
    assert acme.receipt("mixed").json()["reasons"] == told["reasons"]
    kept = api.lake.read(REJECTS, now=LATER).to_pylist()
    assert sorted(row["reason"] for row in kept) == sorted(each["reason"] for each in told["reasons"])
    assert all(row["line"].startswith("acme/mixed row ") for row in kept)


def test_nothing_of_the_api_or_of_others_is_overwritten(api, acme):
    before = stored(api.lake, NOW)
    beta, feeder = Publisher(api, "beta"), Publisher(api, "feeder")
    beta.post([beta.reading("a", NOW, 1)], "one")
    foreign = [reading(id_, NOW - QUARTER, 99) for id_ in ("K1-level", "beta:a", "acme", "acme:", "ACME:a", "acmex:a")]
    answer = acme.post(foreign)
    assert (answer.status_code, len(answer.json()["reasons"])) == (422, len(foreign))
    assert all("those of 'acme' begin with 'acme:'" in each["reason"] for each in answer.json()["reasons"])
    assert feeder.post([reading("beta:a", NOW, 99)]).status_code == 422
    ingest(api.lake, LATER)
    rows = stored(api.lake, LATER)
    assert {key: rows[key] for key in before} == before
    assert rows["beta:a", NOW]["value"] == 1


def test_a_feed_may_write_the_apis_own(api):
    key = "K1-level", NOW.replace(minute=0, second=0)
    assert Publisher(api, "feeder").post([reading(*key, 7.5)], "one").status_code == 202
    ingest(api.lake, LATER)
    row = stored(api.lake, LATER)[key]
    assert (row["value"], row["previous_value"], row["station_id"]) == (7.5, 0, "K1")


def test_a_reading_minutes_ahead_is_stored_and_seen_when_its_time_has_come(api, acme):
    soon = NOW + timedelta(minutes=4)
    assert (
        acme.post([acme.reading("a", soon), acme.reading("a", NOW - timedelta(hours=23, minutes=58))]).status_code
        == 202
    )
    (receipt,) = ingest(api.lake, LATER).receipts
    assert (receipt.added, receipt.expired) == (2, 0)
    assert ("acme:a", soon) not in stored(api.lake, LATER)
    assert ("acme:a", soon) in stored(api.lake, soon)


def test_what_becomes_a_day_old_while_it_waits_is_told_as_expired(api, acme):
    acme.post([acme.reading("a", NOW - timedelta(hours=23, minutes=59)), acme.reading("a", NOW)], "slow")
    ingest(api.lake, NOW + timedelta(minutes=2))
    told = acme.receipt("slow").json()
    assert (told["added"], told["expired"]) == (1, 1)
