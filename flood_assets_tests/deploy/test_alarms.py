"""Each alarm fires, and no other beside it; and it does not fire just below its limits or before its time."""

import yaml

from flood_assets_tests.support.programs import program, run
from flood_assets_tests.support.promtool import MONITORING, RULES, Story, alarms, judge

LAST = 110
ON_TIME = f"0+60x{LAST}"


def at(value: float) -> str:
    return f"{value}x{LAST}"


def step(name: str) -> str:
    return f'flood_assets_last_success_timestamp_seconds{{environment="e", step="{name}"}}'


def failed(name: str) -> str:
    return f'flood_assets_step_failed{{environment="e", step="{name}"}}'


def bucket(le: str) -> str:
    return f'flood_assets_http_request_duration_seconds_bucket{{environment="e", part="api", le="{le}"}}'


def one(name: str, **labels: str) -> str:
    said = ", ".join(f'{label}="{value}"' for label, value in {"environment": "e", **labels}.items())
    return f"flood_assets_{name}{{{said}}}"


STEPS = ("stations", "measures", "warning_areas", "readings", "completeness", "conditions", "warnings", "alerts")
UP = 'up{job="flood-assets", environment="e"}'
CONFIRMED, FREE, SINK, DEAD = (
    one("snapshot_confirmed_timestamp_seconds"),
    one("lake_free_bytes"),
    one("sink_lag_seconds", sink="s"),
    one("sink_dead_letters", sink="s"),
)
NEWEST = one("newest_reading_timestamp_seconds", region="Thames", parameter="level")
SILENT, CURRENT = (one("gauges", region="Thames", parameter="level", freshness=each) for each in ("silent", "current"))
MISSED, DAMAGED = (
    one("readings_missing", parameter="level", cause="not_fetched"),
    one("windows_damaged", table="readings"),
)
ANSWERED, BROKEN = (one("http_requests_total", part="api", method="GET", status=each) for each in ("2xx", "5xx"))

WELL = {
    UP: at(1),
    one("lake_readable"): at(1),
    CONFIRMED: ON_TIME,
    **{step(name): ON_TIME for name in STEPS},
    **{failed(name): at(0) for name in STEPS},
    FREE: at(5e10),
    one("lake_disk_bytes"): at(1e11),
    NEWEST: f"-900+60x{LAST}",
    CURRENT: at(20),
    SILENT: at(0),
    one("readings_expected", parameter="level"): at(1000),
    MISSED: at(0),
    DAMAGED: at(0),
    one("windows_missing"): at(0),
    one("windows_overdue"): at(0),
    one("quarantined_objects"): at(0),
    one("readings"): at(1000),
    one("rejects"): at(0),
    SINK: at(0),
    DEAD: at(0),
    one("landing_wait_seconds"): at(0),
    ANSWERED: ON_TIME,
    BROKEN: at(0),
    bucket("0.1"): ON_TIME,
    bucket("2.5"): ON_TIME,
    bucket("5"): ON_TIME,
    bucket("+Inf"): ON_TIME,
}
GONE = "_x1"
# Ten minutes of all well, and then no more.
STOPPED = f"0+60x10 600x{LAST}"

# Of each alarm: the series that make it fire, a minute at which it does not yet, one at which it does, and series by
# which it never does.
CASES = {
    "FloodAssetsServerDown": ({UP: at(0)}, 1, 3, {UP: f"1x5 0 1x{LAST}"}),
    "FloodAssetsMetricsMissing": ({MISSED: GONE}, 4, 10, {one("gauges"): GONE}),
    "FloodAssetsLakeUnreadable": ({CONFIRMED: STOPPED}, 16, 30, {CONFIRMED: f"-280+60x{LAST}"}),
    "FloodAssetsDiskFull": ({FREE: at(9e8)}, 4, 6, {FREE: at(1.1e9)}),
    "FloodAssetsRefreshFails": (
        {failed("readings"): at(1), step("readings"): STOPPED},
        24,
        60,
        # Each second tick fails: a failure is healed before the next one.
        {failed("readings"): " ".join(["1x14 0x14"] * 6)},
    ),
    "FloodAssetsRefreshStopped": ({step("readings"): STOPPED}, 54, 56, {step("readings"): f"-2340+60x{LAST}"}),
    "FloodAssetsStepOld": ({step("conditions"): STOPPED}, 79, 82, {step("stations"): f"-10000+60x{LAST}"}),
    "FloodAssetsSourceStale": ({NEWEST: f"-900+60x10 -300x{LAST}"}, 99, 102, {NEWEST: f"-5300+60x{LAST}"}),
    "FloodAssetsGaugesSilent": ({SILENT: at(100)}, 59, 61, {SILENT: at(8), CURRENT: at(1)}),
    "FloodAssetsReadingsMissed": ({MISSED: at(11)}, 29, 31, {MISSED: at(10)}),
    "FloodAssetsWindowDamaged": ({DAMAGED: at(1), MISSED: at(40)}, 19, 21, {DAMAGED: f"1x18 0x{LAST}"}),
    "FloodAssetsWindowMissing": ({one("windows_missing"): at(1)}, 19, 21, {one("windows_missing"): f"1x18 0x{LAST}"}),
    "FloodAssetsQuarantined": ({one("quarantined_objects"): f"0x5 1x{LAST}"}, 5, 6, {}),
    "FloodAssetsNotExpired": ({one("windows_overdue"): at(1)}, 14, 16, {one("windows_overdue"): f"1x12 0x{LAST}"}),
    "FloodAssetsRejects": ({one("rejects"): at(11)}, 29, 31, {one("rejects"): at(10)}),
    "FloodAssetsSinkBehind": ({SINK: ON_TIME}, 34, 36, {SINK: at(1700)}),
    "FloodAssetsDeadLetters": ({DEAD: f"0x5 1x{LAST}"}, 5, 6, {}),
    "FloodAssetsPushWaits": ({one("landing_wait_seconds"): ON_TIME}, 20, 22, {one("landing_wait_seconds"): at(890)}),
    "FloodAssetsServerErrors": ({BROKEN: f"0+6x{LAST}"}, 10, 13, {BROKEN: f"0+3x{LAST}"}),
    "FloodAssetsServerSlow": (
        {bucket(le): f"0+50x{LAST}" for le in ("0.1", "2.5")},
        15,
        18,
        {bucket(le): f"0+58x{LAST}" for le in ("0.1", "2.5")},
    ),
}  # fmt: skip


