"""The notebook as a newcomer runs it: in a fresh home, on the lake of a demo. The other examples: `test_examples`.

Jupyter's packages take over a second to import, so only the process that runs these tests imports them.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flood_assets.query.conditions import BANDS, TRENDS
from flood_assets_tests.conftest import NOW

if TYPE_CHECKING:
    import nbformat

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def run(home: Path, lake: Path) -> "nbformat.NotebookNode":
    """Execute the notebook by this interpreter, whatever kernels are installed."""
    import nbformat  # noqa: PLC0415
    from jupyter_client.manager import AsyncKernelManager  # noqa: PLC0415
    from nbclient import NotebookClient  # noqa: PLC0415

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


def outputs(notebook: "nbformat.NotebookNode", cell: str) -> list:
    (found,) = [each for each in notebook.cells if each.id == cell]
    return found.outputs


def text(notebook: "nbformat.NotebookNode", cell: str, kind: str = "text/plain") -> str:
    return "".join(out.get("text", "") + out.get("data", {}).get(kind, "") for out in outputs(notebook, cell))


def test_the_notebook_is_stored_without_output_and_is_valid():
    import nbformat  # noqa: PLC0415

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


def test_the_notebook_runs_from_top_to_bottom_on_the_demo(home, demo_lake):
    notebook = run(home, demo_lake)
    streams = [out for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "stream"]
    # Once in a fresh home, matplotlib says that it builds its font cache.
    assert [out.name for out in streams if "font cache" not in out.text] == ["stdout"]
    assert f"300 stations in {demo_lake.as_uri()}" in text(notebook, "stations")
    row = re.search(r"<td>Kingston</td>(.*?)</tr>", text(notebook, "levels", "text/html"), re.DOTALL)
    value, unit, band, trend, time = re.findall("<td>(.*?)</td>", row[1])
    assert (float(value) > 0, unit, time) == (True, "mASD", "2026-10-15 10:00:00+01:00")
    assert {band, trend} <= {*BANDS, *TRENDS}
    (plot,) = [out for out in outputs(notebook, "plot") if out.output_type == "display_data"]
    assert len(plot.data["image/png"]) > 20_000, "a chart without lines is smaller"
    freshness = text(notebook, "freshness")
    assert "Tidal Level" in freshness
    assert "0 days 00:07:30" in freshness


def test_the_notebook_says_what_to_run_when_there_is_no_lake(home, tmp_path):
    lake = tmp_path / "none"
    notebook = run(home, lake)
    assert f"run `FLOOD_LAKE_URL={lake.as_uri()} flood-assets refresh`" in text(notebook, "stations")
    assert "0 stations" in text(notebook, "stations")
    assert not lake.exists()
