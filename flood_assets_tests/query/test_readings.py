import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.support.questions import ask_measures, ask_readings, ask_stations
from flood_assets_tests.support.seven_gauges import MEASURE_IDS, NOW


def test_without_arguments_the_whole_retained_day_of_every_gauge_is_given():
    frame = ask_readings()
    assert list(frame.columns) == READINGS.schema.names
    assert len(frame) == 96 * len(MEASURE_IDS)
    assert frame.date_time.max() == pd.Timestamp("2026-10-05T09:00Z")
    assert frame.date_time.min() == pd.Timestamp("2026-10-04T09:15Z")


def test_each_gauge_is_in_order_of_time():
    frame = ask_readings()
    assert all(times.is_monotonic_increasing for _, times in frame.groupby("measure_id").date_time)


def test_arrow_gets_the_tables_own_schema():
    assert ask_readings(arrow=True).schema == READINGS.schema
    assert ask_stations(arrow=True).schema == STATIONS.schema
    assert ask_measures(arrow=True).schema == MEASURES.schema


def test_asking_loads_no_pandas_dagster_or_terminal_and_warns_of_nothing(filled):
    script = """
import json, sys, warnings
from datetime import datetime
from flood_assets import query
from flood_assets.lake.lake import Lake
from flood_assets.query.status import look
warnings.simplefilter("error")
unwanted = ("dagster", "dagster_aws", "boto3", "rich", "click", "requests")
assert "pandas" not in sys.modules  # pyarrow itself loads it when it makes arrays
lake, now = sys.argv[1], sys.argv[2]
found = query.readings(lake, now, station=["K1", "nobody"], joined=True, flags=True)
rows = look(Lake.open(lake), datetime.fromisoformat(now)).tables["readings"].rows
print(json.dumps([sorted(set(unwanted) & set(sys.modules)), len(found.rows), len(found.notes), rows]))
"""
    command = [sys.executable, "-c", script, filled.as_uri(), NOW.isoformat()]
    environ = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], 2 * 96, 1, 96 * len(MEASURE_IDS)]
