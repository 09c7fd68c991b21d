"""The rooms of the package and the one direction of imports between them: down. See docs/architecture.md.

Each rule is a function from imports to the violations of it. It is tested twice: with a planted example that it must
find, and with the package, where it must find none.
"""

import ast
from pathlib import Path

import pytest

import benchmarks
import flood_assets
from flood_assets_tests.support.imports import Import, circles, files_of, imports_of, reads_at_import

PACKAGE = Path(flood_assets.__file__).parent
BENCHMARKS = Path(benchmarks.__file__).parent
PAGE = PACKAGE.parent / "docs" / "architecture.md"

LONGEST_FILE, LONGEST_LAKE = 450, 150

# From the top down. A room may import itself and every room below it; rooms of one line do not know each other.
ROOMS = (
    ("definitions",),
    ("defs",),
    ("cli",),
    ("functions",),
    ("shards",),
    ("tick",),
    ("notebook", "serve", "publish", "alerts"),
    ("query", "consume"),
    ("ingest", "warnings", "landing"),
    ("ledger", "quality", "sinks"),
    ("lake", "ea"),
    ("grouping", "partitions", "schemas", "settings", "network", "places", "words", "emf", "errors", ""),
)
GROUND = ROOMS[-1]

# Inside `lake`, from the top down. Files of one line may know each other, as long as that makes no circle.
LAKE = (
    ("united",),
    ("known",),
    ("lake",),
    (
        *("frozen", "read", "write", "current", "quarantine", "retention", "archive", "identity", "failure", "judged"),
        *("cursor", "members", "reader", "uniting", "within"),
    ),
    ("watermarks", "upsert", "follow", "listed", "parquet"),
    ("opening",),
    ("store", "bucket", "folder", "s3", "versions"),
    ("layout", "objects", "pipeline"),
)

# The commands are below the room for Dagster; two files of them run its jobs and look at its settings.
DAGSTER_IN_CLI = ("flood_assets.cli.run", "flood_assets.cli.doctor.machine")
DAGSTER_ROOMS = ("definitions", "defs")


def room_of(file: str) -> str:
    """Return the room that a file of the package is in; the package's own `__init__` is in the ground."""
    _, _, inside = file.partition(".")
    return inside.partition(".")[0]


def _line_of(name: str, order: tuple[tuple[str, ...], ...]) -> int:
    return next((number for number, line in enumerate(order) if name in line), -1)


def inside(imports: list[Import]) -> list[Import]:
    """Return the imports of one file of the package by another."""
    return [each for each in imports if each.target.split(".")[0] == "flood_assets"]


def homeless(files: list[str]) -> list[str]:
    """Return the files that are in no room, or in `lake` without a place in its order."""
    rooms = {"simulator", *(room for line in ROOMS for room in line)}
    places = {"", *(name for line in LAKE for name in line)}
    return [
        file
        for file in files
        if room_of(file) not in rooms or (room_of(file) == "lake" and _of_lake(file) not in places)
    ]


def pointing_up(imports: list[Import]) -> list[Import]:
    """Return the imports of a room above, or of a sibling."""
    found = []
    for each in inside(imports):
        source, target = room_of(each.source), room_of(each.target)
        if "simulator" in (source, target) or source == target or (source in GROUND and target in GROUND):
            continue
        if target in DAGSTER_ROOMS and each.source in DAGSTER_IN_CLI:
            continue
        if _line_of(target, ROOMS) <= _line_of(source, ROOMS):
            found.append(each)
    return found


def _of_lake(file: str) -> str:
    return file.removeprefix("flood_assets.lake").removeprefix(".")


def pointing_up_in_lake(imports: list[Import]) -> list[Import]:
    """Return the imports between files of `lake` that point up in its order."""
    return [
        each
        for each in inside(imports)
        if room_of(each.source) == room_of(each.target) == "lake"
        and _line_of(_of_lake(each.target), LAKE) < _line_of(_of_lake(each.source), LAKE)
    ]


