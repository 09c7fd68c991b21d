"""Work for shards that a worker imports: what happens is told by files in a folder, as processes share no memory."""

import os
import time
from pathlib import Path

from flood_assets.ea.http import Gate
from flood_assets.errors import SettingsError, SourceError
from flood_assets.network import Shard
from flood_assets.shards.outcome import PartlyFailedError

MEMORY = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX")


def named(shard: Shard, gate: Gate) -> str:
    return shard.name.upper()


def troubled(folder: Path, shard: Shard, gate: Gate) -> str:
    """End as the shard's name says; the folder counts the tries."""
    with (folder / shard.name).open("a") as tries:
        tries.write(".")
    match shard.name:
        case "away":
            raise SourceError("the API is away")
        case "once" if (folder / shard.name).stat().st_size == 1:
            raise SourceError("the API was away")
        case "wrong":
            raise SettingsError("FLOOD_X is wrong")
        case "bug":
            raise KeyError("a row")
        case "partly":
            raise PartlyFailedError("the warnings failed", "the readings")
    return shard.name


def inside(folder: Path, seconds: float, shard: Shard, gate: Gate) -> int:
    """Return how many shards were inside the gate at most, while this one was."""
    with gate():
        mine = folder / f"{shard.name} is inside"
        mine.touch()
        most = 0
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            most = max(most, len(list(folder.glob("* is inside"))))
            time.sleep(0.01)
        mine.unlink()
    return most


def placed(shard: Shard, gate: Gate) -> dict[str, str | int | None]:
    """Return where the work is done, and how that process uses memory."""
    with gate():
        return {"pid": os.getpid(), **{name: os.environ.get(name) for name in MEMORY}}


def waiting(folder: Path, shard: Shard, gate: Gate) -> int:
    """Say who is at work, and go on when the test allows it; a shard's next begin waits for nothing."""
    begun = folder / f"{shard.name} began"
    if not begun.exists():
        begun.write_text(str(os.getpid()))
        while not (folder / "go on").exists():
            time.sleep(0.02)
    return os.getpid()
