"""Build the Grafana dashboard, grafana/flood_assets.json: `python -m deploy.monitoring.dashboard`.

It needs grafana-foundation-sdk. Import the JSON into Grafana, or mount this folder where Grafana looks for dashboards.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueColorMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

FILE = Path(__file__).parent / "grafana" / "flood_assets.json"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
# Of the variable `environment`, several of which may be chosen.
HERE = 'environment=~"$environment"'


P = TypeVar("P", stat.Panel, timeseries.Panel)


class Panel(NamedTuple):
    """A panel: queries with their legends, Grafana's unit, and above which values it is orange and red."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    limits: tuple[float, float] | None = None
    said: str = ""


def _by(labels: str, metric: str, of: str = "max") -> str:
    return f"{of} by ({labels}) ({metric})"


def _m(name: str, **labels: str) -> str:
    chosen = ", ".join((HERE, *(f'{label}="{value}"' for label, value in labels.items())))
    return f"flood_assets_{name}{{{chosen}}}"


def _sum(labels: str, name: str, **of: str) -> str:
    return _by(labels, _m(name, **of), "sum")


def _age(labels: str, name: str, **of: str) -> str:
    return f"time() - {_by(labels, _m(name, **of))}"


def _rate(labels: str, name: str) -> str:
    return _by(labels, f"rate({_m(name)}[5m])", "sum")


def _own(name: str) -> str:
    return f'process_{name}{{job="flood-assets", {HERE}}}'


_MISSED = _sum("environment", "readings_missing", cause="not_fetched")
_SILENT = _sum("region", "gauges", freshness="silent")
_DAMAGED = _sum("environment", "windows_damaged")
_BUCKETS = _rate("le", "http_request_duration_seconds_bucket")
_FIRING = f'count(ALERTS{{alertstate="firing", alertname=~"FloodAssets.*", {HERE}}}) or vector(0)'

# Shown as one number.
STATS = [
    Panel("Alarms", [(_FIRING, "")], limits=(1, 1)),
    Panel(
        "Last refresh",
        [(_age("environment", "last_success_timestamp_seconds", step="readings"), "")],
        "s",
        (1200, 2400),
        "A tick is due every 15 minutes.",
    ),
    Panel("Newest reading", [(_age("environment", "newest_reading_timestamp_seconds"), "")], "s", (2700, 5400)),
    Panel(
        "Not fetched",
        [(f"{_MISSED} / {_sum('environment', 'readings_expected')}", "")],
        "percentunit",
        (0.001, 0.01),
        "Expected readings that are missing by our fault.",
    ),
    Panel(
        "Windows damaged or missing",
        [(f"{_DAMAGED} + on (environment) {_by('environment', _m('windows_missing'))}", "")],
        limits=(1, 1),
    ),
    Panel("Lake last read", [(_age("environment", "snapshot_confirmed_timestamp_seconds"), "")], "s", (60, 300)),
]

