"""Put series to the alarms of `deploy/monitoring` with promtool: Prometheus' engine, and a clock that a test sets."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from flood_assets_tests.support.programs import program, run

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
RULES = MONITORING / "prometheus" / "alerts.yml"
_FIRING = 'max by (alertname) (ALERTS{alertstate="firing"})'


@dataclass(frozen=True)
class Story:
    """Series from minute 0 on, in promtool's notation of one value a minute, and the alarms that fire at some minutes.

    All the alarms: none other may.
    """

    name: str
    series: Mapping[str, str]
    firing: Mapping[int, Collection[str]]


def alarms() -> dict[str, dict]:
    """Return the alarms of the rules by name."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def judge(folder: Path, stories: Sequence[Story]) -> None:
    """Fail if in one of the stories another set of alarms fires than it says."""
    tests = [
        {
            "name": story.name,
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in story.series.items()],
            "promql_expr_test": [
                {
                    "expr": _FIRING,
                    "eval_time": f"{minute}m",
                    "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)],
                }
                for minute, names in story.firing.items()
            ],
        }
        for story in stories
    ]
    file = folder / "stories.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    run(program("promtool"), "test", "rules", file)
