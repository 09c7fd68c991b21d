"""An alert names its place so that people know which one of several is meant."""

from flood_assets.alerts.evidence import gather
from flood_assets.alerts.rules import parse_rules
from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, STATIONS
from flood_assets_tests.support.lake_rows import NOW, snapshot


def test_stations_of_one_name_have_their_id_and_two_levels_their_qualifier(tmp_path):
    lake, at = Lake.open(tmp_path), window_of(NOW)
    rain = [{"station_id": each, "label": "Rainfall station"} for each in ("R1", "R2")]
    stations = [*rain, {"station_id": "L", "label": "Lock"}, {"station_id": "X", "label": None}]
    lake.put_snapshots(STATIONS, [at], snapshot(STATIONS, NOW, *stations))
    measures = [
        ("r1", "R1", "rainfall", "Tipping Bucket Raingauge"),
        ("r2", "R2", "rainfall", "Tipping Bucket Raingauge"),
        ("up", "L", "level", "Stage"),
        ("down", "L", "level", "Downstream Stage"),
        ("flow", "L", "flow", None),
        ("x", "X", "level", "Stage"),
    ]
    names = ("measure_id", "station_id", "parameter", "qualifier")
    rows = [dict(zip(names, each, strict=True)) for each in measures]
    lake.put_snapshots(MEASURES, [at], snapshot(MEASURES, NOW, *rows))
    gauges = gather(lake, parse_rules('[[rule]]\nname = "all"\nabove = 1'), NOW).gauges
    assert {name: gauge.label for name, gauge in gauges.items()} == {
        "r1": "Rainfall station (R1)",
        "r2": "Rainfall station (R2)",
        "up": "Lock, Stage",
        "down": "Lock, Downstream Stage",
        "flow": "Lock",
        "x": "x",
    }
