"""Project definitions whose retries do not wait.

For proofs over days of simulated time, in which an API that is away for hours would cost hours.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

from flood_assets.definitions import build_defs
from flood_assets.defs.resources import Clock, Source
from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.ea.http import RetryPolicy


class HurriedSource(Source):
    """Source that retries without a pause."""

    def open(self, clock: Clock) -> FloodMonitoringApi:
        return FloodMonitoringApi(
            self.base_url, now=clock.now, retry=RetryPolicy(read_timeout=10, sleep=lambda _: None)
        )


@contextmanager
def hurried_steps() -> Iterator[None]:
    """Make retried steps start at once."""
    slept = 0.0

    def sleep(seconds: float) -> None:
        nonlocal slept
        slept += seconds

    with patch(
        "dagster._core.execution.plan.active.time", SimpleNamespace(sleep=sleep, time=lambda: time.time() + slept)
    ):
        yield


defs = build_defs(source=HurriedSource())
