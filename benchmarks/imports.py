"""How long `import flood_assets.definitions` takes beside `import dagster`, and what it brings that it should not."""

import sys
from collections.abc import Callable

from benchmarks.harness import Run, launched

# A run of the assets needs none of these; S3 and notebooks import them when they are used.
UNWANTED = ("pandas", "boto3", "obstore")

_CODE = """
import json, sys, time
started = time.perf_counter()
import {module}
taken = time.perf_counter() - started
print(json.dumps({{"import": taken, "brings": [name for name in {unwanted!r} if name in sys.modules]}}))
"""


def measured(rounds: int, tell: Callable[[str], None]) -> dict[str, object]:
    """Seconds of each import, each in a process of its own, in turn."""
    seconds: dict[str, list[float]] = {"dagster": [], "flood_assets.definitions": []}
    brings: list[str] = []
    for number in range(rounds + 1):
        for module, taken in seconds.items():
            code = _CODE.format(module=module, unwanted=UNWANTED)
            run: Run = launched([sys.executable, "-W", "ignore", "-c", code])
            if not run.ok:
                tell(f"import {module} failed: {run.error}")
                return {"error": run.error}
            if number:  # the first time reads the files from disk
                taken.append(run.told["import"])
            if module.startswith("flood"):
                brings = run.told["brings"]
    return {"seconds": seconds, "brings": brings}
