"""Rules on recorded series: a day of Thames levels and flows and of tides, laid on two days, against the oracle."""

import numpy as np
import pytest

from flood_assets import quality
from flood_assets.ea.lists import parse_measures
from flood_assets.query.alerts import CLEARED, FIRING
from flood_assets_tests.query.test_conditions_recorded import NOW, series
from flood_assets_tests.support.alert_cases import QUARTER, every_quarter, gauge_of, oracle, rule_of, ticked
from flood_assets_tests.support.quality_rows import readings, stations
from flood_assets_tests.support.recordings import envelope, recorded


@pytest.mark.parametrize("kind", ["Tidal Level", "Downstream Stage", "Stage", "flow"])
def test_recorded_gauges_fire_and_clear_at_the_oracles_moments(kind):
    listed = parse_measures(envelope(recorded("sample/measures.json")), NOW).rows
    described = {row["measure_id"]: row for row in listed.to_pylist()}
    judged, fired, cleared = 0, 0, 0
    for measure, day in series().items():
        gauge = described.get(measure)
        if gauge is None or kind not in (gauge["qualifier"], gauge["parameter"]):
            continue
        at, first = dict(day), day[0][0]
        count = (day[-1][0] - first) // QUARTER + 1
        on_grid = [at.get(first + place * QUARTER) for place in range(count)]
        if sum(value is not None for value in on_grid) < len(day) // 2:
            continue
        rows = readings([measure] * len(day), [moment for moment, _ in day], [value for _, value in day])
        worst = dict(zip(at, quality.flags(rows, listed, stations())["flag"].to_pylist(), strict=True))
        flags = [worst.get(first + place * QUARTER, 1) for place in range(count)]
        values = [value for value in on_grid if value is not None]
        threshold, hysteresis = float(np.quantile(values, 0.7)), float(np.ptp(values)) / 20
        # As many recorded values are equal to a quantile, it is moved between two of them.
        threshold = round(threshold + 0.0005, 4)
        rule = rule_of(f"above = {threshold}\nhysteresis = {hysteresis!r}")
        ticks = every_quarter(count, first)
        told = ticked([rule], [gauge_of(on_grid, flags=flags, start=first)], ticks)
        expected = oracle(on_grid, threshold, hysteresis, flags)
        assert told.of(FIRING) == [ticks[place] for place, _ in expected], measure
        assert told.of(CLEARED) == [ticks[place] for _, place in expected if place is not None], measure
        judged, fired, cleared = judged + 1, fired + len(told.of(FIRING)), cleared + len(told.of(CLEARED))
    assert judged >= 3
    print(f"{kind}: {judged} gauges, {fired} fired, {cleared} cleared")
