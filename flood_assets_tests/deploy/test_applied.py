"""Apply the settings of prod to moto, use what was made as the product does, and destroy it.

How it is applied, and what of prod is switched off, is in `support/applied.py`.
"""

import json
import re
from datetime import datetime, timedelta
from itertools import product

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance import InstanceRef
from dagster._core.instance.config import dagster_instance_config_schema

from deploy.terraform import catalog
from flood_assets.definitions import build_defs
from flood_assets.defs.resources import LakeResource
from flood_assets.defs.sensors import landing_sensor
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import current_key
from flood_assets.schemas import READINGS, TABLES
from flood_assets.simulator import Simulator, serve
from flood_assets_tests.conftest import StoppedClock
from flood_assets_tests.deploy.test_run_tasks import launcher_settings
from flood_assets_tests.support import following
from flood_assets_tests.support.applied import IMAGE, applied_prod
from flood_assets_tests.support.pushing import Publisher, pushed_to
from flood_assets_tests.support.s3 import REGION
from flood_assets_tests.support.terraform import ROOT

pytestmark = [pytest.mark.deploy, pytest.mark.slow]

DAY, HOUR = timedelta(days=1), timedelta(hours=1)

# Of moto: it takes each of these and tells it otherwise, or not at all, so that every plan sets it anew.
KNOWN_CHANGES = {
    "module.ecs[0].aws_db_parameter_group.this": {"parameter"},
    "module.ecs[0].aws_ecs_service.dagster": {"availability_zone_rebalancing", "enable_execute_command"},
    "module.ecs[0].aws_ecs_service.serve[0]": {"availability_zone_rebalancing"},
    "module.edge[0].aws_vpc_security_group_egress_rule.link[0]": {"description"},
    "module.edge[0].aws_vpc_security_group_ingress_rule.link[0]": {"description"},
    "module.network[0].aws_vpc_security_group_egress_rule.database": {"description"},
    "module.network[0].aws_vpc_security_group_ingress_rule.database": {"description"},
    "module.streams.aws_kinesis_stream.readings[0]": {"tags_all"},
    "module.streams.aws_sqs_queue.landing[0]": {"redrive_policy"},
    "module.streams.aws_sqs_queue.readings[0]": {"redrive_policy"},
}

