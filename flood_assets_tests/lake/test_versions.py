"""Old versions in a bucket: who keeps expired windows readable is told, with the rule that ends it."""

import json

import pytest

from flood_assets.cli.doctor.findings import Level
from flood_assets.cli.doctor.lake import check_lake
from flood_assets.defs.assets.retention import judge as check
from flood_assets.lake.opening import open_store
from flood_assets.lake.store import Patience
from flood_assets.lake.versions import judge
from flood_assets_tests.support.s3 import REGION, s3_server

__all__ = ["s3_server"]

VERSIONED = "kept-versions"
RULE = {
    "ID": "flood-assets-old-versions",
    "Status": "Enabled",
    "Filter": {"Prefix": "flood/"},
    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    "Expiration": {"ExpiredObjectDeleteMarker": True},
}


@pytest.fixture
def client(s3_server, monkeypatch, no_aws_of_this_machine):
    """A bucket of its own, with versioning."""
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLOOD_LAKE_URL", f"s3://{VERSIONED}/flood")
    client = s3_server.client()
    client.create_bucket(Bucket=VERSIONED, CreateBucketConfiguration={"LocationConstraint": REGION})
    client.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})
    yield client
    found = client.list_object_versions(Bucket=VERSIONED)
    for version in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
        client.delete_object(Bucket=VERSIONED, Key=version["Key"], VersionId=version["VersionId"])
    client.delete_bucket(Bucket=VERSIONED)
    client.close()


def named_rule(remedy: str) -> dict:
    return json.loads(remedy[remedy.index("{") :])


def test_doctor_warns_of_a_bucket_with_versioning_and_the_rule_that_it_names_is_enough(client):
    (warned,) = [found for found in check_lake() if found.level is Level.WARNING]
    assert warned.found == "the bucket has versioning: every expired window can still be read as an old version"
    assert f"add this lifecycle rule to those of the bucket {VERSIONED}: " in warned.remedy
    assert named_rule(warned.remedy) == RULE
    rules = {"Rules": [named_rule(warned.remedy)]}
    client.put_bucket_lifecycle_configuration(Bucket=VERSIONED, LifecycleConfiguration=rules)
    said = {found.found: found.level for found in check_lake()}
    assert Level.WARNING not in said.values()
    assert said["the bucket keeps old versions, and a lifecycle rule deletes them after a day"] is Level.OK


def test_suspended_versioning_still_keeps_what_it_has(client):
    client.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Suspended"})
    assert open_store(f"s3://{VERSIONED}/flood").versions().kept


def test_the_check_of_the_cleanup_warns_with_the_rule_and_the_cleanup_succeeds(client, place):
    place.lake_url = f"s3://{VERSIONED}/flood"
    result = place.expire()
    checks = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert result.success
    found = checks["no_old_versions"]
    assert (found.passed, found.severity.value) == (False, "WARN")
    assert named_rule(found.metadata["remedy"].value) == RULE


def test_a_folder_and_a_bucket_without_versioning_keep_nothing(client, s3_server, tmp_path):
    client.create_bucket(Bucket="plain", CreateBucketConfiguration={"LocationConstraint": REGION})
    for place in (tmp_path, "s3://plain/flood"):
        versions = open_store(place, s3_server if place != tmp_path else None).versions()
        assert (versions.kept, versions.remedy) == (False, "")
        assert check(versions).passed
    client.delete_bucket(Bucket="plain")


def test_what_cannot_be_asked_is_not_known_and_fails_nothing(client):
    versions = open_store("s3://no-such-bucket/flood", patience=Patience(tries=1)).versions()
    assert versions.kept is None
    assert "NoSuchBucket" in versions.found
    assert "s3:GetBucketVersioning" in versions.remedy
    assert named_rule(versions.remedy.partition("if the bucket")[2]) == RULE
    assert check(versions).passed


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, False),
        ({"Filter": {}}, False),
        ({"Filter": {"Prefix": ""}}, False),
        ({"Filter": {"Prefix": "flood"}}, False),
        ({"Filter": {"Prefix": "flood/readings/"}}, True),
        ({"Filter": {"Prefix": "other/"}}, True),
        ({"Filter": {"Tag": {"Key": "k", "Value": "v"}}}, True),
        ({"Filter": {"And": {"Prefix": "flood/", "ObjectSizeGreaterThan": 9}}}, True),
        ({"Status": "Disabled"}, True),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}, True),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 3}}, True),
        ({"NoncurrentVersionExpiration": {}}, True),
    ],
    ids=str,
)
def test_a_rule_counts_if_it_deletes_each_old_version_after_a_day(change, kept):
    assert judge([RULE | change], "bucket", "flood").kept is kept


def test_a_rule_of_the_older_form_counts_too():
    older = {name: value for name, value in RULE.items() if name != "Filter"} | {"Prefix": "flood/"}
    assert judge([older], "bucket", "flood").kept is False


def test_a_lake_that_is_the_whole_bucket_needs_a_rule_for_all_of_it():
    assert judge([RULE], "bucket", "").kept
    assert named_rule(judge([], "bucket", "").remedy)["Filter"] == {"Prefix": ""}
