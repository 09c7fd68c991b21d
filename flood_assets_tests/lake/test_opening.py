"""How a lake is opened, to whom it belongs, and what is said when it cannot be reached."""

import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from dagster_aws.s3 import S3Resource

from flood_assets.errors import LakeError, SettingsError, WrongLakeError
from flood_assets.lake.lake import Lake
from flood_assets.lake.store import Patience
from flood_assets.schemas import READINGS
from flood_assets_tests.support.lake_rows import NOW, at, fetched, put_raw, values
from flood_assets_tests.support.s3 import BUCKET


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("x3://b", "FLOOD_LAKE_URL is 'x3://b': expected file://, s3://, az:// or gs://"),
        ("", "FLOOD_LAKE_URL is '': expected file://"),
        ("http://bucket/x", "FLOOD_LAKE_URL is 'http://bucket/x': expected file://"),
        ("s3://", "followed by a bucket"),
        ("file:///", "FLOOD_LAKE_URL is 'file:///': expected an absolute path"),
        ("file://lake", "FLOOD_LAKE_URL is 'file://lake': expected an absolute path"),
        ("file:///var/a#b", "FLOOD_LAKE_URL is 'file:///var/a#b': write %23 for # and %3F for ? in a name"),
        ("file:///var/a?b", "FLOOD_LAKE_URL is 'file:///var/a?b': write %23 for # and %3F for ? in a name"),
        ("s3://bucket/a?b", "FLOOD_LAKE_URL is 's3://bucket/a?b': write %23 for # and %3F for ? in a name"),
    ],
)
def test_a_wrong_url_is_said_with_what_was_expected(url, said):
    with pytest.raises(SettingsError) as error:
        Lake.open(url)
    assert said in str(error.value)


def test_a_folder_is_made_whatever_its_name(tmp_path):
    place = tmp_path / "a b" / "Dürre 100%#1"
    lake = Lake.open(place.as_uri() + "/")
    assert place.is_dir()
    assert not lake.url.endswith("/")
    lake.upsert_readings(fetched(("m", at(9), 1.0)), NOW, NOW)
    assert (place / "readings/date=2026-11-21/hour=09/readings.parquet").is_file()
    lake.expire(NOW)
    assert values(Lake.open(place.as_uri())) == {("m", at(9)): 1.0}


def test_a_file_in_the_folders_place_is_an_error(tmp_path):
    (tmp_path / "lake").write_text("")
    with pytest.raises(LakeError, match="File exists"):
        Lake.open((tmp_path / "lake").as_uri())


@pytest.mark.parametrize("url", ["gs://bucket/lake", "az://container/lake"])
def test_other_clouds_can_be_named(url, monkeypatch):
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_SKIP_SIGNATURE", "true")
    assert Lake.open(url).url == url


def test_azure_without_an_account_is_said(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(LakeError, match=r"az://container/lake cannot be opened: .*Account must be specified"):
        Lake.open("az://container/lake")


def test_importing_the_lake_imports_no_client():
    def imported(module):
        code = f"import sys, {module}; print({{'obstore', 'boto3', 'pandas', 'filelock'}} & set(sys.modules))"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    # Dagster itself, which the tables are described with, may bring some.
    assert imported("flood_assets.lake.lake") == imported("flood_assets.schemas")


# -- to whom it belongs


def test_the_first_claim_decides(lake, twin):
    assert lake.source() is None
    lake.claim("http://one/api/")
    assert twin.source() == "http://one/api"
    twin.claim("http://one/api")
    with pytest.raises(WrongLakeError) as error:
        twin.claim("http://two/api")
    for part in (lake.url, "http://one/api", "http://two/api", "FLOOD_LAKE_URL", "delete the lake"):
        assert part in str(error.value)


def test_a_password_is_neither_stored_nor_compared(lake, twin):
    lake.claim("https://me:old@gateway.example/api")
    stored = lake.store.read("_lake.json").data.to_pybytes()
    assert json.loads(stored)["api"] == "https://gateway.example/api"
    for same in ("https://me:new@gateway.example/api", "http://gateway.example:80/api", "https://GATEWAY.example/api/"):
        twin.claim(same)
    assert lake.store.read("_lake.json").data.to_pybytes() == stored
    with pytest.raises(WrongLakeError) as error:
        twin.claim("https://me:secret@other.example/api")
    assert "secret" not in str(error.value)


def test_a_password_that_an_earlier_version_stored_is_removed(lake):
    put_raw(lake, "_lake.json", json.dumps({"api": "https://me:old@gateway.example/api", "layout": 2}).encode())
    assert lake.source() == "https://gateway.example/api"
    lake.claim("https://gateway.example/api")
    assert b"old" not in lake.store.read("_lake.json").data.to_pybytes()


def test_of_two_claims_at_once_one_wins(lake, twin, monkeypatch):
    put = lake.store.put

    def after_another_claim(key, data, *, replaces):
        monkeypatch.undo()
        twin.claim("http://two")
        put(key, data, replaces=replaces)

    monkeypatch.setattr(lake.store, "put", after_another_claim)
    with pytest.raises(WrongLakeError, match="holds readings of http://two and not of http://one"):
        lake.claim("http://one")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"api": 1, "layout": 1}', b'{"api": "http://x"}', b"\xff"])
def test_an_identity_that_cannot_be_read_is_said(lake, content):
    put_raw(lake, "_lake.json", content)
    with pytest.raises(LakeError, match=r"_lake\.json cannot be understood .*: delete it"):
        lake.claim("http://one")