GRAPHS = {
    "Gauges": [
        Panel("Gauges by freshness", [(_sum("freshness", "gauges"), "{{freshness}}")]),
        Panel("Newest reading's age", [(_age("parameter", "newest_reading_timestamp_seconds"), "{{parameter}}")], "s"),
        Panel(
            "Regions with the most silent gauges",
            [(f"topk(10, {_SILENT} / {_sum('region', 'gauges')})", "{{region}}")],
            "percentunit",
        ),
        Panel("Flood warnings in force", [(_by("level", _m("warnings_in_force")), "{{level}}")]),
    ],
    "Completeness": [
        Panel(
            "Missing readings of the last 24 hours",
            [
                (
                    f"{_sum('cause', 'readings_missing')} / on () group_left () sum({_m('readings_expected')})",
                    "{{cause}}",
                )
            ],
            "percentunit",
            said="silent: the gauge had nothing; not_due: it usually reports later; not_fetched: our fault.",
        ),
        Panel(
            "Late readings",
            [(f"{_sum('parameter', 'readings_late')} / {_sum('parameter', 'readings_received')}", "{{parameter}}")],
            "percentunit",
        ),
        Panel(
            "Rejected rows, damaged objects",
            [
                (_by("environment", _m("rejects")), "rejected"),
                (_by("environment", _m("quarantined_objects")), "quarantined"),
            ],
        ),
    ],
    "Work": [
        Panel("Age of each step's last success", [(_age("step", "last_success_timestamp_seconds"), "{{step}}")], "s"),
        Panel("Steps that failed", [(_by("step", _m("step_failed")), "{{step}}")]),
        Panel("Lag of sinks", [(_by("sink", _m("sink_lag_seconds")), "{{sink}}")], "s", (900, 1740)),
        Panel("Dead letters", [(_by("sink", _m("sink_dead_letters")), "{{sink}}")]),
        Panel("Pushed batches that wait", [(_by("environment", _m("landing_batches")), "{{environment}}")]),
        Panel("Oldest pushed batch", [(_by("environment", _m("landing_wait_seconds")), "{{environment}}")], "s"),
        Panel("Alerts that fire", [(_by("severity", _m("alerts_firing")), "{{severity}}")]),
    ],
    "Server": [
        Panel("Requests", [(_rate("part", "http_requests_total"), "{{part}}")], "reqps"),
        Panel("Answers", [(_rate("status", "http_requests_total"), "{{status}}")], "reqps"),
        Panel(
            "Time to answer", [(f"histogram_quantile({share}, {_BUCKETS})", share) for share in ("0.5", "0.99")], "s"
        ),
        Panel("Clients of the stream", [(_by("instance", _m("stream_clients")), "{{instance}}")]),
        Panel("Size of the lake", [(_by("folder", _m("lake_size_bytes")), "{{folder}}")], "bytes"),
        Panel("Free on its disk", [(_by("environment", _m("lake_free_bytes"), "min"), "{{environment}}")], "bytes"),
        Panel("Processor", [(f"rate({_own('cpu_seconds_total')}[5m])", "{{instance}}")], "percentunit"),
        Panel("Memory", [(_own("resident_memory_bytes"), "{{instance}}")], "bytes"),
    ],
}


def build() -> str:
    """Return the dashboard as Grafana's JSON."""
    board = (
        dashboard.Dashboard("flood_assets")
        .uid("flood-assets")
        .tags(["flood-assets"])
        .description("Built by deploy/monitoring/dashboard.py: change it there.")
        .time("now-24h", "now")
        .timezone("utc")
        .refresh("1m")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus").label("Prometheus"))
        .with_variable(
            dashboard.QueryVariable("environment")
            .datasource(SOURCE)
            .query("label_values(flood_assets_lake_readable, environment)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
        )
        .with_row(dashboard.Row("Now"))
    )
    for panel in STATS:
        board = board.with_panel(
            _dressed(stat.Panel().color_mode(BigValueColorMode.BACKGROUND_SOLID).height(4).span(4), panel)
        )
    for title, panels in GRAPHS.items():
        board = board.with_row(dashboard.Row(title))
        for panel in panels:
            board = board.with_panel(_dressed(timeseries.Panel().height(7).span(8).fill_opacity(10).min(0), panel))
    return JSONEncoder(sort_keys=True, indent=1).encode(board.build()) + "\n"


def _dressed(made: P, panel: Panel) -> P:
    made = made.title(panel.title).description(panel.said).unit(panel.unit).datasource(SOURCE)
    for number, (query, legend) in enumerate(panel.queries):
        made = made.with_target(
            prometheus.Dataquery().expr(query).legend_format(legend).ref_id("ABCDEFGH"[number]).datasource(SOURCE)
        )
    if panel.limits:
        colours = [(None, "green"), (panel.limits[0], "orange"), (panel.limits[1], "red")]
        steps = [Threshold(value=value, color=colour) for value, colour in colours]
        made = made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    return made


if __name__ == "__main__":
    FILE.write_text(build(), encoding="utf-8")
