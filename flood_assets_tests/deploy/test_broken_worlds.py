"""A broken world has the right alarm and no other, by what a server of its lake says while time goes by.

The ticks, the faults, the server and the rules are real, and so are all times but the clock's: it is set, and promtool
judges the scraped values at the minutes at which they were scraped.
"""

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flood_assets.errors import LakeError
from flood_assets.lake.layout import key_of
from flood_assets.partitions import window_of
from flood_assets.schemas import READINGS
from flood_assets.simulator.faults import Fault
from flood_assets_tests.conftest import HOUR, NOW, Place
from flood_assets_tests.support.lake_rows import put_raw
from flood_assets_tests.support.promtool import RULES, Story, judge
from flood_assets_tests.support.receiving import receiving
from flood_assets_tests.support.served import Served, served

EVERY = 5


class World:
    """A place whose server is scraped every five minutes of its own time.

    Attributes:
        minute: since the first tick.
        firing: the alarms that are expected, by minute.
    """

    def __init__(self, place: Place, server: Served) -> None:
        self.place, self.server, self.minute = place, server, 0
        self.firing: dict[int, tuple[str, ...]] = {}
        self._rules = RULES.read_text(encoding="utf-8")
        self._values: dict[str, dict[int, float]] = defaultdict(dict)
        self._scrape()

    def until(self, minute: int, *, ticks: bool = True) -> "World":
        """Let time go by, with a tick every 15 minutes or with none."""
        while self.minute < minute:
            self.minute += EVERY
            self.server.now = NOW + timedelta(minutes=self.minute)
            if ticks and self.minute % 15 == 0:
                self.place.at(self.server.now).tick()
            self._scrape()
        return self

    def expect(self, *alarms: str) -> "World":
        """Say which alarms fire now."""
        self.firing[self.minute] = alarms
        return self

    def _scrape(self) -> None:
        self.server.watcher.look()
        answer = self.server.client.get("/metrics")
        self._values['up{job="flood-assets", environment="e"}'][self.minute] = float(answer.status_code == 200)
        for family in text_string_to_metric_families(answer.text):
            for name, labels, value, *_ in family.samples:
                if name in self._rules:
                    # promtool's clock begins in 1970, as the story does for it.
                    shown = value - NOW.timestamp() if name.endswith("_timestamp_seconds") else value
                    said = ", ".join(f'{k}="{v}"' for k, v in {**labels, "environment": "e"}.items())
                    self._values[f"{name}{{{said}}}"][self.minute] = shown

    def story(self, name: str) -> Story:
        """Return what was scraped; a value stands until the next scrape."""
        minutes = range(0, self.minute + 1, EVERY)
        series = {
            name: " ".join(f"{values[at]!r}x{EVERY - 1}" if at in values else f"_x{EVERY}" for at in minutes)
            for name, values in self._values.items()
        }
        return Story(name, series, self.firing)


@pytest.fixture
def world(filled: Place, tmp_path: Path) -> Iterator[Callable[[], World]]:
    with served(filled.lake, NOW) as server:
        yield lambda: World(filled, server)


def test_the_api_is_away(world, tmp_path):
    found = world()
    found.place.server.set_faults([Fault(kind="reset", times=0)])
    found.until(35).expect().until(45).expect("FloodAssetsRefreshFails")
    judge(tmp_path, [found.until(60).expect("FloodAssetsRefreshFails").story("the API is away")])


def test_the_daemon_has_stopped(world, tmp_path):
    found = world().until(40, ticks=False).expect().until(90, ticks=False).expect("FloodAssetsRefreshStopped")
    judge(tmp_path, [found.story("the daemon has stopped")])


def test_the_lake_is_away(world, monkeypatch, tmp_path):
    found = world().until(5, ticks=False)

    def away(_prefix):
        raise LakeError("the lake is away")

    monkeypatch.setattr(found.server.lake.store, "list", away)
    found.until(10, ticks=False).expect().until(60, ticks=False).expect("FloodAssetsLakeUnreadable")
    judge(tmp_path, [found.story("the lake is away")])


def test_a_sink_is_down(world, monkeypatch, tmp_path):
    found = world()
    with receiving() as sink:
        monkeypatch.setenv("FLOOD_PUBLISH", sink.url)
        # All is well: nothing fires.
        found.until(20).expect()
        assert sink.accepted
        sink.answer = lambda _events: 403
        # The first changes that it lacks come at 30, and it is late a little after 60.
        found.until(60).expect().until(70).expect("FloodAssetsSinkBehind")
    judge(tmp_path, [found.story("a sink is down")])


def test_a_window_is_damaged(world, tmp_path):
    found = world()
    key = key_of(READINGS, window_of(NOW - 5 * HOUR))
    data = bytearray(found.place.lake.store.read(key).data.to_pybytes())
    data[60:160] = bytes(100)
    put_raw(found.place.lake, key, bytes(data))
    # It is healed by the next tick, which is late here; until then somebody is told.
    found.until(10, ticks=False).expect().until(25, ticks=False).expect("FloodAssetsWindowDamaged")
    found.until(35).expect("FloodAssetsQuarantined")
    judge(tmp_path, [found.story("a window is damaged")])


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Mount a disk in memory over a folder."""
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", folder], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small disk cannot be mounted here: needs root and `mount`")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_the_disk_is_full(filled, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, 16):
        shutil.copytree(tmp_path / "lake", disk / "lake")
        filled.lake_url = (disk / "lake").as_uri()
        with served(filled.lake, NOW) as server:
            found = World(filled, server).until(5)
            with (disk / "others").open("wb") as file, suppress(OSError):
                while True:
                    file.write(bytes(1 << 16))
            found.until(15).expect("FloodAssetsDiskFull").until(60, ticks=False).expect("FloodAssetsDiskFull")
            assert not found.place.tick().success, "as nothing can be stored"
    judge(tmp_path, [found.story("the disk is full")])