def test_a_lake_of_layout_1_says_what_to_do(lake):
    """It has `_marks.parquet`, `_damaged/` and columns of other names: none of them is read or changed."""
    put_raw(lake, "_lake.json", b'{"api": "http://one", "layout": 1}')
    put_raw(lake, "_marks.parquet", b"")
    before = lake.store.list("")
    said = (
        r"is a lake of layout 1, and this version writes layout 2: set FLOOD_LAKE_URL to a new place; the next refresh"
    )
    with pytest.raises(LakeError, match=said):
        lake.claim("http://one")
    with pytest.raises(LakeError, match=said):
        lake.source()
    assert lake.store.list("") == before


def test_a_newer_layout_is_left_alone(lake):
    put_raw(lake, "_lake.json", b'{"api": "http://one", "layout": 3}')
    with pytest.raises(LakeError, match="says layout 3; this version knows 2: upgrade"):
        lake.claim("http://one")


# -- S3


def test_the_usual_aws_variables_are_enough(s3_server, monkeypatch):
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    lake = Lake.open(f"s3://{BUCKET}/from the environment")
    lake.claim("http://one")
    keys = [o["Key"] for o in s3_server.client().list_objects_v2(Bucket=BUCKET, Prefix="from the env")["Contents"]]
    assert keys == ["from the environment/_lake.json"]


def test_the_endpoint_may_be_in_a_profile(s3_server, monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text(
        "[profile flood]\nregion = eu-west-2\nservices = local\n"
        "aws_access_key_id = flood\naws_secret_access_key = flood-secret\n"
        f"[services local]\ns3 =\n  endpoint_url = {s3_server.endpoint_url}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "flood")
    Lake.open(f"s3://{BUCKET}/from-a-profile").claim("http://one")
    with pytest.raises(LakeError, match=r"no-such.*Check AWS_PROFILE"):
        Lake.open(f"s3://{BUCKET}", s3=replace(s3_server, profile_name="no-such"))


def test_dagsters_own_resource_is_accepted(s3_server):
    keys = {"aws_access_key_id": "flood", "aws_secret_access_key": "flood-secret", "region_name": "eu-west-2"}
    lake = Lake.open(f"s3://{BUCKET}/dagster", s3=S3Resource(endpoint_url=s3_server.endpoint_url, **keys))
    lake.claim("http://one")
    s3_server.client().put_object_acl(Bucket=BUCKET, Key="dagster/_lake.json", ACL="public-read")
    unsigned = S3Resource(endpoint_url=s3_server.endpoint_url, use_unsigned_session=True, region_name="eu-west-2")
    assert Lake.open(f"s3://{BUCKET}/dagster", s3=unsigned).source() == "http://one"


def test_without_credentials_the_remedy_is_said(s3_server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint_url)
    with pytest.raises(LakeError, match=r"s3://flood-lake/x: no AWS credentials: set AWS_PROFILE"):
        Lake.open("s3://flood-lake/x")


def test_a_bucket_that_does_not_exist_is_said_whatever_is_done_with_it(s3_server):
    lake = Lake.open("s3://no-such-bucket/lake", s3=s3_server)
    for work in (
        lake.source,
        lambda: lake.claim("http://one"),
        lambda: lake.upsert_readings(fetched(("m", at(9), 1.0)), NOW, NOW),
        lambda: lake.read(READINGS, now=NOW),
        lambda: lake.expire(NOW),
        lambda: lake.store.put("x", b"", replaces=None),
        lambda: lake.store.delete(["x"]),
    ):
        with pytest.raises(LakeError, match=r"s3://no-such-bucket/lake.*no such bucket: create it"):
            work()


def test_denied_access_is_said(s3_server):
    """A server that refuses every request, as S3 does for a wrong key."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        body = b"<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.</Message></Error>"
        head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()

        def refuse():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(head + body)

        threading.Thread(target=refuse, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        lake = Lake.open("s3://bucket/lake", s3=replace(s3_server, endpoint_url=url))
        for work in (lake.source, lambda: lake.windows(READINGS), lambda: lake.store.put("x", b"", replaces=None)):
            with pytest.raises(LakeError, match=r"access denied: check the credentials.*InvalidAccessKeyId: The key"):
                work()
        server.shutdown(socket.SHUT_RDWR)


def test_an_endpoint_that_is_not_there_is_said_soon(s3_server):
    lake = Lake.open("s3://bucket/lake", s3=replace(s3_server, endpoint_url="http://127.0.0.1:9", max_attempts=5))
    started = time.monotonic()
    with pytest.raises(LakeError, match=r"s3://bucket/lake/_lake.json could not be read: the store does not answer"):
        lake.source()
    # No longer than one that says nothing, on any machine.
    assert time.monotonic() - started < Patience().retry_s + Patience().answer_s


def test_an_endpoint_that_says_nothing_is_given_up_within_half_a_minute(s3_server):
    """Counted at a ninth of the patience: no request begins after 18 s, and none waits longer than 9 s."""
    full = Patience()
    assert full.retry_s + full.answer_s < 30
    less = replace(full, retry_s=full.retry_s / 9, answer_s=full.answer_s / 9)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        lake = Lake.open("s3://bucket/lake", s3=replace(s3_server, endpoint_url=url, max_attempts=5), patience=less)
        started = time.monotonic()
        with pytest.raises(LakeError, match="the store does not answer"):
            lake.source()
        assert time.monotonic() - started > 0.9
        assert 1 <= _connections(silent) <= 3


def _connections(server: socket.socket) -> int:
    """Count those that nobody has accepted."""
    server.setblocking(False)
    for number in itertools.count():
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return number
    raise AssertionError
