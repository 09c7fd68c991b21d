"""Stores that fail: what is stored then, what is said, when it is given up, and that the next attempt finds all well.

The faults come from a proxy in front of a real S3 server (`faulty_s3`), one by one. Objects that are damaged are in
`test_damage`, and what all this means for runs in `test_store_faults_in_runs`.
"""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from moto.backends import get_backend

from flood_assets.errors import LakeError
from flood_assets.lake import read
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.lake.store import Patience
from flood_assets.schemas import READINGS, STATIONS
from flood_assets_tests.support.faulty_s3 import Proxy, in_front_of
from flood_assets_tests.support.lake_rows import (
    HOUR,
    NOW,
    at,
    fetched,
    keys,
    put_snapshot,
    read_window,
    stations,
    values,
)
from flood_assets_tests.support.s3 import BUCKET

TRIES = 3

# Enough for an answer on a busy machine, and short enough to wait for one that never comes.
SHORT = Patience(connect_s=5, answer_s=1.5, retry_s=30, tries=TRIES)

IDS = [f"measure-{i}" for i in range(20)]
LATER = NOW + 2 * HOUR
NINE = key_of(READINGS, at(9)).replace(".", r"\.")


@pytest.fixture(params=["s3_server", pytest.param("ceph_server", marks=pytest.mark.s3)])
def proxy(request):
    with in_front_of(replace(request.getfixturevalue(request.param), max_attempts=TRIES)) as proxy:
        yield proxy


@pytest.fixture
def lake(proxy: Proxy) -> Lake:
    """A lake that holds the two ends of a day, behind the proxy."""
    lake = Lake.open(f"s3://{BUCKET}/{uuid.uuid4().hex}/lake", s3=proxy.server, patience=SHORT)
    times = [at(h, m, days_ago=1) for h in (10, 11) for m in (0, 15, 30)] + [at(8), at(8, 30), at(9)]
    beside(lake, proxy).upsert_readings(fetched(*[(i, t, 1.0) for i in IDS for t in times]), NOW, NOW)
    return lake


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)


def beside(lake: Lake, proxy: Proxy) -> Lake:
    """The same lake, not through the proxy: another writer, or what there really is."""
    return Lake.open(lake.url, s3=proxy.behind)


def work(lake: Lake) -> None:
    """Some of everything: new rows and a correction in windows that are there, a new window, an expiry."""
    rows = fetched(*[(m, at(h), 2.0) for m in IDS for h in (8, 9, 10)], ("new", at(11), 3.0))
    (eight, nine, ten, eleven) = lake.upsert_readings(rows, LATER, LATER).windows
    assert [change.revised for change in (eight, nine)] == [20, 20]
    assert [change.added for change in (ten, eleven)] == [20, 1]
    assert {expiry.action for expiry in lake.expire(LATER)} == {"deleted", "trimmed"}


def worked(lake: Lake) -> dict:
    """What `work` leaves of a day."""
    left = {(m, t): v for (m, t), v in values(lake, NOW).items() if t > LATER - 24 * HOUR}
    new = {(m, at(h)): 2.0 for m in IDS for h in (8, 9, 10)}
    return left | new | {("new", at(11)): 3.0}


# -- trouble that passes

PASSING = {
    "busy": ("answers", 503, "SlowDown"),
    "error": ("answers", 500, "InternalError"),
    "done, and an error said": ("answers_after", 500, "InternalError"),
    "reset": ("resets",),
    "done, and reset": ("resets_after",),
    "breaks off": ("breaks_in_body",),
}
REQUESTS = {
    "read": ("GET", rf"{NINE}$"),
    "footer": ("GET", "readings/date"),
    "listing": ("GET", "list-type=2"),
    "write": ("PUT", f"{NINE}$"),
    "first write": ("PUT", key_of(READINGS, at(11))),
    "deletion": ("POST", "delete"),
}


