"""The alerts: which rules of `FLOOD_ALERTS` hold, for what, since when, and by which readings.

The rules of judging are in `flood_assets.alerts`, the stored state in `flood_assets.query.alerts`.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from flood_assets import settings
from flood_assets.defs.assets.tables import GROUP, OWNERS
from flood_assets.defs.charts import table
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.errors import FloodAssetsError, SettingsError
from flood_assets.words import counted

if TYPE_CHECKING:
    from flood_assets.query.alerts import Alert, Alerts

JUDGED = "alerts_judged"
# Alerts of each kind in the tables of the metadata.
_SHOWN = 50


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    # Not on what the same run makes: a tick whose readings fail must judge too, as the API is late then.
    deps=["stations", "measures", "timeliness", "warning_areas"],
    # After the readings, the conditions and the warnings of the tick.
    op_tags={"dagster/priority": "-2"},
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(
            JUDGED,
            asset="alerts",
            description="All rules were judged, each chooses some gauge, and receivers were told.",
        )
    ],
)
def alerts(context: dg.AssetExecutionContext, lake: LakeResource, clock: Clock) -> Iterator[dg.MaterializeResult[None]]:
    """Judge the rules of FLOOD_ALERTS by the readings and warnings as they are now, and keep what fires.

    An alert fires once, lasts, and clears with hysteresis, whoever judges and however often; `_alerts/state.parquet`
    holds those of the last day. Without FLOOD_ALERTS nothing is judged. A fault here fails no run: the check
    `alerts_judged` tells it.
    """
    path = settings.alerts_file()
    if path is None:
        yield _judged(passed=True, told={"reason": "FLOOD_ALERTS is not set: nothing is judged"})
        return
    from flood_assets.alerts.judging import judge_lake  # noqa: PLC0415 - nothing is loaded without rules
    from flood_assets.alerts.notify import Teller  # noqa: PLC0415
    from flood_assets.alerts.rules import read_rules  # noqa: PLC0415
    from flood_assets.alerts.targets import read_targets  # noqa: PLC0415

    try:
        rules, targets = read_rules(path), read_targets(path)
        now, store = clock.now(), lake.open()
        judged = judge_lake(store, rules, now)
        faults = Teller(clock.now, settings.webhook_secret()).tell(store, targets)
    except FloodAssetsError as error:
        context.log.warning("the alerts were not judged: %s. Those that were firing are kept", error)
        severity = dg.AssetCheckSeverity.ERROR if isinstance(error, SettingsError) else dg.AssetCheckSeverity.WARN
        yield _judged(passed=False, told={"reason": str(error)}, severity=severity)
        return
    for event in judged.events:
        context.log.info("%s: %s, %s: %s", event.what, event.alert.rule, event.alert.label, event.alert.why)
    context.log.info("%s firing", counted(len(judged.after.firing), "alert"))
    new = [event.alert for event in judged.events]
    left_out = {"not_judged": "; ".join(judged.remarks)} if judged.remarks else {}
    yield dg.MaterializeResult(metadata=described(judged.after, new, len(rules)) | left_out)
    notes = [*judged.after.notes, *faults]
    yield _judged(passed=not notes, told={"reason": "; ".join(notes)} if notes else {})


def described(state: "Alerts", new: Sequence["Alert"], rules: int) -> dict[str, Any]:
    """Return metadata: what is firing, what cleared or was learnt late, why, and on which readings."""
    from flood_assets.query.alerts import CLEARED  # noqa: PLC0415 - as above

    over = [alert for alert in state.rows if not alert.lasts]
    return {
        "rules": rules,
        "firing": len(state.firing),
        "cleared_in_24h": sum(alert.status == CLEARED for alert in over),
        "unknown": sum(alert.unknown is not None for alert in state.firing),
        "events": len(new),
        "firing_now": _table(state.firing),
        "ended": _table(sorted(over, key=lambda alert: alert.until or alert.since, reverse=True)),
    }


def _table(alerts: Sequence["Alert"]) -> dg.MarkdownMetadataValue:
    rows = [
        (
            alert.rule,
            alert.label,
            alert.status,
            f"{alert.since:%Y-%m-%d %H:%M}",
            f"{alert.until:%Y-%m-%d %H:%M}" if alert.until else "",
            alert.why,
            alert.unknown or alert.ended_because or "",
        )
        for alert in alerts[:_SHOWN]
    ]
    return table(["rule", "place", "status", "since (UTC)", "until (UTC)", "on which readings", ""], rows)


def _judged(*, passed: bool, told: dict[str, str], severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN) -> Any:
    # For the type checker a result of the asset: Dagster takes both.
    return dg.AssetCheckResult(check_name=JUDGED, passed=passed, severity=severity, metadata=told)
