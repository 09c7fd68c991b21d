"""Test store faults in runs: nothing stored is lost, the reason is reported, the next tick heals.

Through the Dagster jobs as the schedules ask for them. The store's own behaviour is in `lake/test_store_faults` and
`lake/test_damage`.
"""

import logging
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster import DagsterEventType

from flood_assets.lake import watermarks
from flood_assets.lake.layout import IDENTITY, WATERMARKS_KEY, key_of
from flood_assets.partitions import retained_windows, window_of
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS, Table
from flood_assets.simulator import Server
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place, failure_of
from flood_assets_tests.defs.assets.test_readings import stored, truth
from flood_assets_tests.defs.test_checks import failed, judged, said
from flood_assets_tests.support.faulty_s3 import Proxy, in_front_of
from flood_assets_tests.support.lake_rows import put_raw, read_window, rejects
from flood_assets_tests.support.quick_dagster import copy_records
from flood_assets_tests.support.s3 import BUCKET, s3_server

__all__ = ["s3_server"]

TRIES = 2
WINDOW = window_of(NOW)


@pytest.fixture(params=["s3_server", pytest.param("ceph_server", marks=pytest.mark.s3)])
def proxy(request):
    with in_front_of(request.getfixturevalue(request.param)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def readings_only(country: Server, tmp_path_factory) -> Iterator[tuple[Path, dg.DagsterInstance]]:
    """A lake and an instance after a tick without a snapshot, to be copied."""
    folder = tmp_path_factory.mktemp("readings only") / "lake"
    with dg.DagsterInstance.ephemeral() as instance:
        assert Place(country, folder.as_uri(), instance).tick().success
        yield folder, instance


@pytest.fixture
def bucket(readings_only, place: Place, proxy: Proxy, monkeypatch) -> Place:
    """Return a place whose lake is in a bucket behind the proxy, after the first tick."""
    for name, value in proxy.server.environ.items():
        monkeypatch.setenv(name, value)
    place.lake_url = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    place.lake_settings = {"endpoint_url": proxy.server.endpoint_url, "answer_timeout_s": 2, "tries": TRIES}
    folder, instance = readings_only
    client, prefix = proxy.behind.client(), place.lake_url.removeprefix(f"s3://{BUCKET}/")
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
    client.close()
    copy_records(instance, place.instance)
    return place


def is_sound(place: Place) -> bool:
    """Whether the lake holds exactly what the API shows, in all windows, and the watermarks say no more than is
    true."""
    lake, there, known = place.lake, stored(place), watermarks.load(place.lake.store)
    newest: dict[str, datetime] = {}
    for measure, at in truth(place):
        newest[measure] = max(at, newest.get(measure, at))
    marked = dict(zip(known.rows["measure_id"].to_pylist(), known.rows["newest"].to_pylist(), strict=True))
    return (
        there.keys() == truth(place).keys()
        and not known.forgotten
        and all(watermark <= newest[measure] for measure, watermark in marked.items())
        and set(retained_windows(place.now)[1:-1]) <= {found.window for found in lake.windows(READINGS)}
        and not lake.damaged(READINGS)
    )


def tries_of(result: dg.ExecuteInProcessResult) -> int:
    return 1 + sum(event.event_type == DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)


# -- a store in trouble

NEW, READ = ("PUT", key_of(READINGS, WINDOW)), ("GET", key_of(READINGS, WINDOW))
STAYING = {
    "busy at writing": (NEW, ("answers", 503, "SlowDown"), "could not be written: the store is overloaded"),
    "resets at reading": (READ, ("resets",), "could not be read: the store does not answer"),
    "denied at the watermarks": (
        ("PUT", WATERMARKS_KEY),
        ("answers", 403, "AccessDenied"),
        "could not be written: access denied",
    ),
    "refused for others": (NEW, ("answers", 412, "PreconditionFailed"), "gave up after 12 write conflicts"),
}


@pytest.mark.parametrize("trouble", STAYING)
def test_trouble_that_stays_fails_the_run_and_the_next_tick_after_it_heals(bucket, proxy, trouble, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    request, (how, *more), told = STAYING[trouble]
    bucket.at(NOW + QUARTER)
    before = stored(bucket)
    fault = proxy.on(*request)
    getattr(fault, how)(*more)
    result = bucket.tick()
    assert not result.success
    assert told in failure_of(result)
    assert tries_of(result) == 2
    proxy.heal()
    assert before.items() <= stored(bucket).items()
    assert bucket.at(NOW + 2 * QUARTER).tick().success
    assert is_sound(bucket)


PASSING = {
    "a write was done and its answer lost": (NEW, ("resets_after",)),
    "the watermarks were written and the answer lost": (("PUT", WATERMARKS_KEY), ("resets_after",)),
    "no answer": (NEW, ("stalls",)),
}


@pytest.mark.parametrize("trouble", PASSING)
def test_trouble_that_passes_is_no_matter_to_the_run(bucket, proxy, trouble):
    request, (how, *more) = PASSING[trouble]
    bucket.at(NOW + QUARTER)
    getattr(proxy.on(*request, times=1), how)(*more)
    result = bucket.tick()
    assert result.success
    assert tries_of(result) == 1
    assert is_sound(bucket)
    told = bucket.materializations("readings", WINDOW)[0].metadata
    assert told["added"].value > 0


def test_access_denied_in_the_middle_of_a_range_leaves_the_older_windows_done(bucket, proxy):
    lake, hole = bucket.lake, [WINDOW - hours * HOUR for hours in (6, 5, 4, 3)]
    lake.store.delete([key_of(READINGS, window) for window in hole])
    before = watermarks.load(lake.store)
    proxy.on("PUT", key_of(READINGS, hole[2])).answers(403, "AccessDenied")
    result = bucket.materialize("readings", hole[0], hole[-1])
    assert f"hour={hole[2]:%H}/readings.parquet could not be written: access denied" in failure_of(result)
    there = {found.window for found in lake.windows(READINGS)}
    assert there & set(hole) == set(hole[:2])
    assert watermarks.load(lake.store) == before
    proxy.heal()
    assert bucket.at(NOW + QUARTER).tick().success
    assert is_sound(bucket)


def test_a_cleanup_that_fails_loses_nothing_and_is_done_by_the_next(bucket, proxy):
    bucket.at(NOW + 2 * HOUR)
    assert bucket.tick().success
    before = stored(bucket)
    proxy.on("POST", "delete").answers(403, "AccessDenied")
    assert "could not be deleted: access denied: check the credentials" in failure_of(bucket.expire())
    assert stored(bucket) == before
    proxy.heal()
    assert bucket.expire().success
    assert not bucket.lake.expired(bucket.now)
    assert stored(bucket) == before


# -- disks


@pytest.fixture
def small_disk(place: Place, tmp_path):
    """Yield a filled place on a 2 MB file system, and a way to remove its space or permission."""
    disk = tmp_path / "small"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    place.lake_url = (disk / "lake").as_uri()
    assert place.tick(snapshot=True).success
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_told_and_the_next_tick_after_it_heals(place, small_disk):
    place.at(NOW + QUARTER)
    before = stored(place)
    with (small_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))
    assert "the disk is full: free some space, or set FLOOD_LAKE_URL to another folder" in failure_of(place.tick())
    assert stored(place) == before
    (small_disk / "filler").unlink()
    assert place.at(NOW + 2 * QUARTER).tick().success
    assert is_sound(place)
    assert place.expire().success
    assert not list((small_disk / "lake").rglob("*#*"))


def test_a_read_only_folder_is_told_and_the_next_tick_after_it_heals(place, small_disk):
    place.at(NOW + QUARTER)
    before = stored(place)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert "the folder is read-only: set FLOOD_LAKE_URL to one that can be written" in failure_of(place.tick())
    assert stored(place) == before
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert place.at(NOW + 2 * QUARTER).tick().success
    assert is_sound(place)


# -- damage


def of_another_table(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"station_id": ["S"]}), sink)
    return sink.getvalue().to_pybytes()


