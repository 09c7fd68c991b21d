"""`demo.sh`, which the Makefile calls: with stand-ins for the commands, as what it does around them is tested here."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flood_assets_tests.conftest import NOW

ROOT = Path(__file__).parents[1]

# What `flood-assets` and `dagster` do in these tests, and the words that they were called with.
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> calls
case "$(basename "$0") $1" in
  "flood-assets simulate") if [ -e taken ]; then echo "http/server.py: port 1 is in use" >&2; exit 2; fi
    echo "simulating 1 station"; exec sleep 60 ;;
  "flood-assets refresh") mkdir -p "$FLOOD_LAKE_URL"; echo "1 of 1 check passed"; [ ! -e broken ] ;;
  "dagster dev") exec sleep 60 ;;
esac
"""


@pytest.fixture
def demo(tmp_path):
    """Return a function that starts `demo.sh` in a folder of its own, on which the stand-ins leave their traces."""
    shutil.copytree(
        ROOT / "dagster_home", tmp_path / "dagster_home", ignore=lambda *_: ["storage", "history", "schedules"]
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    for name in ("flood-assets", "dagster"):
        (tmp_path / "bin" / name).write_text(STAND_IN)
        (tmp_path / "bin" / name).chmod(0o755)
    running = []
    # A shell that runs the tests in the background may have them ignored, and the stand-ins would inherit that.
    handled = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in handled.items()}

    def start(*words: str, **more: str) -> subprocess.Popen:
        environ = {**os.environ, "DEMO": "demo", "BIN": "bin", "PORT": "8765", **more}
        command = ["sh", str(ROOT / "demo.sh"), *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # In a group of its own, to which a terminal would send Ctrl-C.
        running.append(subprocess.Popen(command, cwd=tmp_path, env=environ, start_new_session=True, **pipes))
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            interrupt(process)
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def started(folder: Path, words: str) -> None:
    """Wait until a stand-in was called."""
    for _ in range(300):
        if (folder / "calls").exists() and words in (folder / "calls").read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{words} was not called")


@pytest.fixture
def notebook(demo, tmp_path):
    """Return a function that runs `make notebook` in that folder, set up already, and returns what JupyterLab got."""
    for name in ("Makefile", "demo.sh", "requirements.lock", "setup.cfg", "pyproject.toml", "notebooks"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "notebooks" / "my_quickstart.ipynb").unlink(missing_ok=True)
    (tmp_path / "bin" / "jupyter").write_text('#!/bin/sh\necho "$FLOOD_LAKE_URL $*"\n')
    (tmp_path / "bin" / "jupyter").chmod(0o755)
    (tmp_path / ".done").touch()

    def start(**more: str) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "FLOOD_", "DEMO"))}
        words = ["make", "-s", "notebook", "VENV=.", "BIN=bin", "DEMO=demo", "JUPYTER=--no-browser"]
        made = subprocess.run(words, cwd=tmp_path, env=environ | more, check=True, capture_output=True, text=True)
        return made.stdout.splitlines()[-1]

    return start


def calls(folder: Path) -> str:
    return (folder / "calls").read_text() if (folder / "calls").exists() else ""


def test_the_notebook_opens_on_the_lake_of_the_demo_which_is_filled_first(notebook, tmp_path):
    copy = tmp_path / "notebooks" / "my_quickstart.ipynb"
    assert notebook().startswith(f"{tmp_path}/demo/lake lab ")
    assert calls(tmp_path).count("flood-assets refresh") == 1
    assert copy.read_bytes() == (tmp_path / "notebooks" / "quickstart.ipynb").read_bytes()
    copy.write_text("my own")
    (tmp_path / "demo" / "lake" / "_watermarks.parquet").touch()
    assert notebook().endswith("--no-browser notebooks/my_quickstart.ipynb")
    assert calls(tmp_path).count("flood-assets refresh") == 1, "this hour's lake is taken as it is"
    assert copy.read_text() == "my own"
    os.utime(tmp_path / "demo" / "lake" / "_watermarks.parquet", (0, 0))
    notebook()
    assert calls(tmp_path).count("flood-assets refresh") == 2


def test_the_notebook_opens_on_another_lake_without_a_demo(notebook, tmp_path):
    assert notebook(FLOOD_LAKE_URL="s3://b/flood").startswith("s3://b/flood lab ")
    assert not calls(tmp_path)


