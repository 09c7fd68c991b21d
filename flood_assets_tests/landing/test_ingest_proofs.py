"""Nothing is lost after 202, nothing is twice, nothing foreign is overwritten: many batches, kills, two at once."""

import gzip
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from flood_assets.lake.lake import Lake
from flood_assets.lake.store import Store
from flood_assets.landing import batches
from flood_assets.landing.ingest import ingest
from flood_assets.landing.objects import Place, Receipt
from flood_assets.partitions import to_ms
from flood_assets.schemas import REJECTS
from flood_assets_tests.support.lake_rows import HOUR
from flood_assets_tests.support.pushing import Publisher, batch_of, pushed_to, reading, stored
from flood_assets_tests.support.seven_gauges import NOW, fill

SECOND = timedelta(seconds=1)


class KilledError(BaseException):
    """The end of a process."""


@contextmanager
def killed_at(store: Store, number: int, *, after: bool) -> Iterator[list[str]]:
    """End with the nth write of a store, before it or just after; yield the writes that were begun."""
    writes: list[str] = []

    def dying(name: str):
        whole = getattr(store, name)

        def write(*args, **more):
            writes.append(f"{name} {args[0]}")
            if len(writes) == number and not after:
                raise KilledError
            whole(*args, **more)
            if len(writes) == number:
                raise KilledError

        return write

    store.put, store.delete = dying("put"), dying("delete")
    try:
        yield writes
    finally:
        del store.put, store.delete


def story() -> list:
    """Batches of several windows: a new reading, a correction, a repeat of it, and refused rows."""
    hours = [NOW - number * HOUR for number in range(3)]
    rows = [
        ("one", [("acme:a", at, 1.0) for at in hours], 0),
        ("two", [("acme:a", hours[0], 2.0), ("acme:b", hours[0], 1.0)], 1),
        ("three", [("acme:a", hours[0], 2.0)], 2),
    ]
    return [batch_of("acme", id_, given, NOW + late * SECOND) for id_, given, late in rows]


FATES = {"one": (3, 0, 0), "two": (1, 1, 0), "three": (0, 0, 1)}


def fates(lake: Lake) -> dict[str, tuple]:
    found = {batch.id: batches.find(lake.store, Place.of("acme", batch.id)) for batch in story()}
    return {id_: (each.added, each.revised, each.unchanged) for id_, each in found.items()}


def test_a_run_may_be_killed_at_any_write_and_the_next_one_ends_the_same(lake):
    many = None
    number, places = 0, set()
    while many is None or number < many:
        number += 1
        for after in (False, True):
            now = NOW + timedelta(minutes=1)
            for batch in story():
                batches.land(lake.store, batch)
            with killed_at(lake.store, number, after=after) as writes:
                try:
                    ingest(lake, now)
                    many = number
                except KilledError:
                    places.add(writes[-1].split("/")[0])
            ingest(lake, now + SECOND)
            assert fates(lake) == FATES, (number, after, writes)
            rows = stored(lake, now)
            own = {key: row for key, row in rows.items() if key[0].startswith("acme:")}
            assert len(own) == 4
            row = own["acme:a", NOW]
            assert (row["value"], row["previous_value"], row["revision"]) == (2, 1, 1)
            assert (row["first_seen_at"], row["changed_at"]) == (NOW, NOW + SECOND)
            assert lake.store.list("landing") == []
            for folder in ("receipts", "readings"):
                lake.store.delete([meta.key for meta in lake.store.list(folder)])
    assert places == {"put readings", "put receipts", "delete ['landing"}


@pytest.mark.races
def test_two_runs_at_once_end_as_one(lake):
    for number in range(20):
        batches.land(
            lake.store, batch_of("acme", f"b-{number}", [("acme:a", NOW, float(number))], NOW + number * SECOND)
        )
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: ingest(lake, NOW + HOUR), range(2)))
    ingest(lake, NOW + HOUR)
    assert stored(lake, NOW + HOUR)["acme:a", NOW]["value"] == 19
    receipts = [batches.find(lake.store, Place.of("acme", f"b-{number}")) for number in range(20)]
    assert [each.state for each in receipts] == ["ingested"] * 20
    assert lake.store.list("landing") == []


def test_another_content_that_lands_after_the_first_was_ingested_is_refused_and_never_ingested(lake, monkeypatch):
    first, other = story()[0], batch_of("acme", "one", [("acme:a", NOW, 99.0)], NOW + SECOND)
    batches.land(lake.store, first)
    find = batches.find

    def found_before_the_other_run_was_ready(store: Store, place: Place) -> Receipt | None:
        ingest(lake, NOW + HOUR)
        monkeypatch.setattr(batches, "find", find)
        return None

    monkeypatch.setattr(batches, "find", found_before_the_other_run_was_ready)
    with pytest.raises(batches.OtherContentError):
        batches.land(lake.store, other)
    assert len(lake.store.list("landing")) == 1
    assert ingest(lake, NOW + HOUR).repeated == 1
    assert lake.store.list("landing") == []
    assert stored(lake, NOW + HOUR)["acme:a", NOW]["value"] == 1


PACKED = gzip.compress(b"measure_id,date_time,value\nacme:a,2026-10-05T09:00:00Z,1\n")
HOSTILE: list[tuple[bytes, set[int], dict[str, str]]] = [
    (PACKED[:-9], {400}, {"Content_Encoding": "gzip"}),
    (gzip.compress(bytes(50_000_000), 9), {413}, {"Content_Encoding": "gzip"}),
    (b" " * 5_000_001, {413}, {}),
    (b"\xff", {400}, {}),
    # Who guesses on is told to wait.
    (PACKED, {401, 429}, {"Content_Encoding": "gzip", "X_Api_Key": "wrong"}),
]


