"""The examples as a newcomer runs them, on a lake in a folder: the notebook in a fresh home, the SQL in DuckDB."""

import json
import math
import os
import re
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from flood_assets.lake.lake import Lake
from flood_assets.notebook import NothingFoundWarning
from flood_assets.partitions import retained_windows
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.support.lake_rows import QUARTER, fetched, snapshot

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"
NOW = datetime(2026, 10, 5, 9, 7, 30, tzinfo=UTC)


def country() -> tuple[list[dict], list[dict], list[tuple]]:
    """Return stations, measures and a day of readings: a river that rises, a tide, showers, a still borehole."""
    stations, measures, readings = [], [], []
    first = retained_windows(NOW)[1]
    times = [t for i in range(96) if (t := first + i * QUARTER) <= NOW]

    def gauge(station: str, label: str, river: str | None, what: tuple[str, str, str], value, late: int = 0) -> None:
        stations.append({"station_id": station, "label": label, "river": river, "lat": 51.5, "long": -0.2})
        parameter, qualifier, unit = what
        measure = {"measure_id": f"{station}-m", "station_id": station, "period_s": 900}
        measures.append({**measure, "parameter": parameter, "qualifier": qualifier, "unit": unit})
        readings.extend((f"{station}-m", t, value(i)) for i, t in enumerate(times[: len(times) - late]))

    for n in range(8):
        wave = lambda i, n=n: round(1 + n / 4 + (0.1 + n / 20) * math.sin((i - 6 * n) / 20), 3)  # noqa: E731
        gauge(f"T{n}", f"Lock {n}", "River Thames", ("level", "Stage", "mASD"), wave, late=n)
    tide = ("level", "Tidal Level", "mAOD")
    gauge("TIDE", "Sheerness", None, tide, lambda i: round(2.5 * math.sin(2 * math.pi * i * 15 / 745), 3))
    rain = ("rainfall", "Tipping Bucket Raingauge", "mm")
    gauge("RAIN", "Rainfall station", None, rain, lambda i: 0.2 if i % 17 < 3 else 0.0, late=20)
    gauge("BORE", "Manor Farm", None, ("level", "Groundwater", "mAOD"), lambda _: 71.42, late=60)
    return stations, measures, readings


def fill(folder: Path) -> None:
    stations, measures, readings = country()
    lake = Lake.open(folder.as_uri())
    # As the first refresh does: one snapshot for each retained window.
    lake.put_snapshots(STATIONS, retained_windows(NOW), snapshot(STATIONS, NOW, *stations))
    lake.put_snapshots(MEASURES, retained_windows(NOW), snapshot(MEASURES, NOW, *measures))
    lake.upsert_readings(fetched(*readings), NOW, NOW)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def run(home: Path, lake: Path) -> nbformat.NotebookNode:
    """Execute the notebook by this interpreter, whatever kernels are installed."""
    kernel = home / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    environ = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    environ |= {
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "FLOOD_LAKE_URL": lake.as_uri(),
        "FLOOD_NOW": NOW.isoformat(),
    }
    notebook = nbformat.read(QUICKSTART, as_version=4)
    manager = AsyncKernelManager(connection_file=str(home / "connection.json"))
    manager.kernel_spec_manager.kernel_dirs = [str(kernel.parent)]
    client = NotebookClient(notebook, km=manager, timeout=90, resources={"metadata": {"path": str(home)}})
    client.execute(env=environ, cleanup_kc=True)
    return notebook


def outputs(notebook: nbformat.NotebookNode, cell: str) -> list:
    (found,) = [each for each in notebook.cells if each.id == cell]
    return found.outputs


def text(notebook: nbformat.NotebookNode, cell: str, kind: str = "text/plain") -> str:
    return "".join(out.get("text", "") + out.get("data", {}).get(kind, "") for out in outputs(notebook, cell))


def test_the_notebook_is_stored_without_output_and_is_valid():
    notebook = nbformat.read(QUICKSTART, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.metadata == {}
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_the_notebook_names_the_source_and_its_licence():
    text = QUICKSTART.read_text()
    assert "Environment Agency flood and river level data from the real-time data API (Beta)" in text
    assert "https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/" in text


def test_the_notebook_runs_from_top_to_bottom(home, tmp_path):
    fill(tmp_path)
    notebook = run(home, tmp_path)
    streams = [out for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "stream"]
    # Once in a fresh home, matplotlib says that it builds its font cache.
    assert [out.name for out in streams if "font cache" not in out.text] == ["stdout"]
    assert f"11 stations in {tmp_path.as_uri()}" in text(notebook, "stations")
    assert "Lock 0  0.901  mASD" in text(notebook, "levels")
    (plot,) = [out for out in outputs(notebook, "plot") if out.output_type == "display_data"]
    assert len(plot.data["image/png"]) > 10_000
    freshness = text(notebook, "freshness")
    assert "Tidal Level" in freshness
    assert "0 days 00:07:30" in freshness


def test_the_notebook_says_what_to_run_when_there_is_no_lake(home, tmp_path):
    lake = tmp_path / "none"
    notebook = run(home, lake)
    assert f"run `FLOOD_LAKE_URL={lake.as_uri()} flood-assets refresh`" in text(notebook, "stations")
    assert "0 stations" in text(notebook, "stations")
    assert not lake.exists()


PAGES = [ROOT / "README.md", ROOT / "docs" / "notebooks.md"]


def examples(language: str) -> list:
    """Return the examples of the pages in one language, each with the page that it is on."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, code in enumerate(re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL), 1):
            found.append(pytest.param(code, id=f"{page.name}-{number}"))
    return found


@pytest.mark.parametrize("code", examples("python"))
def test_the_python_of_the_pages_runs(tmp_path, monkeypatch, code):
    fill(tmp_path / "lake")
    url = (tmp_path / "lake").as_uri()
    monkeypatch.setenv("FLOOD_LAKE_URL", url)
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())
    with warnings.catch_warnings():
        # The names and times are those of real gauges, of which this lake has a few.
        warnings.simplefilter("ignore", NothingFoundWarning)
        exec(code.replace("file:///var/lib/flood", url), {})


@pytest.mark.parametrize("query", examples("sql"))
def test_the_sql_of_the_pages_gives_each_reading_once(tmp_path, monkeypatch, query):
    fill(tmp_path / "lake")
    monkeypatch.chdir(tmp_path)
    stored = len(Lake.open((tmp_path / "lake").as_uri()).read(READINGS, now=NOW))
    with duckdb.connect() as connection:
        rows = connection.sql(query).to_arrow_table()
    assert len(rows) == stored
    assert len(rows.group_by(["measure_id", "date_time"]).aggregate([])) == stored
    if "unit" in rows.column_names:
        assert set(rows["unit"].to_pylist()) == {"mASD", "mAOD", "mm"}
