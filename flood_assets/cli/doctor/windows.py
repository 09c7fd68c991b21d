"""Check that every stored window can be read: each is decoded whole."""

# ruff: noqa: PLC0415 - an import may be what fails, and each check pays for its own

import time
from typing import TYPE_CHECKING

from flood_assets.cli.doctor.findings import Findings, failed, ok
from flood_assets.words import counted

if TYPE_CHECKING:
    from flood_assets.lake.lake import Lake

# Windows that are named; the others are counted.
NAMED = 5


def check_windows(lake: "Lake") -> Findings:
    """Decode the windows of every table; report those of a table that are damaged as one finding."""
    from flood_assets.schemas import READINGS, TABLES

    started, sound = time.perf_counter(), 0
    for table in TABLES.values():
        damaged = lake.damaged(table)
        sound += len(lake.windows(table)) - len(damaged)
        if damaged:
            named = ", ".join(f"{window:%Y-%m-%d %H:%M}Z" for window in damaged[:NAMED])
            more = f" and {len(damaged) - NAMED:,} more" if len(damaged) > NAMED else ""
            repair = "run `flood-assets reconcile`" if table is READINGS else "the next refreshes repair it"
            remedy = f"{repair}; `flood-assets status` shows the reason"
            yield failed(f"{counted(len(damaged), 'window')} of {table.name} cannot be read: {named}{more}", remedy)
    if sound:
        yield ok(f"{counted(sound, 'stored window')} can be read: {time.perf_counter() - started:.2f} s")