def of_the_simulator(imports: list[Import]) -> list[Import]:
    """Return what the simulator imports of the package, and what imports the simulator but the commands."""
    return [
        each
        for each in inside(imports)
        if (room_of(each.source) == "simulator") != (room_of(each.target) == "simulator")
        and room_of(each.source) != "cli"
    ]


def dagster_outside(imports: list[Import]) -> list[Import]:
    """Return the imports of Dagster and its packages outside the rooms for it."""
    return [
        each
        for each in imports
        if each.target.split(".")[0].split("_")[0] == "dagster"
        and room_of(each.source) not in DAGSTER_ROOMS
        and each.source not in DAGSTER_IN_CLI
    ]


def too_long(files: dict[str, Path], most: int) -> list[str]:
    """Return the files outside the simulator that have more lines than `most`."""
    lengths = {file: len(path.read_text(encoding="utf-8").splitlines()) for file, path in files.items()}
    return [f"{file}: {n} lines" for file, n in lengths.items() if n > most and room_of(file) != "simulator"]


def lines_of_class(source: str, name: str) -> int:
    """Return how many lines a class of a file has."""
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef) and node.name == name]
    (found,) = classes
    return found.end_lineno - found.lineno + 1


# --- The rules find what they are for -----------------------------------------------------------------------------