def test_what_the_demo_suggests_shows_values_with_unit_time_and_station(demo, demo_lake, tmp_path):
    """As a person does: copied from the last lines of the demo."""
    code, out, _ = ended(demo())
    assert code == 0
    suggested = [line for line in out.splitlines() if "flood-assets show" in line]
    assert len(suggested) == 2
    shutil.rmtree(tmp_path / "demo" / "lake")
    (tmp_path / "demo" / "lake").symlink_to(demo_lake)
    (tmp_path / "bin" / "flood-assets").write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from flood_assets.cli.main import main; main()' \"$@\"\n"
    )
    environ = {**os.environ, "FLOOD_NOW": NOW.isoformat(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh"], input="\n".join(suggested), cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    assert not done.stderr
    gauge, river = done.stdout.split("River Thames: ")
    assert gauge.startswith("Kingston (1020TH, page 7267 on 'check for flooding')\nRiver Thames, Kingston upon Thames")
    assert re.search(r"^  [\d.]+ mASD at Thu 10:00 BST \(09:00Z\)", gauge, re.MULTILINE)
    assert re.search(r"^Kingston +level +[\d.]+ mASD +(normal|above) *. 10:00 ", river, re.MULTILINE)


def test_a_demo_fills_a_new_lake_and_says_what_to_try_next(demo, tmp_path):
    (tmp_path / "demo" / "lake" / "old").mkdir(parents=True)
    code, out, err = ended(demo())
    assert (code, err) == (0, "")
    assert out.index("http://127.0.0.1:8000/") < out.index("flood-assets serve") < out.index("make ui-demo  ")
    assert "make notebook  " in out
    assert list((tmp_path / "demo" / "lake").iterdir()) == []
    code, out, _ = ended(demo(PORT="8799"))
    assert "make ui-demo DEMO_PORT=8799" in out


def test_a_taken_port_is_told_with_the_option_and_the_lake_stays(demo, tmp_path):
    """A log of an earlier demo does not say that this one's simulator runs, nor does anything with `http` in it."""
    assert ended(demo())[0] == 0
    (tmp_path / "demo" / "lake" / "old").mkdir()
    (tmp_path / "taken").touch()
    for words, target in (((), "demo"), (("ui",), "ui-demo")):
        code, _, err = ended(demo(*words))
        assert code == 2
        assert err.splitlines()[0] == "http/server.py: port 1 is in use"
        assert err.splitlines()[-1].startswith(f"make {target}: the simulator did not start.")
        assert f"make {target} DEMO_PORT=" in err
        assert (tmp_path / "demo" / "lake" / "old").exists()
    assert (tmp_path / "calls").read_text().count("refresh") == 1


def test_a_demo_that_failed_says_so_last(demo, tmp_path):
    (tmp_path / "broken").touch()
    code, out, err = ended(demo())
    assert code == 1
    assert out.endswith("1 of 1 check passed\n")
    assert err.startswith("make demo: failed to fill the lake, see above. `make demo` starts again")


def test_nothing_removes_the_lake_under_a_running_ui(demo, tmp_path):
    ui = demo("ui")
    started(tmp_path, "dagster dev")
    lake = tmp_path / "demo" / "lake"
    lake.mkdir()
    for words in ((), ("ui",), ("clean",)):
        code, _, err = ended(demo(*words))
        assert code == 2
        assert "a demo is running in demo: end it with Ctrl-C, or use another folder with DEMO=" in err
        assert lake.exists()
    interrupt(ui)
    assert ended(demo("clean"))[0] == 0
    assert not (tmp_path / "demo").exists()


def test_the_ui_keeps_the_lake_of_the_demo_unless_the_port_is_another(demo, tmp_path):
    assert ended(demo())[0] == 0
    for port, kept in (("8765", True), ("8799", False)):
        (tmp_path / "demo" / "lake" / "old").mkdir(parents=True, exist_ok=True)
        (tmp_path / "calls").unlink()
        ui = demo("ui", PORT=port)
        started(tmp_path, "dagster dev")
        assert (tmp_path / "demo" / "lake" / "old").exists() is kept
        interrupt(ui)


def test_the_banner_names_the_port_that_dagster_gets(demo, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as free:
            map_port = free.getsockname()[1]
        ui = demo("ui", UI_PORT=str(port), MAP_PORT=str(map_port))
        first, second = ui.stdout.readline(), ui.stdout.readline()
        started(tmp_path, "dagster dev")
        started(tmp_path, f"serve --port {map_port}")
        chosen = (tmp_path / "calls").read_text().split("dagster dev ")[-1].split("--port ")[1].split()[0]
        assert int(chosen) > port
        assert first == f"Port {port} is in use; UI_PORT=... chooses another than {chosen}.\n"
        assert second.startswith(f"Map: http://127.0.0.1:{map_port}   Dagster: http://127.0.0.1:{chosen}   ")
        interrupt(ui)
