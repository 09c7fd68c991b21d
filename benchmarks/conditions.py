"""Describe the conditions of a measurement: cores, memory, versions, date. Never a path or a host name."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import envs

OURS = ["dagster", "pyarrow", "pandas", "numpy", "requests", "duckdb"]
# The packages to report from each environment.
THEIRS = {
    "airbyte": ["airbyte-cdk"],
    "aioeafm": ["aioeafm"],
    "dlt": ["dlt", "deltalake"],
    "polars": ["polars"],
    "singer": ["tap-rest-api-msdk"],
}


def found(pythons: dict[str, str]) -> dict[str, object]:
    """Return the conditions of a session.

    Args:
        pythons: interpreters of the other tools' environments by name.
    """
    versions = envs.versions(sys.executable, OURS)
    for name, python in pythons.items():
        versions |= envs.versions(python, THEIRS[name])
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": len(os.sched_getaffinity(0)),
        "processor": _said_by("/proc/cpuinfo", "model name"),
        "memory_gib": round(int(_said_by("/proc/meminfo", "MemTotal").split()[0] or 0) / 2**20),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": versions,
    }


def _said_by(file: str, name: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return line.split(":", 1)[1].strip()
    return "0"