def test_every_alarm_has_a_case():
    assert set(CASES) == set(alarms())


def test_each_alarm_fires_at_its_time_and_alone(tmp_path):
    stories = [
        Story(f"{name} fires", WELL | bad, {before: (), then: (name,)})
        for name, (bad, before, then, _) in CASES.items()
    ]
    judge(tmp_path, stories)


def test_nothing_fires_when_all_is_well_or_all_is_just_below_its_limits(tmp_path):
    harmless = {name: case[3] for name, case in CASES.items()}
    # Apart: while a step fails, alarms of what follows from that are silent.
    failing = harmless.pop("FloodAssetsRefreshFails")
    all_of = {series: values for each in harmless.values() for series, values in each.items()}
    quiet = dict.fromkeys((5, 35, 70, LAST), ())
    stories = {"well": {}, "below the limits": all_of, "healed by the next tick": failing}
    judge(tmp_path, [Story(name, WELL | series, quiet) for name, series in stories.items()])


CAUSES = [
    ({step("readings"): STOPPED, NEWEST: STOPPED, SILENT: at(100), SINK: ON_TIME}, "FloodAssetsRefreshStopped"),
    ({CONFIRMED: STOPPED, one("lake_readable"): at(0), step("readings"): STOPPED}, "FloodAssetsLakeUnreadable"),
    ({FREE: at(1e6), step("readings"): STOPPED, failed("warnings"): at(1)}, "FloodAssetsDiskFull"),
    (dict.fromkeys(WELL, GONE) | {UP: at(0)}, "FloodAssetsServerDown"),
    (dict.fromkeys(WELL, GONE), "FloodAssetsServerDown"),
]


def test_what_follows_from_a_cause_has_no_alarm_of_its_own(tmp_path):
    old = {step(each): STOPPED for each in STEPS}
    stories = [Story(name, WELL | ({} if UP in cause else old) | cause, {80: (name,)}) for cause, name in CAUSES]
    judge(tmp_path, stories)


def test_several_environments_have_alarms_of_their_own(tmp_path):
    two = WELL | {series.replace('"e"', '"f"'): values for series, values in WELL.items()}
    judge(tmp_path, [Story("one of two", two | {step("readings"): STOPPED}, {60: ("FloodAssetsRefreshStopped",)})])


def test_prometheus_and_alertmanager_accept_their_files():
    run(program("promtool"), "check", "config", MONITORING / "prometheus" / "prometheus.yml")
    run(program("amtool"), "check-config", MONITORING / "alertmanager" / "alertmanager.yml")


def test_every_alarm_has_a_summary_and_goes_to_somebody_by_its_severity():
    routes = MONITORING / "alertmanager" / "alertmanager.yml"
    to = {"critical": "on-call", "warning": "people", "info": "nobody"}
    for severity, receiver in to.items():
        found = run(program("amtool"), "config", "routes", "test", f"--config.file={routes}", f"severity={severity}")
        assert found.split() == [receiver]
    for name, rule in alarms().items():
        assert rule["labels"]["severity"] in to, name
        assert rule["annotations"]["summary"], name


def test_what_is_critical_silences_the_rest_of_its_environment():
    (rule,) = yaml.safe_load((MONITORING / "alertmanager" / "alertmanager.yml").read_text())["inhibit_rules"]
    assert rule["equal"] == ["environment"]


def test_the_rules_are_those_that_the_configuration_names():
    named = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())["rule_files"]
    assert named == [RULES.name]
