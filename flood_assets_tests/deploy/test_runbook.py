"""The page for whoever is on call: a section for each alarm and none besides, names that exist, and a way back."""

import re
import shutil
from datetime import timedelta
from pathlib import Path

from flood_assets import emf, ingest
from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import WATERMARKS_KEY
from flood_assets.schemas import READINGS
from flood_assets.simulator import Simulator, serve
from flood_assets_tests.conftest import NOW
from flood_assets_tests.support.promtool import alarms
from flood_assets_tests.support.served import served
from flood_assets_tests.support.seven_gauges import fill
from flood_assets_tests.support.simulated_lake import fill_from

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_alarm_has_a_section_and_every_section_an_alarm():
    assert re.findall(r"^### (\w+)$", PAGE, re.MULTILINE) == list(alarms())


def test_every_alarm_of_terraform_has_a_line_and_every_line_an_alarm():
    modules = ROOT / "deploy" / "terraform" / "modules"
    text = (modules / "alarms" / "main.tf").read_text(encoding="utf-8").partition("  alarms = merge(")[0]
    dead = re.findall(r'\{ ([\w-]+) = "\$\{var.name\}-[\w-]+-dead"', (modules / "streams" / "outputs.tf").read_text())
    made = {*re.findall(r"^ {6}(\w+) = (?:merge\(|\{)", text, re.MULTILINE), *(f"dead-{name}" for name in dead)}
    assert len(made) == 12
    table = PAGE.partition("Alarms of CloudWatch")[2].partition("In each case")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == made


def test_every_metric_is_on_the_page(tmp_path):
    lake = Lake.open(tmp_path / "lake")
    fill(lake)
    with served(lake, NOW) as server:
        text = server.client.get("/metrics").text
    names = set(re.findall(r"^# TYPE flood_assets_(\w+)", text, re.MULTILINE)) - {"build_info"}
    assert len(names) > 20
    assert [name for name in sorted(names) if not re.search(rf"`{name}[`{{]", PAGE)] == []


def test_every_metric_of_cloudwatch_is_on_the_page():
    assert [name for name in (*emf.UNITS, emf.NAMESPACE, emf.DIMENSION) if f"`{name}`" not in PAGE] == []


def test_a_copy_without_watermarks_is_as_full_after_a_refresh_as_the_lake_itself(tmp_path):
    later, moment = NOW + timedelta(minutes=45), [NOW]
    with serve(Simulator(stations=40, seed=2, now=lambda: moment[0])) as source:
        lake = Lake.open(tmp_path / "lake")
        fill_from(source.url, lake, NOW)
        shutil.copytree(tmp_path / "lake", tmp_path / "copy", ignore=shutil.ignore_patterns(WATERMARKS_KEY, ".locks"))
        moment[0] = later
        source.set_clock(later)
        found = []
        for each in (lake, Lake.open(tmp_path / "copy")):
            api = FloodMonitoringApi(source.url, now=lambda: later)
            ingest.fetch(api, each, None, later).store(each)
            api.close()
            found.append(each.read(READINGS, now=later, columns=["measure_id", "date_time", "value"]))
    assert found[0].equals(found[1])
    assert len(found[0]) > 1000