def refuse_at_once(who: Publisher, id_: str, chance: random.Random) -> None:
    """Push something of which nothing lands."""
    data, statuses, more = chance.choice(HOSTILE)
    answer = who.post(data, id_, "text/csv", **more)
    assert answer.status_code in statuses, answer.text
    assert answer.json()["detail"]


def ingest_until_killed(lake: Lake, chance: random.Random) -> bool:
    """Begin a run that may be killed at any write; return whether it was."""
    with killed_at(lake.store, chance.randrange(1, 120), after=chance.random() < 0.5):
        try:
            ingest(lake, NOW)
        except KilledError:
            return True
    return False


@pytest.mark.parametrize(
    "many", [pytest.param(400, marks=pytest.mark.slow), pytest.param(10_000, marks=pytest.mark.long)]
)
def test_many_batches_of_two_publishers_end_as_a_plain_model_says(tmp_path, many):
    """Each is pushed over HTTP, many again or in a way that is refused; runs that ingest them are killed between."""
    chance, lake = random.Random(many), Lake.open(tmp_path / "lake")
    fill(lake)
    before = stored(lake, NOW)
    model: dict[tuple[str, datetime], list[float]] = {}
    taken: list[tuple[Publisher, str, list, list, dict]] = []
    refused = killed = 0
    with pushed_to(lake, NOW, tmp_path) as api:
        publishers = [Publisher(api, name) for name in ("acme", "beta")]
        for number in range(many):
            who, what = chance.choice(publishers), chance.random()
            if what < 0.15 and taken:
                again, id_, good, bad, receipt = chance.choice(taken)
                answer = again.post([*good, *bad], id_)
                assert (answer.status_code, answer.json()["digest"]) == (200, receipt["digest"])
                continue
            if what < 0.2 and taken:
                again, id_, rows, _, _ = chance.choice(taken)
                assert again.post([*rows, rows[0] | {"value": -1}], id_).status_code == 409
                continue
            if what < 0.22:
                refuse_at_once(who, f"hostile-{number}", chance)
                continue
            rows = [
                who.reading(
                    f"gauge-{chance.randrange(40)}",
                    NOW - chance.randrange(1400) * timedelta(minutes=1),
                    chance.randrange(5),
                )
                for _ in range(chance.randrange(1, 8))
            ]
            if what < 0.25 and taken:
                # The same content under another id.
                who, _, rows, _, _ = chance.choice(taken)
            bad = [
                reading("K1-level", NOW, 99),
                who.reading("a", NOW - 30 * HOUR),
                who.reading("a", NOW + HOUR),
                reading("other:a", NOW),
                {"measure_id": f"{who.name}:a"},
            ]
            extra = chance.sample(bad, chance.randrange(3)) if what > 0.7 else []
            refused += len(extra)
            answer = who.post([*rows, *extra], f"batch-{number}")
            assert answer.status_code == 202, answer.text
            assert (answer.json()["accepted"], answer.json()["rejected"]) == (len(rows), len(extra))
            taken.append((who, f"batch-{number}", rows, extra, answer.json()))
            for key, value in {(row["measure_id"], row["date_time"]): row["value"] for row in rows}.items():
                at = key[0], datetime.fromisoformat(key[1])
                if model.setdefault(at, [value])[-1] != value:
                    model[at].append(value)
            if chance.random() < 20 / many:
                killed += ingest_until_killed(lake, chance)
        ingest(lake, NOW + timedelta(minutes=1))
        receipts = [who.receipt(id_).json() for who, id_, *_ in taken]

    assert killed
    rows = stored(lake, NOW)
    assert {key: rows[key] for key in before} == before
    own = {key: row for key, row in rows.items() if key not in before}
    assert {key: row["value"] for key, row in own.items()} == {key: values[-1] for key, values in model.items()}
    assert {key: row["revision"] for key, row in own.items()} == {key: len(values) - 1 for key, values in model.items()}
    assert {each["state"] for each in receipts} == {"ingested"}
    assert sum(each["added"] for each in receipts) == len(model)
    assert sum(each["revised"] for each in receipts) == sum(len(values) - 1 for values in model.values())
    for each in receipts:
        counts = (each["added"], each["revised"], each["unchanged"], each["expired"], each["repeated"])
        assert sum(counts) == each["accepted"]
    assert sum(each["rejected"] for each in receipts) >= refused
    assert len(lake.read(REJECTS, now=NOW + timedelta(minutes=1))) == sum(each["rejected"] for each in receipts)
    assert lake.store.list("landing") == []
    landed = [to_ms(datetime.fromisoformat(each["landed_at"])) for each in receipts]
    assert landed == sorted(landed)


@pytest.mark.parametrize("seed", range(3))
def test_batches_that_land_and_are_ingested_in_any_order_end_with_what_landed_last(tmp_path, seed):
    """A slow server stores a batch after others that came later; runs begin in between."""
    chance, lake = random.Random(seed), Lake.open(tmp_path / "lake")
    given = [
        batch_of(
            "acme", f"b-{number}", [(f"acme:{chance.randrange(4)}", NOW - HOUR, float(number))], NOW + number * SECOND
        )
        for number in range(40)
    ]
    expected = {batch.readings.measure_id[0]: batch.readings.value[0] for batch in given}
    for batch in chance.sample(given, len(given)):
        batches.land(lake.store, batch)
        if chance.random() < 0.2:
            ingest(lake, NOW + HOUR)
    ingest(lake, NOW + HOUR)
    assert {key[0]: row["value"] for key, row in stored(lake, NOW).items()} == expected
    found = [batches.find(lake.store, Place.of("acme", batch.id)) for batch in given]
    assert all(each.added + each.revised + each.unchanged == 1 for each in found)
