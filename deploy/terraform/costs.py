"""Compute the cost page from unit prices: `python -m deploy.terraform.costs` writes it into docs/deploying.md.

Prices change: correct them here, and write the page again. Where a price comes from stands beside it.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.costs import GET_USD, PUT_OR_LIST_USD

PAGE = Path(__file__).parents[2] / "docs" / "deploying.md"
_BETWEEN = re.compile(r"(<!-- costs -->\n).*?(<!-- end -->)", re.DOTALL)

DAYS, HOURS = 30.4, 730.0
# 7 to 19 o'clock on five days of seven.
WORKING_HOURS = 12 * 5 / (24 * 7)

LISTED = "a public copy of AWS's price list"
COLLECTED = "collected with the design, as a total a month"
ESTIMATED = "an estimate"

# What is counted: readings of the country a day; requests of ticks and cleanups by `make bench`; a look of the server,
# and one of the sensor of what lands, which a queue tells and which lists every five minutes all the same, by moto.
READINGS_A_DAY = 456_572
GETS_A_DAY, PUTS_AND_LISTS_A_DAY = 33_712, 13_132
LOOKS_A_DAY, SENSOR_LOOKS_A_DAY = 86_400 / 5, 86_400 / 300
STORED_GB = 0.015


@dataclass(frozen=True)
class Price:
    """Dollars for a unit, and where the number comes from."""

    usd: float
    unit: str
    source: str


PRICES = {
    "Fargate, ARM: CPU": Price(0.03725, "vCPU and hour", ESTIMATED),
    "Fargate, ARM: memory": Price(0.00409, "GB and hour", ESTIMATED),
    "Postgres, db.t4g.micro": Price(11.4, "month, without its disk", COLLECTED),
    "disk of Postgres, gp3": Price(0.13, "GB and month", ESTIMATED),
    "t4g.small": Price(0.0188, "hour", ESTIMATED),
    "disk of a machine, gp3": Price(0.093, "GB and month", ESTIMATED),
    "public IPv4 address": Price(0.005, "hour", ESTIMATED),
    "Lambda, ARM": Price(0.0000133334, "GB and second", ESTIMATED),
    "S3: PUT or LIST": Price(PUT_OR_LIST_USD * 1000, "1,000", LISTED),
    "S3: GET": Price(GET_USD * 1000, "1,000", LISTED),
    "S3: storage": Price(0.024, "GB and month", LISTED),
    "Kinesis: shard": Price(11.0, "month", COLLECTED),
    "Kinesis: records of up to 25 kB": Price(0.0165, "million", ESTIMATED),
    "DynamoDB: the country's newest readings": Price(9.0, "month", COLLECTED),
    "SQS": Price(0.4, "million requests, of which the first is free", ESTIMATED),
    "EventBridge": Price(1.0, "million events", ESTIMATED),
    "API Gateway, HTTP": Price(1.16, "million requests", ESTIMATED),
    "Cloud Map": Price(0.6, "month, with its zone", ESTIMATED),
    "CloudWatch: alarm": Price(0.1, "month", ESTIMATED),
    "CloudWatch: metric": Price(0.3, "month, after ten of an account", ESTIMATED),
    "CloudWatch: logs": Price(0.6, "GB", ESTIMATED),
    "secret": Price(0.4, "month", ESTIMATED),
    "WAF with two rules": Price(7.0, "month, without requests", ESTIMATED),
}


@dataclass(frozen=True)
class Plan:
    """What an environment has, as its tfvars say.

    Attributes:
        scale: multiple of the country's network.
        cpu, memory: of Dagster's task [vCPU, GB], or of a function.
    """

    name: str
    compute: str = "ecs"
    night: bool = False
    serve_tasks: int = 0
    replica: bool = False
    sinks: tuple[str, ...] = ()
    gateway: bool = False
    queue: bool = False
    alarms: int = 0
    scale: int = 1
    cpu: float = 0.5
    memory: float = 2
    shards: int = 1


EVERY_SINK = ("kinesis", "sqs", "sns", "eventbridge", "dynamodb")
SIZES = (
    Plan("ecs"),
    Plan("ecs, off at night", night=True),
    Plan("ec2", "ec2"),
    Plan("ec2, off at night", "ec2", night=True),
    Plan("lambda", "lambda"),
)
ENVIRONMENTS = (
    Plan("dev", night=True),
    Plan("qa", night=True, sinks=("sqs", "sns", "eventbridge", "dynamodb"), gateway=True, queue=True),
    Plan("staging", serve_tasks=1, sinks=EVERY_SINK, gateway=True, queue=True, alarms=10),
    Plan("prod", serve_tasks=1, sinks=EVERY_SINK, gateway=True, queue=True, alarms=10, replica=True),
)
# Memory of a fill by `make bench-large`, and as much again for the server.
SCALES = (
    ENVIRONMENTS[-1],
    replace(ENVIRONMENTS[-1], name="prod, 10 x", scale=10, cpu=1, memory=4, shards=2),
    replace(ENVIRONMENTS[-1], name="prod, 100 x", scale=100, cpu=4, memory=16, shards=10),
)


def of(plan: Plan) -> dict[str, float]:
    """Return dollars a month by what they are paid for."""
    price = {name: each.usd for name, each in PRICES.items()}
    on = WORKING_HOURS if plan.night else 1.0
    events = READINGS_A_DAY * DAYS * plan.scale * on / 1e6
    found = {"compute": 0.0, "Postgres": 0.0}
    if plan.compute == "ecs":
        tasks = 1 + plan.serve_tasks
        # serve's own task has the same CPU, and half the memory.
        memory = plan.memory * (1 + plan.serve_tasks / 2)
        hourly = (
            plan.cpu * tasks * price["Fargate, ARM: CPU"]
            + memory * price["Fargate, ARM: memory"]
            + tasks * price["public IPv4 address"]
        )
        found["compute"] = on * HOURS * hourly
        found["Postgres"] = (on * price["Postgres, db.t4g.micro"] + 20 * price["disk of Postgres, gp3"]) * (
            2 if plan.replica else 1
        )
    elif plan.compute == "ec2":
        hourly = price["t4g.small"] + price["public IPv4 address"]
        found["compute"] = on * HOURS * hourly + 12 * price["disk of a machine, gp3"]
    else:
        # Ten seconds of a refresh, two of a cleanup with a quarter of the memory; 20 of a reconcile every six hours.
        seconds = 96 * (10 * plan.memory + 2 * 0.5) + 4 * 20 * plan.memory
        found["compute"] = DAYS * seconds * price["Lambda, ARM"] * plan.scale
    # Functions look at the lake when they are called. Nobody may push without a queue, so the sensor asks nothing.
    looks = LOOKS_A_DAY * max(plan.serve_tasks, 1) if plan.compute != "lambda" else 0
    looks += SENSOR_LOOKS_A_DAY if plan.queue else 0
    found["S3"] = (
        on * DAYS * ((PUTS_AND_LISTS_A_DAY + looks) * price["S3: PUT or LIST"] + GETS_A_DAY * price["S3: GET"]) / 1000
        + STORED_GB * plan.scale * price["S3: storage"]
    )
    sinks = {
        "kinesis": plan.shards * price["Kinesis: shard"] + events * price["Kinesis: records of up to 25 kB"],
        # Sent, received and deleted by tens.
        "sqs": max(0.0, events * 3 / 10 - 1) * price["SQS"],
        "sns": 0.0,
        "eventbridge": events * price["EventBridge"],
        "dynamodb": price["DynamoDB: the country's newest readings"] * plan.scale * on,
    }
    found["sinks"] = sum(sinks[name] for name in plan.sinks)
    found["the rest"] = (
        (price["secret"] if plan.compute == "ecs" else 0)
        + (price["Cloud Map"] if plan.gateway else 0)
        + plan.alarms * price["CloudWatch: alarm"]
        + 0.5 * on * price["CloudWatch: logs"]
    )
    return found


def written(page: str) -> str:
    """Return the page with the tables between its marks."""
    tables = (
        f"{_table('size', SIZES)}\n{_table('environment', ENVIRONMENTS)}\n{_table('network', SCALES)}\n{_prices()}\n"
    )
    return _BETWEEN.sub(lambda match: f"{match[1]}\n{tables}{match[2]}", page)


def _table(what: str, plans: tuple[Plan, ...]) -> str:
    columns = list(of(plans[0]))
    lines = [f"| {what} | {' | '.join(columns)} | USD a month |", f"|---{'|---' * (len(columns) + 1)}|"]
    for plan in plans:
        found = of(plan)
        cells = [f"{found[name]:.1f}" for name in columns]
        lines.append(f"| {plan.name} | {' | '.join(cells)} | **{sum(found.values()):.0f}** |")
    return "\n".join(lines) + "\n"


def _prices() -> str:
    lines = ["| price | USD | for each | from |", "|---|---|---|---|"]
    lines += [f"| {name} | {_plain(each.usd)} | {each.unit} | {each.source} |" for name, each in PRICES.items()]
    return "\n".join(lines) + "\n"


def _plain(usd: float) -> str:
    return f"{usd:.10f}".rstrip("0").rstrip(".")


def main() -> None:
    """Write the page."""
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
