"""Time the imports of `flood_assets` against the imports they are built on, and list modules they must not load."""

import sys
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.harness import Run, launched


class Import(NamedTuple):
    """Import to measure.

    Attributes:
        module: module of `flood_assets`.
        baseline: modules to compare with, as in an import statement.
        clock: function of `time`: wall or CPU time.
        unwanted: modules that it must not load.
    """

    module: str
    baseline: str
    clock: str
    unwanted: tuple[str, ...]


# A run of the assets needs none of the unwanted modules at import; S3 and notebooks import them when they are used.
DEFINITIONS = Import("flood_assets.definitions", "dagster", "perf_counter", ("pandas", "boto3", "obstore"))
NOTEBOOK = Import("flood_assets.notebook", "pandas, pyarrow.parquet, obstore", "process_time", ("dagster", "boto3"))

_CODE = """
import json, sys, time
started = time.{clock}()
import {modules}
taken = time.{clock}() - started
print(json.dumps({{"import": taken, "loads": [name for name in {unwanted!r} if name in sys.modules]}}))
"""


def measured(rounds: int, tell: Callable[[str], None], *, warm: bool = True) -> dict[str, object]:
    """Return seconds of each import, each in a process of its own and in turn, and the unwanted modules each loads.

    If `warm`, a round that does not count comes first: it reads the files from disk.
    """
    seconds: dict[str, list[float]] = {}
    loads: dict[str, list[str]] = {}
    for number in range(rounds + warm):
        for one in (DEFINITIONS, NOTEBOOK):
            for modules in (one.baseline, one.module):
                code = _CODE.format(modules=modules, clock=one.clock, unwanted=one.unwanted)
                run: Run = launched([sys.executable, "-W", "ignore", "-c", code])
                if not run.ok:
                    tell(f"import {modules} failed: {run.error}")
                    return {"error": run.error}
                if number >= warm:
                    seconds.setdefault(modules, []).append(run.told["import"])
                if modules == one.module:
                    loads[modules] = run.told["loads"]
    return {"seconds": seconds, "loads": loads}