@pytest.fixture
def planted(tmp_path):
    """Write a package of the given files, and return its imports."""

    def write(files: dict[str, str]) -> list[Import]:
        root = tmp_path / "flood_assets"
        for name, source in {"__init__.py": "", **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(source)
        return imports_of(root)

    return write


def shown(imports: list[Import]) -> list[str]:
    return [f"{each.source} -> {each.target}".replace("flood_assets.", "") for each in imports]


UP = {
    "ground to a room": ("partitions.py", "from flood_assets.lake import layout", "partitions -> lake.layout"),
    "lake to ledger": ("lake/read.py", "from flood_assets.ledger.account import take", "lake.read -> ledger.account"),
    "query to notebook": ("query/names.py", "import flood_assets.notebook as n", "query.names -> notebook"),
    "ledger to ingest": ("ledger/account.py", "from flood_assets import ingest", "ledger.account -> ingest"),
    "defs to definitions": ("defs/jobs.py", "from flood_assets.definitions import defs", "defs.jobs -> definitions"),
    "commands to defs": ("cli/status.py", "from flood_assets.defs import jobs", "cli.status -> defs.jobs"),
    "in a function": ("query/names.py", "def f():\n    from flood_assets import notebook", "query.names -> notebook"),
    "for types only": (
        "lake/read.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from flood_assets.query import names",
        "lake.read -> query.names",
    ),
    "relative": ("query/names.py", "from .. import notebook", "query.names -> notebook"),
    "relative, of a folder": ("query/__init__.py", "from ..notebook import load", "query -> notebook"),
    "siblings on top": ("alerts/rules.py", "from flood_assets import notebook", "alerts.rules -> notebook"),
    "siblings below": ("quality/codes.py", "from flood_assets.ledger import day", "quality.codes -> ledger.day"),
    "lake and ea": ("lake/read.py", "from flood_assets.ea import client", "lake.read -> ea.client"),
    "ea and lake": ("ea/plan.py", "from flood_assets.lake.layout import key_of", "ea.plan -> lake.layout"),
}  # fmt: skip

NOTHING_WRONG = {
    "notebook.py": "from flood_assets import query, settings\n",
    "query/__init__.py": "from flood_assets.query.names import match\n",
    "query/names.py": "from flood_assets.lake.lake import Lake\nfrom flood_assets.quality import limits\n",
    "ingest.py": "from flood_assets.ea import client\nfrom flood_assets.lake.lake import Lake\n",
    "ledger/account.py": "from flood_assets.lake.lake import Lake\n",
    "quality/limits.py": "",
    "lake/lake.py": "from flood_assets.lake import read\n",
    "lake/read.py": "from flood_assets.lake.layout import key_of\nfrom flood_assets.partitions import utc\n",
    "lake/layout.py": "from flood_assets.schemas import TABLES\n",
    "ea/client.py": "import requests\nfrom flood_assets.errors import SourceError\n",
    "partitions.py": "from flood_assets import settings\n",
    "settings.py": "from flood_assets.errors import SettingsError\n",
    "schemas.py": "",
    "errors.py": "",
    "definitions.py": "import dagster as dg\nfrom flood_assets.defs import jobs\n",
    "defs/jobs.py": "import dagster as dg\nfrom flood_assets.notebook import to_pandas\n",
    "cli/doctor/machine.py": "def check():\n    import dagster\n    from flood_assets.definitions import defs\n",
    "cli/run.py": "import dagster as dg\nfrom flood_assets.defs import jobs\n",
    "cli/main.py": "from flood_assets.simulator import server\nfrom flood_assets import __version__\n",
    "simulator/server.py": "from flood_assets.simulator import api\n",
    "simulator/api.py": "",
}


def test_a_package_without_fault_has_no_violations(planted):
    imports = planted(NOTHING_WRONG)
    assert len(inside(imports)) > 15
    rules = (pointing_up, pointing_up_in_lake, of_the_simulator, dagster_outside, circles)
    assert {rule.__name__: rule(imports) for rule in rules} == {rule.__name__: [] for rule in rules}
    assert homeless(list({each.source for each in imports})) == []


@pytest.mark.parametrize(("file", "source", "expected"), UP.values(), ids=UP)
def test_an_import_that_points_up_is_found(planted, file, source, expected):
    assert shown(pointing_up(planted({**dict.fromkeys(UP_TARGETS, ""), **NOTHING_WRONG, file: source}))) == [expected]


UP_TARGETS = ("ea/plan.py", "alerts/rules.py", "cli/status.py")


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("lake/layout.py", "from flood_assets.lake import read", "lake.layout -> lake.read"),
        ("lake/read.py", "def f():\n    from flood_assets.lake.lake import Lake", "lake.read -> lake.lake"),
        ("lake/objects.py", "from flood_assets.lake.store import Store", "lake.objects -> lake.store"),
        ("lake/store.py", "from flood_assets.lake.parquet import encode", "lake.store -> lake.parquet"),
    ],
)
def test_an_import_that_points_up_inside_the_lake_is_found(planted, file, source, expected):
    files = dict.fromkeys(("lake/store.py", "lake/parquet.py", "lake/objects.py"), "")
    assert shown(pointing_up_in_lake(planted({**files, **NOTHING_WRONG, file: source}))) == [expected]


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("simulator/api.py", "from flood_assets.partitions import utc", "simulator.api -> partitions"),
        ("ea/client.py", "from flood_assets.simulator import server", "ea.client -> simulator.server"),
    ],
)
def test_the_simulator_is_found_where_it_does_not_belong(planted, file, source, expected):
    assert shown(of_the_simulator(planted({**NOTHING_WRONG, file: source}))) == [expected]


@pytest.mark.parametrize(
    "source",
    [
        "import dagster as dg",
        "from dagster import asset",
        "from dagster_aws.s3 import S3Resource",
        "def f():\n    import dagster._core.events",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import dagster",
    ],
)
@pytest.mark.parametrize("file", ["schemas.py", "query/names.py", "cli/main.py", "notebook.py"])
def test_dagster_outside_its_rooms_is_found(planted, file, source):
    (found,) = dagster_outside(planted({**NOTHING_WRONG, file: source}))
    assert f"{found.source.replace('.', '/')}.py" == f"flood_assets/{file}"


def test_a_file_without_a_room_is_found():
    assert homeless(["flood_assets", "flood_assets.utils", "flood_assets.lake.misc", "flood_assets.lake.read"]) == [
        "flood_assets.utils",
        "flood_assets.lake.misc",
    ]


