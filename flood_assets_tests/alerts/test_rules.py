"""Rules are read from TOML; an error names the rule, the key, the value and the remedy."""

from datetime import timedelta

import pytest

from flood_assets.alerts.rules import AlertRulesError, parse_rules, read_rules
from flood_assets.errors import SettingsError
from flood_assets_tests.support.alert_cases import rule_of

ALL_KINDS = """
[[rule]]
name = "Kingston high"
station = "Kingston"
parameter = "level"
above = 1.5
hysteresis = 0.1
severity = "severe"

[[rule]]
name = "low flow"
river = ["River Thames", "River Kennet"]
parameter = "flow"
below = 3

[[rule]]
name = "above the range"
catchment = "Cotswolds"
band = "above"

[[rule]]
name = "near the record"
bbox = [-0.5, 51.3, 0.1, 51.6]
record = 0.9

[[rule]]
name = "rises"
near = [51.41, -0.31]
km = 20
rising = 0.3

[[rule]]
name = "rain"
town = "Reading"
rain = 20
over = "6h"

[[rule]]
name = "silent"
silent = true

[[rule]]
name = "late"
measure = "m"
late = true

[[rule]]
name = "severe warnings"
county = "Surrey"
warning = "severe"

[[rule]]
name = "api"
api_late = "1h"
share = 0.4
"""


def test_each_kind_of_rule_is_read():
    rules = {rule.name: rule for rule in parse_rules(ALL_KINDS)}
    high, low = rules["Kingston high"], rules["low flow"]
    assert (high.kind, high.number, high.hysteresis, high.severity) == ("above", 1.5, 0.1, "Severe")
    assert high.gauges == {"station": ("Kingston",), "parameter": ("level",)}
    assert (low.kind, low.number, low.gauges["river"]) == ("below", 3.0, ("River Thames", "River Kennet"))
    assert rules["near the record"].bbox == (-0.5, 51.3, 0.1, 51.6)
    assert (rules["rises"].near, rules["rises"].km) == ((51.41, -0.31), 20.0)
    assert rules["rain"].span == timedelta(hours=6)
    assert rules["severe warnings"].word == "severe"
    assert (rules["api"].span, rules["api"].share) == (timedelta(hours=1), 0.4)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('above = "high"', "rules: rule 'it': above is 'high': expected a number, such as 1.5"),
        ("above = true", "above is True: expected a number"),
        ("above = nan", "above is nan: expected a number"),
        ("rising = 0", "rising is 0: expected a number above 0"),
        ('band = "high"', 'band is \'high\': expected "above" or "record" or "below"'),
        ("above = 1\nbelow = 2", "rule 'it' has above and below: give it one of above = 1.5"),
        ('station = "Kingston"', "rule 'it' has no condition: give it one of above = 1.5, below = 0.2"),
        ('above = 1\nstaton = "K"', "there is no key 'staton' in a rule of above, did you mean 'station'?"),
        ('above = 1\ncounty = "K"', "there is no key 'county' in a rule of above"),
        ("above = 1\nstation = 7", "station is 7: expected a text or a list of texts"),
        ("above = 1\nriver = []", "river is []: expected a text or a list of texts"),
        ("above = 1\nbbox = [1, 2, 3]", "bbox is [1, 2, 3]: expected 4 numbers, such as [-0.5, 51.3, 0.1, 51.6]"),
        ("above = 1\nbbox = [1, 3, 3, 2]", "its south is above its north"),
        ("above = 1\nnear = [151.4, 0]", "near is [151.4, 0]: expected latitude and longitude"),
        ("above = 1\nkm = 5", "km is 5: expected kilometres up to 1000, beside near"),
        ("rain = 20", "over is None: expected a time from 15 minutes to 18 hours"),
        ('rain = 20\nover = "2 days"', "over is '2 days': expected a time"),
        ("silent = false", "silent is False: expected true"),
        ('warning = "bad"', 'warning is \'bad\': expected "severe" or "warning" or "alert"'),
        ('api_late = "1 min"', "api_late is '1 min': expected a time from 15 minutes"),
        ('api_late = "1h"\nshare = 2', "share is 2: expected a share"),
        ('api_late = "1h"\nriver = "T"', "there is no key 'river' in a rule of api_late"),
        ("silent = true\nhysteresis = 1", "hysteresis is 1: expected a number from 0, in a rule of above"),
        ('above = 1\nseverity = "bad"', 'severity is \'bad\': expected "Extreme" or "Severe"'),
    ],
)
def test_an_error_names_the_rule_the_key_the_value_and_the_remedy(lines, said):
    with pytest.raises(AlertRulesError) as error:
        rule_of(lines)
    assert said in str(error.value)
    assert isinstance(error.value, SettingsError)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it.toml has no rules: begin each with a line [[rule]]"),
        ("[rule]\nabove = 1", "it.toml has no rules: begin each with a line [[rule]]"),
        ("[[rules]]\nabove = 1", "it.toml has 'rules', did you mean 'rule'?: rules begin with [[rule]]"),
        ("[[rule]\n", "it.toml is no TOML: "),
        ("[[rule]]\nabove = 1", "it.toml: rule 1: name is None: give it a name, such as 'Kingston high'"),
        ('[[rule]]\nname="a"\nabove = 1\n[[rule]]\nname="a"\nabove = 2', "it.toml has two rules named 'a'"),
    ],
)
def test_a_file_that_is_no_list_of_rules_is_refused(text, said):
    with pytest.raises(AlertRulesError) as error:
        parse_rules(text, "it.toml")
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_told_with_the_variable(tmp_path):
    with pytest.raises(AlertRulesError, match=r"none\.toml cannot be read .*: set FLOOD_ALERTS to a TOML file"):
        read_rules(tmp_path / "none.toml")