def with_a_flipped_value(data: bytes, column: str = "value") -> bytes:
    group = pq.read_metadata(pa.BufferReader(data)).row_group(0)
    (chunk,) = [group.column(i) for i in range(group.num_columns) if group.column(i).path_in_schema == column]
    at = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


DAMAGE = {
    "no bytes": lambda _: b"",
    "zeros": lambda data: bytes(len(data)),
    "the beginning only": lambda data: data[: len(data) // 2],
    "another table": of_another_table,
    "a text": lambda _: b"<html>503 Service Unavailable</html>",
    "a flipped value": with_a_flipped_value,
}


def damage(place: Place, key: str, kind: str = "the beginning only") -> bytes:
    data = DAMAGE[kind](place.lake.store.get(key).data.to_pybytes())
    put_raw(place.lake, key, data)
    return data


def aside_of(place: Place, table: Table) -> list[bytes]:
    store = place.lake.store
    return [bytes(store.get(meta.key).data) for meta in store.list(f"_quarantine/{table.name}")]


# One that no tick touches, the window that is filling, and the one that the cutoff crosses.
@pytest.mark.parametrize(
    ("kind", "hours_ago"),
    [("no bytes", 7), ("a flipped value", 7), ("another table", 0), ("a flipped value", 24)],
)
def test_a_damaged_window_of_readings_is_told_of_and_filled_again(filled, kind, hours_ago, caplog):
    window = WINDOW - hours_ago * HOUR
    spoilt = damage(filled, key_of(READINGS, window), kind)
    before = {key: value for key, value in truth(filled).items() if window_of(key[1]) != window}
    filled.at(NOW + QUARTER)
    first = filled.tick()
    assert first.success
    assert aside_of(filled, READINGS) == [spoilt]
    (logged,) = [record for record in caplog.records if "It is kept as _quarantine/" in record.message]
    assert logged.levelno == logging.ERROR
    # Reported by the run that reads the footer, by the check that decodes the pages, or by both.
    checked = {found.check_name: found for found in first.get_asset_check_evaluations()}
    recorded = filled.materializations("readings", window)[0].metadata.get("quarantined_as")
    kept = recorded or checked["windows_readable"].metadata["quarantined_as"]
    assert kept.value.startswith(f"_quarantine/{key_of(READINGS, window)}.")
    assert checked["windows_readable"].passed == (recorded is not None)
    assert {key: value for key, value in stored(filled).items() if key in before}.keys() == {
        key for key in before if key[1] > filled.now - 24 * HOUR
    }
    filled.at(NOW + 2 * QUARTER)
    assert filled.tick().success
    assert is_sound(filled)
    assert not failed(judged(filled))


def test_the_checks_find_a_flipped_byte_in_whatever_column(filled):
    """No tick may ever touch the window, and readers want all its columns."""
    for window, column in zip(retained_windows(NOW), READINGS.schema.names, strict=False):
        whole = filled.lake.store.get(key_of(READINGS, window)).data.to_pybytes()
        put_raw(filled.lake, key_of(READINGS, window), with_a_flipped_value(whole, column))
    checks = judged(filled)
    assert "windows_readable" in failed(checks)
    assert said(checks["windows_readable"])["damaged"] == len(READINGS.schema.names) == 9
    assert filled.tick().success
    assert is_sound(filled)


@pytest.mark.parametrize(
    ("proxy", "kind"),
    [("s3_server", "no bytes"), *(pytest.param("ceph_server", kind, marks=pytest.mark.s3) for kind in DAMAGE)],
    indirect=["proxy"],
)
def test_a_damaged_window_in_a_bucket_is_filled_again(bucket, kind):
    spoilt = damage(bucket, key_of(READINGS, WINDOW - 7 * HOUR), kind)
    assert bucket.at(NOW + QUARTER).tick().success
    assert aside_of(bucket, READINGS) == [spoilt]
    assert bucket.at(NOW + 2 * QUARTER).tick().success
    assert is_sound(bucket)


def test_damage_that_comes_while_a_run_is_at_work_voids_its_watermarks(bucket, proxy):
    """The run has read the whole day and stored it; then a window is lost, before it comes to write its watermarks."""
    bucket.at(NOW + QUARTER)
    other = bucket.lake
    window = WINDOW - 7 * HOUR

    def lose():
        damage(bucket, key_of(READINGS, window))
        assert other.quarantine(READINGS, window)

    proxy.on("PUT", key_of(READINGS, WINDOW), times=1).waits_for(lose)
    assert bucket.tick().success
    assert watermarks.load(other.store).forgotten
    assert not [key for key in stored(bucket) if window_of(key[1]) == window]
    assert bucket.at(NOW + 2 * QUARTER).tick().success
    assert is_sound(bucket)


@pytest.mark.parametrize(("table", "hours_ago"), [(STATIONS, 7), (MEASURES, 0)], ids=["stations", "measures"])
def test_a_damaged_snapshot_is_told_of_and_replaced_by_the_next(filled, table, hours_ago):
    window = WINDOW - hours_ago * HOUR
    spoilt = damage(filled, key_of(table, window))
    checks = judged(filled, table.name)
    assert failed(checks) == {f"{table.name}_valid"}
    assert said(checks[f"{table.name}_valid"])["damaged"] == 1
    # The readings of the hour go on with an older snapshot.
    tick = filled.at(NOW + QUARTER).tick()
    assert all(check.passed for check in tick.get_asset_check_evaluations())
    filled.at(NOW + HOUR)
    result = filled.materialize(table.name, window_of(filled.now))
    assert result.success
    assert aside_of(filled, table) == [spoilt]
    assert "quarantined_as" in result.asset_materializations_for_node(table.name)[0].metadata
    assert not failed(judged(filled, table.name))
    assert filled.lake.damaged(table) == []
    assert len(read_window(filled.lake, table, window, now=filled.now)) > 0


def test_damaged_rejects_are_reported_and_quarantined(filled):
    filled.lake.add_rejects(rejects((WINDOW - 3 * HOUR, "x", "odd")))
    spoilt = damage(filled, key_of(REJECTS, WINDOW - 3 * HOUR))
    assert filled.at(NOW + QUARTER).tick().success
    assert failed(judged(filled)) == set()
    assert aside_of(filled, REJECTS) == [spoilt]
    assert is_sound(filled)


def test_damaged_watermarks_let_the_day_be_read_again(filled):
    damage(filled, WATERMARKS_KEY)
    filled.at(NOW + QUARTER)
    assert filled.tick().success
    assert filled.server.stats()["/data/readings date"]["requests"] == 2
    assert is_sound(filled)


def test_a_damaged_identity_stops_every_run_until_it_is_deleted_as_it_is_told(filled):
    before = {found.key: found.e_tag for found in filled.lake.windows(READINGS)}
    damage(filled, IDENTITY)
    filled.at(NOW + QUARTER)
    for run in (filled.tick, filled.reconcile):
        assert f"{IDENTITY} cannot be understood" in failure_of(run())
    assert {found.key: found.e_tag for found in filled.lake.windows(READINGS)} == before
    filled.lake.store.delete([IDENTITY])
    assert filled.tick().success
    assert is_sound(filled)