def test_circles_are_found(planted):
    two = {"ea/plan.py": "def f():\n    from flood_assets.ea import client", "ea/client.py": "from .plan import Plan"}
    three = {
        "lake/read.py": "from flood_assets.lake.layout import key_of",
        "lake/layout.py": "from typing import TYPE_CHECKING as T\nif T:\n    from flood_assets.lake import parquet",
        "lake/parquet.py": "from flood_assets.lake.read import each",
    }
    folder = {
        "quality/__init__.py": "from .limits import flag",
        "quality/limits.py": "from flood_assets.quality import PASS",
    }
    assert circles(planted({**two, **three, **folder})) == [
        ["flood_assets.ea.client", "flood_assets.ea.plan"],
        ["flood_assets.lake.layout", "flood_assets.lake.parquet", "flood_assets.lake.read"],
        ["flood_assets.quality", "flood_assets.quality.limits"],
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import os\nLAKE = os.environ.get('FLOOD_LAKE_URL')",
        "from os import environ\nLAKE = environ['FLOOD_LAKE_URL']",
        "import os as system\nclass Settings:\n    lake = system.getenv('FLOOD_LAKE_URL')",
        "from datetime import datetime, UTC\ndef f(now=datetime.now(UTC)): ...",
        "import datetime as d\nTODAY = d.date.today()",
        "from time import monotonic as clock\nBEGUN = clock()",
        "import time\nif True:\n    BEGUN = time.time()",
        "import requests\nPAGE = requests.get('http://127.0.0.1')",
        "from pathlib import Path\nHERE = Path.cwd()",
        "from flood_assets import settings\nNOW = settings.now()",
        "import os\n@decorated(os.environ)\ndef f(): ...",
    ],
)
def test_what_is_read_at_import_is_found(source):
    assert len(reads_at_import(source)) == 1


def test_what_is_read_later_is_no_fault():
    source = """
import os, time
from datetime import datetime, timedelta
DAY = timedelta(days=1)
def now(): return datetime.now()
class Clock:
    read = time.monotonic
    def lake(self): return os.environ['FLOOD_LAKE_URL']
later = lambda: time.time()
if __name__ == "__main__":
    print(time.time())
"""
    assert reads_at_import(source) == []


def test_long_files_and_classes_are_measured(tmp_path):
    (tmp_path / "long.py").write_text("\n" * 11)
    files = {"flood_assets.long": tmp_path / "long.py", "flood_assets.simulator.long": tmp_path / "long.py"}
    assert too_long(files, 10) == ["flood_assets.long: 11 lines"]
    assert lines_of_class("class Other: ...\nclass Lake:\n    a = 1\n\n    b = 2\n", "Lake") == 4


# --- The package keeps the rules ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return imports_of(PACKAGE)


def test_every_file_is_in_a_room():
    assert homeless(list(files_of(PACKAGE))) == []


def test_every_room_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    rooms = [room for line in ROOMS for room in line if room] + ["simulator"]
    assert [room for room in rooms if f"`{room}`" not in page] == []


def test_no_import_points_up(imports):
    assert list(map(str, pointing_up(imports))) == []


def test_no_import_points_up_inside_the_lake(imports):
    assert list(map(str, pointing_up_in_lake(imports))) == []


def test_the_simulator_knows_nothing_of_the_package_and_only_commands_know_it(imports):
    assert list(map(str, of_the_simulator(imports))) == []


def test_dagster_is_imported_in_its_rooms_only(imports):
    assert list(map(str, dagster_outside(imports))) == []


@pytest.mark.parametrize("package", [PACKAGE, BENCHMARKS], ids=lambda path: path.name)
def test_there_is_no_circle_of_imports(package):
    assert circles(imports_of(package)) == []


def test_nothing_reads_clock_environment_or_network_at_import():
    read = {file: reads_at_import(path.read_text(encoding="utf-8")) for file, path in files_of(PACKAGE).items()}
    assert {file: found for file, found in read.items() if found} == {}


def test_no_file_is_long():
    assert too_long(files_of(PACKAGE), LONGEST_FILE) == []


def test_the_lake_is_a_facade():
    assert lines_of_class((PACKAGE / "lake" / "lake.py").read_text(encoding="utf-8"), "Lake") <= LONGEST_LAKE
