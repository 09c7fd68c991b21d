"""Build the image with buildah on a base that debootstrap makes, and run it with podman and runc.

No image registry is needed: the base is Debian's, from the mirror that this machine's apt uses, and the packages are
downloaded by this machine's pip. What was made is kept below `.bench/image`; podman's own images are left alone.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from flood_assets_tests.support.image import DOCKER, ROOT

FOLDER = ROOT / ".bench" / "image"
BASE, IMAGE, MACHINE = "localhost/flood-base", "localhost/flood-assets", "localhost/flood-machine"
PROGRAMS = ("buildah", "debootstrap", "podman", "runc")

_STORAGE = """[storage]
driver = "overlay"
graphroot = "{folder}/store/graph"
runroot = "{folder}/store/run"
"""
# As it works without systemd and without rights over limits: crun fails in such a place.
_CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "host"
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_PIP = "[global]\nno-index = true\nfind-links = /wheels\n"
# What of the repository is needed to install it, and to run it as a service.
REPOSITORY = (
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "setup.cfg",
    "flood_assets",
    "dagster_home/dagster.yaml",
    "deploy",
)
# A machine as a person has it, with an index of packages that is a folder.
_MACHINE = """FROM localhost/flood-base
RUN apt-get update -q && apt-get install -y -q --no-install-recommends cron dbus sudo systemd-sysv && apt-get clean
COPY pip.conf /etc/pip.conf
"""
PATIENCE_S = 180
# Nothing may be written but what is meant to be, and no right is left to the user of the container. Podman has systemd
# look after health, which not every machine has: tests ask themselves.
CONFINED = (
    "--no-healthcheck",
    "--read-only",
    "--tmpfs",
    "/tmp",
    "--cap-drop",
    "all",
    "--security-opt",
    "no-new-privileges",
)


def missing() -> str | None:
    """Return why no image can be built here; None if it can."""
    if lacking := [program for program in PROGRAMS if shutil.which(program) is None]:
        return f"not installed: `apt-get install {' '.join(lacking)}`"
    return None if os.getuid() == 0 else "debootstrap needs root"


class Engine:
    """Runs containers of the image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
        (folder / "containers.conf").write_text(_CONTAINERS)
        (folder / "pip.conf").write_text(_PIP)
        self.environ = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }

    def do(self, *words: object, check: bool = True, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run a command; what it said is in the error if it fails."""
        done = subprocess.run(
            [*map(str, words)], env=self.environ, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert not check or done.returncode == 0, (
            f"{words}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
        return done

    def build(self) -> dict[str, Any]:
        """Build the image; return what podman knows of it."""
        if self.do("podman", "image", "exists", BASE, check=False).returncode:
            self._make_base()
        wheels = self._download()
        self.do(
            *("buildah", "bud", "--layers", "--isolation", "chroot", "--format", "docker", "--pull=never"),
            *("--build-arg", f"BASE={BASE}", "--volume", f"{wheels}:/wheels:ro"),
            *("--secret", f"id=pip,src={self.folder / 'pip.conf'}"),
            *("--file", DOCKER / "Dockerfile", "--tag", IMAGE, ROOT),
            timeout=3600,
        )
        (found,) = json.loads(self.do("podman", "image", "inspect", IMAGE).stdout)
        return found

    def close(self) -> None:
        """Unmount what buildah and podman have left mounted, so that the folder can be removed; images are kept."""
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in sorted((each for each in mounted if each.startswith(f"{self.folder}/")), reverse=True):
            self.do("umount", place, check=False)
        # As after a start of the machine, when nothing is mounted.
        shutil.rmtree(self.folder / "store" / "run", ignore_errors=True)

    def _make_base(self) -> None:
        """Make an image of Debian with Python, of the release that this machine is."""
        root, tar = self.folder / "base", self.folder / "base.tar"
        sites = self.do("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages").stdout.split()
        mirror = next(site for site in sites if not site.endswith("-security"))
        release = self.do("sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME").stdout.strip()
        shutil.rmtree(root, ignore_errors=True)
        include = "--include=ca-certificates,python3,python3-venv"
        self.do("debootstrap", "--variant=minbase", include, release, root, mirror, timeout=3600)
        skipped = [f"--exclude=./{name}/*" for name in ("proc", "sys", "var/cache/apt", "var/lib/apt/lists")]
        self.do("tar", "-C", root, "-cf", tar, *skipped, ".", timeout=600)
        self.do("podman", "import", "--quiet", tar, BASE, timeout=600)
        shutil.rmtree(root)
        tar.unlink()

    def _download(self) -> Path:
        """Download the wheels of the image's lock for this machine."""
        lock, wheels = DOCKER / "requirements.lock", self.folder / "wheels"
        kept = wheels / "requirements.lock"
        if not kept.exists() or kept.read_bytes() != lock.read_bytes():
            shutil.rmtree(wheels, ignore_errors=True)
            pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
            self.do(*pip, "--require-hashes", "--requirement", lock, "--dest", wheels, timeout=3600)
            shutil.copy(lock, kept)
        return wheels

    def run(self, *words: object, check: bool = True, **settings: Any) -> "subprocess.CompletedProcess[str]":
        """Run a container to its end."""
        return self.do("podman", "run", "--rm", *_options(**settings), IMAGE, *words, check=check, timeout=300)

    @contextmanager
    def started(self, *words: object, **settings: Any) -> Iterator[str]:
        """Start a container and return its id; remove it with the context."""
        made = self.do("podman", "run", "--detach", *_options(**settings), IMAGE, *words).stdout.strip()
        try:
            yield made
        finally:
            self.do("podman", "rm", "--force", "--time", "5", made, check=False)

    def stop(self, container: str, seconds: int = 120) -> int:
        """Send SIGTERM, wait and return the exit code; SIGKILL, which is 137, comes after these seconds."""
        self.do("podman", "stop", "--time", seconds, container, timeout=seconds + 60)
        return int(self.do("podman", "inspect", "--format", "{{.State.ExitCode}}", container).stdout)

    def logs(self, container: str) -> str:
        said = self.do("podman", "logs", container, check=False)
        return said.stdout + said.stderr

    @contextmanager
    def machine(self) -> Iterator[str]:
        """Start a machine with systemd and cron, the repository in /flood, and no network; end it with the context."""
        context = self.folder / "machine"
        context.mkdir(exist_ok=True)
        (context / "Containerfile").write_text(_MACHINE)
        (context / "pip.conf").write_text(_PIP)
        layers = ("buildah", "bud", "--layers", "--isolation", "chroot", "--pull=never", "--network", "host")
        self.do(*layers, "--file", context / "Containerfile", "--tag", MACHINE, context, timeout=1800)
        options = ("--systemd=always", "--privileged", "--network", "none", "--no-healthcheck")
        wheels = f"{self.folder / 'wheels'}:/wheels:ro"
        made = self.do("podman", "run", "--detach", *options, "--volume", wheels, MACHINE, "/sbin/init").stdout.strip()
        try:
            copy = f"tar -C {ROOT} -cf - {' '.join(REPOSITORY)} | podman exec --interactive {made} tar -C /flood -xf -"
            self.do("podman", "exec", made, "mkdir", "/flood")
            self.do("sh", "-c", copy)
            yield made
        finally:
            self.do("podman", "rm", "--force", "--time", "10", made, check=False)

    @contextmanager
    def volume(self, name: str) -> Iterator[str]:
        """Make a volume, which gets the owner of the folder that it is mounted on; remove it with the context."""
        with suppress(AssertionError):
            self.do("podman", "volume", "rm", "--force", name)
        self.do("podman", "volume", "create", name)
        try:
            yield name
        finally:
            self.do("podman", "volume", "rm", "--force", name, check=False)


def _options(
    env: dict[str, str] | None = None, volumes: Sequence[str] = (), entrypoint: str | None = None
) -> list[object]:
    return [
        *CONFINED,
        *("--network", "host"),
        *(word for name, value in (env or {}).items() for word in ("--env", f"{name}={value}")),
        *(word for volume in volumes for word in ("--volume", volume)),
        *(("--entrypoint", entrypoint) if entrypoint else ()),
    ]


def until(holds: Callable[[], object], what: Callable[[], str]) -> float:
    """Wait until something holds and return the seconds that it took; fail with what is said then."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE_S, what()
        time.sleep(0.05)
    return time.monotonic() - began


def answers(url: str) -> bool:
    """Return True if the URL is answered with 200."""
    try:
        with urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (URLError, OSError):
        return False


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]
