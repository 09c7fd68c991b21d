"""Run Terraform offline on a copy of `deploy/`, with the provider of AWS that lies somewhere on this machine."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = re.search(r'version\s*=\s*"(\d+\.\d+\.\d+)"', (ROOT / "deploy/terraform/versions.tf").read_text())[1]
# Mirrors and caches as Terraform's documentation names them, and where images of machines put one.
_USUAL = ("~/.terraform.d/plugins", "~/.terraform.d/plugin-cache", "~/.local/share/terraform/plugins")
_SHARED = ("/usr/share", "/usr/local/share", "/usr/local/lib", "/var/lib", "/opt")


def plugin_folder() -> Path | None:
    """Return the folder for `-plugin-dir` with the pinned provider of AWS, unpacked; None if there is none."""
    named = [Path(os.environ[name]) for name in ("TF_PLUGIN_DIR", "TF_PLUGIN_CACHE_DIR") if os.environ.get(name)]
    usual = [Path(folder).expanduser() for folder in _USUAL]
    shared = [found for folder in _SHARED for depth in ("*", "*/*") for found in Path(folder).glob(depth)]
    for folder in [*named, *usual, *shared]:
        version = folder / "registry.terraform.io" / "hashicorp" / "aws" / PINNED
        if any(version.glob("*/terraform-provider-aws*")):
            return folder
    return None


class Terraform:
    """Terraform in a copy of the repository's `deploy/`, so that nothing is written beside the sources."""

    def __init__(self, folder: Path, **environment: str) -> None:
        plugins = plugin_folder()
        if shutil.which("terraform") is None or plugins is None:
            pytest.skip(f"needs terraform and hashicorp/aws {PINNED}, unpacked in a folder of plugins or TF_PLUGIN_DIR")
        for name in ("deploy", "dagster_home"):
            wanted = shutil.ignore_patterns("__pycache__", ".terraform*", "*.tfplan", "history", "storage", "logs")
            shutil.copytree(ROOT / name, folder / name, ignore=wanted)
        self.folder = folder / "deploy" / "terraform"
        (folder / "empty.tfrc").touch()
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(("TF_", "AWS_"))},
            "TF_CLI_CONFIG_FILE": str(folder / "empty.tfrc"),
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            "TF_CLI_ARGS_init": f"-plugin-dir={plugins}",
            **environment,
        }

    def __call__(self, *arguments: str, timeout: float = 900) -> str:
        """Run a command in the copy; return what it printed. Fails the test if the command fails."""
        # Others share the processors, and a plan of the whole uses all of them.
        told = subprocess.run(
            ["nice", "-n", "10", "terraform", *arguments],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert told.returncode == 0, f"terraform {' '.join(arguments)}\n{told.stdout[-6000:]}\n{told.stderr[-6000:]}"
        return told.stdout

    def outputs(self) -> dict:
        """Return the outputs of what was applied."""
        return {name: each["value"] for name, each in json.loads(self("output", "-json")).items()}
