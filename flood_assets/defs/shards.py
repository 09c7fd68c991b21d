"""The definitions of a network: its shards as partitions of one asset, filled by one run, instead of those of one lake.

What is done for a shard is in `flood_assets.shards`. Settings come from the environment, where the code location and
its runs are: the file of the network when definitions load, all others when a run starts.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from flood_assets import emf, settings
from flood_assets.defs.assets.tables import API_POOL, GROUP, LICENCE, ONE_RUN, OWNERS, RETRIES
from flood_assets.defs.checks.completeness import STOPPED_AFTER, UNFETCHED_SHARE
from flood_assets.defs.failures import explained
from flood_assets.defs.housekeeping import housekeeping_job
from flood_assets.defs.own_records import RETENTION, SHARDS
from flood_assets.defs.resources import Clock
from flood_assets.defs.schedules import housekeeping_every_hour
from flood_assets.defs.windows import FIRST, LAST
from flood_assets.errors import FloodAssetsError
from flood_assets.lake import members
from flood_assets.lake.opening import open_store
from flood_assets.network import Network, NetworkError, Shard
from flood_assets.partitions import utc
from flood_assets.shards import metrics
from flood_assets.shards.fan import Outcome, fan_out
from flood_assets.shards.work import WORKS, Job, Name, judge_alerts
from flood_assets.tick.steps import Ticked
from flood_assets.words import counted

# The checks of each shard, by the beginnings of their names.
CHECKS = {
    "fetched": "No reading of {} is missing because it was not fetched.",
    "fresh": "The newest reading of {} is not older than two hours.",
    "undamaged": "No window of {} is damaged.",
}


Checked = Callable[[Outcome[Ticked], datetime], Iterable[dg.AssetCheckResult]]


class ShardsConfig(dg.Config):
    """The way in which shards are filled."""

    reconcile: bool = Field(
        default=False,
        description="Read the last 24 hours again. Off: fetch what is new, as the 15-minute schedule does.",
    )


def network_defs(network: Network) -> dg.Definitions:
    """Return the definitions of a network; NetworkError if two shards have one name in those of checks."""
    partitions = dg.StaticPartitionsDefinition([shard.name for shard in network.shards])
    shards, retention = _shards(network, partitions), _retention(network, partitions)
    refresh_job = dg.define_asset_job(
        "refresh_job", selection=dg.AssetSelection.assets(SHARDS), description="Do what a tick does for each shard."
    )
    reconcile_job = dg.define_asset_job(
        "reconcile_job",
        selection=dg.AssetSelection.assets(SHARDS),
        config={"ops": {"shards": {"config": {"reconcile": True}}}},
        description="Read the last 24 hours of each shard again, to find corrections and readings out of order.",
    )
    retention_job = dg.define_asset_job(
        "retention_job",
        selection=dg.AssetSelection.assets(RETENTION),
        description="Delete what has expired from each shard, as each tick does before it fetches.",
    )
    # Between two ticks, as for one lake.
    schedules = [
        _schedule("refresh_every_15_minutes", refresh_job, "*/15 * * * *", partitions),
        _schedule("reconcile_every_6_hours", reconcile_job, "7 1,7,13,19 * * *", partitions),
        _schedule("retention_every_hour", retention_job, "22 * * * *", partitions),
    ]
    return dg.Definitions(
        assets=[shards, retention],
        jobs=[refresh_job, reconcile_job, retention_job, housekeeping_job],
        schedules=[*schedules, housekeeping_every_hour],
        resources={"clock": Clock()},
        executor=dg.in_process_executor,
    )


def _schedule(name: str, job: Any, cron: str, partitions: dg.StaticPartitionsDefinition) -> dg.ScheduleDefinition:
    keys = partitions.get_partition_keys()

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron,
        description=f"One run over all shards: {job.description}",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def requested(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        due = utc(context.scheduled_execution_time)
        return dg.RunRequest(run_key=f"{name} {due.isoformat()}", tags={FIRST: keys[0], LAST: keys[-1]})

    return requested


def _shards(network: Network, partitions: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="shards",
        specs=[
            _spec(
                SHARDS, network, partitions, "Fill the lake of each shard: readings, gauges, completeness, conditions."
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(name, asset=SHARDS, description=CHECKS[kind].format(shard))
            for (kind, shard), name in _check_names(network).items()
        ],
        # A run over some shards yields the checks of these only.
        can_subset=True,
        pool=API_POOL,
        retry_policy=RETRIES,
    )
    def shards(context: dg.AssetExecutionContext, config: ShardsConfig) -> Iterator[Any]:
        work: Name = "reconcile" if config.reconcile else "refresh"
        names = _check_names(network)
        yield from _done(context, network, SHARDS, work, lambda outcome, now: _checked(outcome, names, now))

    return shards.with_attributes(backfill_policy=ONE_RUN)


def _retention(network: Network, partitions: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="retention",
        specs=[
            _spec(RETENTION, network, partitions, "Delete what is older than 24 hours from the lake of each shard.")
        ],
        can_subset=True,
        retry_policy=RETRIES,
    )
    def retention(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from _done(context, network, RETENTION, "expire", lambda *_: ())

    return retention.with_attributes(backfill_policy=ONE_RUN)


def _spec(key: dg.AssetKey, network: Network, partitions: dg.StaticPartitionsDefinition, what: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        description=f"{what} A partition is a shard of the network {network.name}.",
        partitions_def=partitions,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python", "parquet"},
        code_version="1",
        metadata={"licence": LICENCE},
    )


def _done(
    context: dg.AssetExecutionContext, network: Network, key: dg.AssetKey, work: Name, checked: Checked
) -> Iterator[Any]:
    """Do the work for the shards of a run; yield the materialization and the checks of each as it ends.

    Raises:
        dagster.Failure: at the end, naming each shard that failed; a retry does only these.
    """
    wanted, began = _wanted(context, network, key), time.monotonic()
    outcomes = list[Outcome[Ticked]]()
    with explained():
        job = Job.of_settings()
        members.claim(open_store(job.common_url), network)
        for outcome in fan_out(partial(WORKS[work], job), wanted, dask=settings.dask()):
            outcomes.append(outcome)
            name = outcome.shard.name
            if outcome.reason:
                context.log.error("%s failed: %s", name, outcome.reason)
            else:
                context.log.info("%s is done, %d of %d", name, len(outcomes), len(wanted))
                yield dg.AssetMaterialization(key, partition=name, metadata=_metadata(outcome))
            yield from checked(outcome, job.clock())
    if work == "refresh" and (rules := settings.alerts_file()) is not None:
        try:
            context.log.info("alerts: %s", judge_alerts(job, rules))
        except FloodAssetsError as error:
            # As for one lake: a fault here fails no run.
            context.log.error("the alerts were not judged: %s", error)  # noqa: TRY400
    if environment := settings.emf():
        line = metrics.line(outcomes, environment, job.clock(), seconds=time.monotonic() - began, job=work)
        print(line, flush=True)
    if failed := [each for each in outcomes if each.reason]:
        reasons = "; ".join(f"{each.shard.name}: {each.reason}" for each in failed)
        raise dg.Failure(
            description=f"{counted(len(failed), 'shard')} failed, all others of this run are done: {reasons}",
            metadata={each.shard.name: each.reason for each in failed},
            allow_retries=any(each.passing for each in failed),
        )


def _wanted(context: dg.AssetExecutionContext, network: Network, key: dg.AssetKey) -> list[Shard]:
    """Return the shards of a run, all if it names none, without those that it has done before a retry."""
    named = context.has_partition_key or context.has_partition_key_range
    names = [*context.partition_keys] if named else [shard.name for shard in network.shards]
    done = _materialized(context, key) if context.op_execution_context.retry_number else ()
    return [network.shard(name) for name in names if name not in done]


def _materialized(context: dg.AssetExecutionContext, key: dg.AssetKey) -> Collection[str]:
    records = context.instance.get_records_for_run(
        context.run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    return {record.partition_key for record in records if record.asset_key == key and record.partition_key}


def _metadata(outcome: Outcome[Ticked]) -> dict[str, Any]:
    """Return what the steps of a shard told, each value by its name; that of the lists with the name of its step."""
    found: dict[str, Any] = {"seconds": round(outcome.seconds, 2), "tries": outcome.tries}
    assert outcome.result is not None  # noqa: S101 - for the type checker: it has no reason
    for step, told in outcome.result.done.items():
        plain = step in ("readings", "completeness", "expire")
        found |= {name if plain else f"{step}: {name}": _shown(value) for name, value in told.items()}
    if emf.NEWEST in found:
        found["newest"] = dg.MetadataValue.timestamp(found.pop(emf.NEWEST))
    return found


def _shown(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else ", ".join(map(str, value))


def _check_names(network: Network) -> dict[tuple[str, str], str]:
    """Return the name of each check by its kind and shard: Dagster's names have no hyphen."""
    names = {(kind, s.name): f"{kind}_{s.name.replace('-', '_')}" for s in network.shards for kind in CHECKS}
    if len({*names.values()}) < len(names):
        raise NetworkError(f"the network {network.name} has shards that differ in - and _ only: rename one of them")
    return names