@pytest.mark.parametrize(
    ("trouble", "request_"),
    [(t, r) for t in PASSING for r in REQUESTS if t != "breaks off" or r in {"read", "listing"}],
)
def test_trouble_that_passes_changes_nothing(lake, proxy, trouble, request_):
    """Least of all that a write was done whose answer was lost: it is neither done twice nor taken for another's."""
    expected = worked(lake)
    how, *more = PASSING[trouble]
    fault = proxy.on(*REQUESTS[request_], times=2)
    getattr(fault, how)(*more)
    work(lake)
    assert fault.seen >= 2
    assert values(beside(lake, proxy), LATER) == expected
    rows = beside(lake, proxy).read(READINGS, now=LATER, columns=["measure_id", "date_time", "revision"]).to_pylist()
    assert {row["revision"] for row in rows if row["date_time"] in {at(8), at(9)}} == {1}


@pytest.mark.parametrize("request_", ["read", "listing", "write", "deletion"])
def test_an_answer_that_does_not_come_is_asked_for_again(lake, proxy, request_):
    expected = worked(lake)
    fault = proxy.on(*REQUESTS[request_], times=1).stalls()
    work(lake)
    assert fault.seen >= 2
    assert values(beside(lake, proxy), LATER) == expected


@pytest.mark.parametrize("status", [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed")])
@pytest.mark.parametrize("request_", ["write", "first write"])
def test_a_write_that_is_refused_for_another_is_merged_again(lake, proxy, status, request_, no_pauses):
    expected = worked(lake)
    proxy.on(*REQUESTS[request_], times=4).answers(*status)
    work(lake)
    assert values(beside(lake, proxy), LATER) == expected


# -- trouble that stays

STAYING = {
    "busy": ("answers", (503, "SlowDown"), "the store is overloaded or in trouble", TRIES),
    "error": ("answers", (500, "InternalError"), "the store is overloaded or in trouble", TRIES),
    "reset": ("resets", (), "the store does not answer: check the network and the endpoint", TRIES),
    "denied": ("answers", (403, "AccessDenied"), "access denied: check the credentials", 1),
}
DONE = {"read": "read", "footer": "read", "listing": "listed", "write": "written", "deletion": "deleted"}


@pytest.mark.parametrize("request_", DONE)
@pytest.mark.parametrize("trouble", STAYING)
def test_trouble_that_stays_is_said_and_leaves_what_was_there(lake, proxy, trouble, request_):
    expected, before = worked(lake), values(lake, NOW)
    how, more, said, tries = STAYING[trouble]
    fault = proxy.on(*REQUESTS[request_])
    getattr(fault, how)(*more)
    with pytest.raises(LakeError, match=rf"^s3://{BUCKET}/\S+ could not be {DONE[request_]}: {said}") as raised:
        work(lake)
    assert "Debug source" not in str(raised.value)
    # Readers go on: each row that was there is there, as it was or as it was to become.
    there = values(beside(lake, proxy), NOW)
    assert there.keys() >= {key for key in before if key[1] > LATER - 24 * HOUR}
    assert all(there[key] in {before.get(key), expected.get(key)} for key in there)
    assert fault.seen % tries == 0
    assert fault.seen <= tries * read.READERS
    proxy.heal()
    lake.upsert_readings(fetched(*[(m, at(h), 2.0) for m in IDS for h in (8, 9, 10)]), LATER, LATER)
    lake.upsert_readings(fetched(("new", at(11), 3.0)), LATER, LATER)
    lake.expire(LATER)
    assert values(beside(lake, proxy), LATER) == expected


@pytest.mark.parametrize("request_", ["read", "write", "listing", "deletion"])
def test_a_store_that_never_answers_is_given_up(lake, proxy, request_):
    """In the time of the answers that it waits for, and no attempt begins after `retry_s`."""
    hasty = Lake.open(lake.url, s3=proxy.server, patience=replace(SHORT, retry_s=1))
    before = values(lake, NOW)
    fault = proxy.on(*REQUESTS[request_]).stalls()
    with pytest.raises(LakeError, match=f"could not be {DONE[request_]}: the store does not answer"):
        work(hasty)
    # The proxy keeps it waiting until the test's end: without a limit of its own it would not come back.
    assert fault.seen == 1
    assert values(beside(lake, proxy), NOW).keys() >= {key for key in before if key[1] > LATER - 24 * HOUR}


@pytest.mark.parametrize("status", [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed")])
def test_a_write_that_is_always_refused_says_so(lake, proxy, status, no_pauses):
    proxy.on("PUT", f"{NINE}$").answers(*status)
    with pytest.raises(LakeError, match=f"{NINE}: gave up after 12 write conflicts"):
        lake.upsert_readings(fetched(("m", at(9), 2.0)), NOW, NOW)
    assert ("m", at(9)) not in values(beside(lake, proxy))


def test_access_denied_in_the_middle_leaves_older_windows_done_and_newer_ones_as_they_were(lake, proxy):
    rows = fetched(*[("m", at(h), 2.0) for h in (6, 7, 8, 9)])
    proxy.on("PUT", key_of(READINGS, at(8))).answers(403, "AccessDenied")
    newer = beside(lake, proxy).store.head(key_of(READINGS, at(9)))
    with pytest.raises(
        LakeError, match=r"date=2026-11-21/hour=08/readings.parquet could not be written: access denied"
    ):
        lake.upsert_readings(rows, NOW, NOW)
    assert {t for m, t in values(beside(lake, proxy)) if m == "m"} == {at(6), at(7)}
    assert beside(lake, proxy).store.head(key_of(READINGS, at(9))) == newer
    proxy.heal()
    changes = lake.upsert_readings(rows, NOW, NOW).windows
    assert [change.written for change in changes] == [False, False, True, True]


def test_a_deletion_that_is_denied_for_one_object_of_many_is_an_error(lake, proxy):
    """S3 answers 200 to a deletion of many, and names in its body those that failed."""
    first = key_of(READINGS, at(10, days_ago=1))
    proxy.on("POST", "delete").says(
        200,
        '<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Error>'
        f"<Key>{lake.url.removeprefix(f's3://{BUCKET}/')}/{first}</Key><Code>AccessDenied</Code>"
        "<Message>Access Denied</Message></Error></DeleteResult>",
    )
    with pytest.raises(LakeError, match="could not be deleted: access denied"):
        lake.expire(LATER)
    assert beside(lake, proxy).store.head(first) is not None


# -- others at the same time


def test_a_window_that_vanishes_between_listing_and_reading_holds_nothing(lake, proxy):
    other, key = beside(lake, proxy), key_of(READINGS, at(9))
    proxy.on("GET", NINE, times=1).waits_for(lambda: other.store.delete([key]))
    assert lake.contents(READINGS, [at(8), at(9)])[at(9)].rows == 0
    other.upsert_readings(fetched(("m", at(9), 1.0)), NOW, NOW)
    proxy.on("GET", NINE, times=1).waits_for(lambda: other.store.delete([key]))
    contents, damaged = lake.inspect(READINGS, [at(9), at(8)])
    assert list(contents) == [at(8)]
    assert not damaged
    other.upsert_readings(fetched(("m", at(9), 1.0)), NOW, NOW)
    proxy.on("GET", rf"{NINE}$", times=1).waits_for(lambda: other.store.delete([key]))
    assert not [t for _, t in values(lake) if t >= at(9)]


def test_an_expired_window_that_another_deletes_first_is_no_error(lake, proxy):
    other, key = beside(lake, proxy), key_of(READINGS, at(10, days_ago=1))
    gone = proxy.on("GET", key, times=1).waits_for(lambda: other.store.delete([key]))
    lake.expire(LATER)
    assert gone.seen
    assert lake.expired(LATER) == []


@pytest.mark.parametrize("how", ["replaced", "deleted"])
def test_a_window_that_changes_between_its_head_and_its_parts_is_opened_anew(lake, proxy, how, monkeypatch, no_pauses):
    monkeypatch.setattr(read, "WHOLE_UP_TO", 0)
    other = beside(lake, proxy)

    def change():
        if how == "replaced":
            other.upsert_readings(fetched(("later", at(9), 7.0), *[(m, at(9), 5.0) for m in IDS]), NOW, NOW)
        else:
            other.store.delete([key_of(READINGS, at(9))])

    # Of a window that is read in parts, the first request only says how large it is.
    proxy.on("GET", rf"{NINE}$", after=1, times=1).waits_for(change)
    rows = read_window(lake, READINGS, at(9), now=NOW, measure_ids=[IDS[0], "later"]).to_pylist()
    assert [row["value"] for row in rows] == ([7.0, 5.0] if how == "replaced" else [])
    other.upsert_readings(fetched(*[(m, at(9), 1.0) for m in IDS]), NOW + HOUR, NOW)
    proxy.on("GET", rf"{NINE}$", times=1).waits_for(change)
    assert lake.contents(READINGS, [at(9)])[at(9)].rows == (21 if how == "replaced" else 0)


@pytest.mark.parametrize("times", [1, 5])
def test_a_write_that_another_writer_is_ahead_of_is_merged_with_what_he_wrote(lake, proxy, times, no_pauses):
    other, count = beside(lake, proxy), iter(range(100))

    def ahead():
        other.upsert_readings(fetched((f"other {next(count)}", at(9), 3.0)), NOW, NOW)

    proxy.on("PUT", f"{NINE}$", times=times).waits_for(ahead)
    (change,) = lake.upsert_readings(fetched(("mine", at(9), 2.0)), NOW, NOW).windows
    assert (change.added, change.rows) == (1, 20 + times + 1)
    there = values(other)
    assert there["mine", at(9)] == 2.0
    assert sum(m.startswith("other") for m, _ in there) == times


def test_of_two_that_claim_a_lake_at_once_with_a_lost_answer_both_know_whose_it_is(lake, proxy):
    proxy.on("PUT", "_lake.json", times=1).resets_after()
    lake.claim("http://one")
    assert beside(lake, proxy).source() == "http://one"


def test_a_snapshot_whose_answer_is_lost_is_stored_once(lake, proxy):
    proxy.on("PUT", "stations/", times=1).resets_after()
    assert put_snapshot(lake, STATIONS, at(9), stations("S")).added == 1
    assert len(beside(lake, proxy).read(STATIONS, now=NOW)) == 1


# -- many objects


@pytest.fixture
def crowd(lake, proxy, request):
    """3,000 objects below `readings/` and 1,500 quarantined, by asking for many at once."""
    days = [f"{NOW - (100 + i) * 24 * HOUR:date=%Y-%m-%d}" for i in range(900)]
    names = [f"readings/notes {i}.txt" for i in range(900)]
    names += [f"readings/{days[i]}/hour={i % 24:02}/part-{i}.parquet" for i in range(900)]
    names += [f"readings/date=2016-13-{i % 90:02}/hour={i // 90:02}/readings.parquet" for i in range(900)]
    names += [f"readings/{days[i]}/hour=30/readings.parquet" for i in range(300)]
    names += [f"readings-{i}/date=2026-11-21/hour=09/readings.parquet" for i in range(100)]
    aside = [f"_quarantine/{key_of(READINGS, NOW - (48 + i) * HOUR)}.2026-{i}" for i in range(1500)]
    prefix = lake.url.removeprefix(f"s3://{BUCKET}/")
    keys = [f"{prefix}/{name}" for name in [*names, *aside]]
    if request.node.callspec.params["proxy"] == "s3_server":
        # moto takes a minute for them over HTTP; what matters here is how they are listed.
        backend = get_backend("s3")["123456789012"]["aws"]
        for key in keys:
            backend.put_object(BUCKET, key, b"")
        yield names
        for key in keys:
            backend.delete_object(BUCKET, key)
    else:
        client = proxy.behind.client()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: client.put_object(Bucket=BUCKET, Key=key, Body=b""), keys))
        client.close()
        yield names


def test_among_thousands_of_objects_only_the_windows_are_seen_and_expired(lake, proxy, crowd):
    # With the usual patience: a busy gateway may take seconds for a thousand objects, and is asked again after that.
    lake = Lake.open(lake.url, s3=proxy.server)
    before = [stored.window for stored in beside(lake, proxy).windows(READINGS)]
    assert len(before) == 4
    proxy.asked.clear()
    assert [stored.window for stored in lake.windows(READINGS)] == before
    assert proxy.count("GET", "list-type=2") >= 4  # a thousand a page
    assert len(lake.expired(LATER, tables=[READINGS])) == 1502
    proxy.asked.clear()
    done = lake.expire(LATER, tables=[READINGS])
    assert (len(done), {expiry.action for expiry in done}) == (1502, {"deleted", "trimmed"})
    assert proxy.count("POST", "delete") == 2
    assert set(keys(beside(lake, proxy))) == {*crowd, *(key_of(READINGS, window) for window in before[1:])}
