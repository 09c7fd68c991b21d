"""Settings of Dagster as the image for containers has them, put together as its Dockerfile does."""

from pathlib import Path
from typing import Any, Literal

import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"


def dagster_yaml(logs: Literal["local", "s3"] = "local") -> str:
    """Return `/etc/flood/{logs}/dagster.yaml` of the image."""
    parts = (
        ROOT / "dagster_home" / "dagster.yaml",
        *(DOCKER / "dagster" / f"{name}.yaml" for name in ("storage", f"logs_{logs}")),
    )
    return "".join(part.read_text() for part in parts)


def dagster_settings(folder: Path, logs: Literal["local", "s3"] = "local") -> dict[str, Any]:
    """Return these settings, with a folder in place of the image's /dagster."""
    return yaml.safe_load(
        dagster_yaml(logs)
        .replace("/dagster\n", f"{folder}\n")
        .replace("/dagster}", f"{folder}}}")
        .replace("/dagster/", f"{folder}/")
    )