def _checked(
    outcome: Outcome[Ticked], names: dict[tuple[str, str], str], now: datetime
) -> Iterator[dg.AssetCheckResult]:
    """Yield the results of a shard's checks, as far as its steps told what they need."""
    told = {} if outcome.result is None else outcome.result.done
    shard = outcome.shard.name
    if "completeness" in told:
        account = told["completeness"]
        gone = account["not_fetched"]
        many = gone > UNFETCHED_SHARE * account["expected"]
        yield _result(names["fetched", shard], account, passed=gone == 0, warn=not many)
    if "readings" in told:
        newest = told["readings"].get(emf.NEWEST)
        fresh = newest is not None and now.timestamp() - newest < STOPPED_AFTER.total_seconds()
        found = (
            {"newest": dg.MetadataValue.timestamp(newest)} if newest else {"newest": "no reading of the last 24 hours"}
        )
        yield _result(names["fresh", shard], found, passed=fresh)
    if "conditions" in told:
        damaged = told["conditions"]["damaged_windows"]
        yield _result(names["undamaged", shard], {"damaged_windows": damaged}, passed=damaged == 0)


def _result(name: str, told: dict[str, Any], *, passed: bool, warn: bool = False) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(asset_key=SHARDS, check_name=name, passed=passed, severity=severity, metadata=told)
