"""The cost page says what its prices give."""

import re

from benchmarks import costs as measured
from deploy.terraform import costs
from flood_assets_tests.support.terraform import ROOT

SETTINGS = ROOT / "deploy" / "terraform" / "envs"


def test_the_page_is_up_to_date():
    """Write it anew with `python -m deploy.terraform.costs`."""
    page = costs.PAGE.read_text(encoding="utf-8")
    assert costs.written(page) == page


def test_requests_are_those_that_the_benchmark_counted():
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    every, some = (
        int(re.search(rf"\| {name} \| ([\d,]+)", results)[1].replace(",", ""))
        for name in ("requests to S3 a day", "of these PUT and LIST")
    )
    assert (some, every - some) == (costs.PUTS_AND_LISTS_A_DAY, costs.GETS_A_DAY)
    assert f"{costs.READINGS_A_DAY:,} readings" in results
    assert measured.PRICES_OF in costs.PAGE.read_text(encoding="utf-8")


def test_what_is_paid_for_is_what_the_environments_have():
    for plan in costs.ENVIRONMENTS:
        text = re.sub(r" +=", " =", (SETTINGS / f"{plan.name}.tfvars").read_text())
        assert plan.night == ("off_at_night = true" in text)
        assert plan.serve_tasks == int((re.search(r"serve_tasks = (\d)", text) or [0, 0])[1])
        assert plan.replica == ("replica = true" in text)
        assert plan.gateway == ('edge = "gateway"' in text)
        assert plan.queue == ("queue = true" in text)
        assert set(plan.sinks) == set(re.findall(r'"(\w+)"', (re.search(r"sinks = \[(.*)\]", text) or ["", ""])[1]))
        assert bool(plan.alarms) == ("alarms = false" not in text)


def test_a_budget_is_not_exceeded_by_what_is_planned():
    for plan in costs.ENVIRONMENTS:
        found = re.search(r"budget_usd\s*=\s*(\d+)", (SETTINGS / f"{plan.name}.tfvars").read_text())
        assert found is None or 0.8 * int(found[1]) < sum(costs.of(plan).values()) < int(found[1])


def test_only_what_is_paid_by_the_reading_grows_with_the_network():
    first, *larger = [costs.of(plan) for plan in costs.SCALES]
    for found in larger:
        assert found["Postgres"] == first["Postgres"]
        assert found["S3"] < 1.1 * first["S3"]
        assert found["sinks"] > 5 * first["sinks"]