# Rights of each role, action by action.
_READ = {
    "s3:ListBucket",
    "s3:GetObject",
    "s3:GetBucketLocation",
    "s3:GetBucketVersioning",
    "s3:GetLifecycleConfiguration",
}
RIGHTS = {
    "flood-prod-dagster": {
        *_READ, "s3:PutObject", "s3:DeleteObject",
        # As docs/publishing.md says, with the keys of encrypted streams and topics; then what lands.
        "kinesis:PutRecords", "sqs:SendMessage", "sqs:GetQueueUrl", "sns:Publish", "events:PutEvents",
        "dynamodb:PutItem", "kms:GenerateDataKey", "kms:Decrypt",
        "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes",
        # The port forward to the UI.
        "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
    },
    "flood-prod-serve": {*_READ, "s3:PutObject"},
    "flood-prod-execution": {
        "logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:GetSecretValue", "ecr:GetAuthorizationToken",
        "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def applied(tmp_path_factory):
    with applied_prod(tmp_path_factory.mktemp("applied")) as found:
        yield found


@pytest.fixture(scope="module")
def refreshed(applied):
    """Refresh the applied lake from a simulated country, and publish, with the environment of the task definition.

    Returns the queues that hear the topic, and of the bus what is told of one measure.
    """
    sqs, events = applied.client("sqs"), applied.client("events")
    queues = {name: sqs.create_queue(QueueName=f"{name}-heard")["QueueUrl"] for name in ("sns", "bus")}
    arns = {
        name: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for name, url in queues.items()
    }
    with serve(Simulator(stations=1, now=lambda: applied.now)) as source:
        applied.run("flood-assets", "refresh", FLOOD_API_URL=source.url, FLOOD_PUBLISH="")
        sinks = applied.settings("flood-prod-dagster", "daemon")["FLOOD_PUBLISH"].split()
        topic = next(url for url in sinks if url.startswith("sns://")).removeprefix("sns://")
        applied.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns["sns"])
        # Of one measure: moto takes long for what a rule matches.
        pattern = {"source": ["flood_assets"], "detail": {"subject": [one_measure(applied)]}}
        events.put_rule(Name="heard", EventBusName="flood-prod", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="heard", EventBusName="flood-prod", Targets=[{"Id": "heard", "Arn": arns["bus"]}])
        # One after another: moto answers slowly, and the lake has to be written meanwhile.
        for sink in sinks:
            applied.run("flood-assets", "publish", "--to", sink, FLOOD_API_URL=source.url)
    return queues


def one_measure(applied):
    return applied.lake.read(READINGS, now=applied.now)["measure_id"][0].as_py()


def received(client, url):
    found = []
    while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [json.loads(each["Body"]) for each in messages]
        taken = [{"Id": str(number), "ReceiptHandle": each["ReceiptHandle"]} for number, each in enumerate(messages)]
        client.delete_message_batch(QueueUrl=url, Entries=taken)
    return found


def test_a_second_plan_changes_only_what_moto_forgets(applied):
    applied.terraform("plan", "-input=false", "-out=again.tfplan", "-var-file=envs/prod.tfvars", f"-var=image={IMAGE}")
    changes = json.loads(applied.terraform("show", "-json", "again.tfplan"))["resource_changes"]
    changed = {
        each["address"]: {
            name for name, after in (change["after"] or {}).items() if after != (change["before"] or {}).get(name)
        }
        | {name for name, unknown in change["after_unknown"].items() if unknown is True}
        for each in changes
        if (change := each["change"])["actions"] not in (["no-op"], ["read"])
    }
    print(f"{len(changes)} resources, {len(changed)} of them changed: {changed}")
    assert changed == KNOWN_CHANGES
    assert {tuple(each["change"]["actions"]) for each in changes} <= {("no-op",), ("read",), ("update",)}


def test_the_state_is_in_the_bucket_and_its_lock_is_gone(applied):
    (bucket,) = [
        b["Name"] for b in applied.client("s3").list_buckets()["Buckets"] if b["Name"].startswith("flood-terraform")
    ]
    keys = [each["Key"] for each in applied.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["flood/prod.tfstate"]


def test_each_role_may_do_what_its_part_needs_and_no_more(applied):
    iam = applied.client("iam")
    may = {}
    for role in iam.list_roles()["Roles"]:
        if (name := role["RoleName"]).startswith("flood-prod"):
            assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []
            (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
            assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
            policies = iam.list_role_policies(RoleName=name)["PolicyNames"]
            documents = [iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"] for each in policies]
            statements = [statement for document in documents for statement in document["Statement"]]
            assert {statement["Effect"] for statement in statements} == {"Allow"}
            may[name] = {action for statement in statements for action in statement["Action"]}
    assert may == RIGHTS


def test_dagster_accepts_its_settings(applied, tmp_path):
    text = applied.settings("flood-prod-dagster", "prepare")["DAGSTER_YAML"]
    settings = yaml.safe_load(text)
    found = validate_config(dagster_instance_config_schema(), settings)
    assert found.success, found.errors
    assert (
        found.value["run_monitoring"]
        == yaml.safe_load((ROOT / "dagster_home/dagster.yaml").read_text())["run_monitoring"]
    )
    # With run_tasks they are part of a run's command, of which ECS takes 8,192 characters.
    ids = {"subnets": [f"subnet-{'0' * 17}"] * 2, "group": f"sg-{'0' * 17}"}
    settings["run_launcher"] = launcher_settings(cluster="flood-prod", task="flood-prod-run", **ids)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    command = json.dumps([dg.serialize_value(InstanceRef.from_dir(str(tmp_path)))])
    assert len(command) < 8192 - 1500, "the rest of the command, and what Dagster puts around it"


def test_the_first_container_prepares_the_volume_and_opens_the_lake(applied, refreshed, tmp_path):
    prepare = applied.containers("flood-prod-dagster")["prepare"]
    program, flag, script = prepare["entryPoint"]
    settings = applied.settings("flood-prod-dagster", "prepare")
    told = applied.run(program, flag, script.replace('"/tmp"', repr(str(tmp_path))), **settings | {
        "DAGSTER_HOME": str(tmp_path), **applied.server.environ,
    })  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"dagster.yaml", "workspace.yaml"}
    assert told


def test_everything_was_published_to_every_sink(applied, refreshed):
    # At least once: a sink repeats what moto was too slow to confirm, under the same ids.
    rows = applied.lake.read(READINGS, now=applied.now)
    assert len(rows) > 200
    records = applied.run("flood-assets", "subscribe", "kinesis://flood-prod-readings", "--once").splitlines()
    states = {(m, t) for m, t in zip(rows["measure_id"].to_pylist(), rows["date_time"].to_pylist(), strict=True)}
    sent = {(e["subject"], datetime.fromisoformat(e["data"]["date_time"])) for e in map(json.loads, records)}
    assert sent == states

    sqs = applied.client("sqs")
    queue = sqs.get_queue_url(QueueName="flood-prod-readings")["QueueUrl"]
    assert len({each["id"] for each in received(sqs, queue)}) == len(rows)
    of_one = rows["measure_id"].to_pylist().count(one_measure(applied))
    assert len({each["detail"]["id"] for each in received(sqs, refreshed["bus"])}) == of_one > 0
    commits = {
        each["id"]: each for each in map(json.loads, (each["Message"] for each in received(sqs, refreshed["sns"])))
    }
    assert sum(each["data"]["new"] for each in commits.values()) == len(rows)

    table = applied.client("dynamodb")
    items = table.scan(TableName="flood-prod-latest")["Items"]
    assert {each["measure_id"]["S"] for each in items} == set(rows["measure_id"].to_pylist())
    ttl = table.describe_time_to_live(TableName="flood-prod-latest")["TimeToLiveDescription"]
    assert (ttl["AttributeName"], ttl["TimeToLiveStatus"]) == ("expires_at", "ENABLED")
    assert all(int(each["expires_at"]["N"]) > 0 for each in items)


def test_a_lake_that_follows_the_stream_equals_the_one_that_published(applied, refreshed, tmp_path):
    follower = Lake.open((tmp_path / "follower").as_uri())
    applied.run("flood-assets", "consume", "kinesis://flood-prod-readings", "--once", FLOOD_LAKE_URL=follower.url)
    found, published = (following.rows_of(lake, applied.now) for lake in (follower, applied.lake))
    assert found == {key: row for key, row in published.items() if not key[0].startswith("acme:")}
    assert len(found) > 200


def test_a_push_is_told_to_the_queue_and_ingested(applied, refreshed, tmp_path, monkeypatch):
    url = applied.settings("flood-prod-dagster", "daemon")["FLOOD_LANDING_QUEUE"]
    assert url == applied.outputs["landing_queue"]
    for name, value in {**applied.server.environ, "FLOOD_LANDING_QUEUE": url}.items():
        monkeypatch.setenv(name, value)
    lake, clock = LakeResource(url=applied.outputs["lake"]), StoppedClock(moment=applied.now.isoformat())
    defs = build_defs(lake=lake, clock=clock)
    with pushed_to(applied.lake, applied.now, tmp_path) as api, dg.DagsterInstance.ephemeral() as instance:
        given = {"instance": instance, "resources": {"lake": lake, "clock": clock}}

        def look(cursor):
            return landing_sensor.evaluate_tick(
                dg.build_sensor_context(**given, repository_def=defs.get_repository_def(), cursor=cursor)
            )

        # A bucket is listed now and then, too: from here on only the queue tells.
        seen = look(None)
        acme = Publisher(api, "acme")
        assert acme.post([acme.reading("weir", applied.now - HOUR, 1.5)], key="weir-1").status_code == 202
        seen = look(seen.cursor)
        (asked,) = seen.run_requests
        assert asked.tags["flood_assets/reason"] == "1 batch or upload to ingest"
        assert defs.resolve_job_def("landing_job").execute_in_process(instance=instance).success
        assert look(seen.cursor).skip_message == "no batch waits"
    # Told once, and deleted when the request was stored.
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    sqs = applied.client("sqs")
    queue = sqs.get_queue_url(QueueName=url.removeprefix("sqs://"))["QueueUrl"]
    waiting = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    assert set(waiting.values()) == {"0"}
    found = applied.lake.read(READINGS, now=applied.now)
    assert found.filter(pa.compute.equal(found["measure_id"], "acme:weir"))["value"].to_pylist() == [1.5]


def glue_tables(applied):
    database = applied.outputs["database"]
    return {each["Name"]: each for each in applied.client("glue").get_tables(DatabaseName=database)["TableList"]}


def projected(table, now):
    """Return the folders that Athena looks into, by the parameters of partition projection."""
    parameters = table["Parameters"]
    assert parameters["projection.date.range"] == "NOW-1DAYS,NOW"
    assert parameters["projection.date.format"] == "yyyy-MM-dd"
    first, last = map(int, parameters["projection.hour.range"].split(","))
    digits = int(parameters["projection.hour.digits"])
    days = [f"{day:%Y-%m-%d}" for day in (now - DAY, now)]
    hours = [f"{hour:0{digits}}" for hour in range(first, last + 1)]
    template = parameters["storage.location.template"]
    return [template.replace("${date}", day).replace("${hour}", hour) for day, hour in product(days, hours)]


def arrow_schema(table):
    of = {hive: arrow for arrow, hive in catalog.HIVE.items()}
    return pa.schema([(column["Name"], of[column["Type"]]) for column in table["StorageDescriptor"]["Columns"]])


def rows_of(applied, keys, schema):
    there = pyarrow.fs.S3FileSystem(
        endpoint_override=applied.server.endpoint_url, region=REGION, access_key="flood", secret_key="flood-secret",
        force_virtual_addressing=False,
    )  # fmt: skip
    paths = [key.removeprefix("s3://") for key in keys]
    return pyarrow.dataset.dataset(paths, schema=schema, filesystem=there, format="parquet").to_table()


def objects_in(applied, folder):
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    found = applied.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return [f"s3://{bucket}/{each['Key']}" for each in found]


def test_the_lake_is_read_by_the_paths_and_types_that_glue_names(applied, refreshed):
    tables = glue_tables(applied)
    assert set(tables) == {*TABLES, *(f"current_{n}" for n, t in TABLES.items() if t.current), *catalog._views()}
    read = {}
    for name, table in TABLES.items():
        keys = [key for folder in projected(tables[name], applied.now) for key in objects_in(applied, folder)]
        windows = applied.lake.windows(table)
        assert len(keys) == len(windows)
        schema = arrow_schema(tables[name])
        assert schema.names == table.schema.names
        if keys:
            read[name] = rows_of(applied, keys, schema)
    assert {"readings", "stations", "measures", "completeness", "conditions"} <= set(read)
    everything = applied.lake.read(READINGS, now=applied.now)
    recent = read["readings"].filter(pa.compute.greater(read["readings"]["date_time"], pa.scalar(applied.now - DAY)))
    assert recent.sort_by([("measure_id", "ascending"), ("date_time", "ascending")]).equals(
        everything.cast(recent.schema).sort_by([("measure_id", "ascending"), ("date_time", "ascending")])
    )

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, rows in read.items():
            connection.register(name, rows)
        for name, table in TABLES.items():
            if table.current:
                (listed,) = objects_in(applied, tables[f"current_{name}"]["StorageDescriptor"]["Location"])
                bucket, _, key = listed.removeprefix("s3://").partition("/")
                named = applied.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode().split()
                assert named == [f"s3://{applied.bucket}/{current_key(table)}"]
                connection.register(f"current_{name}", rows_of(applied, named, arrow_schema(tables[f"current_{name}"])))
        moment = f"TIMESTAMPTZ '{applied.now.isoformat()}'"
        for name in catalog._views():
            packed = re.fullmatch(r"/\* Presto View: (.*) \*/", tables[name]["ViewOriginalText"])[1]
            view = json.loads(__import__("base64").b64decode(packed))
            connection.execute(f"CREATE VIEW {name} AS {view['originalSql'].replace('current_timestamp', moment)}")
        assert connection.execute("SELECT count(*) FROM last_24_hours").fetchone() == (len(everything),)
        latest = connection.execute("SELECT measure_id, label, unit FROM latest").fetchall()
        assert sorted(measure for measure, *_ in latest) == sorted(set(everything["measure_id"].to_pylist()))
        assert sum(label is not None for _, label, _ in latest) >= len(latest) - 1
