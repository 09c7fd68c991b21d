"""Run a real S3 for tests: Ceph's RADOS Gateway from Debian's packages, in a folder and on free ports.

moto's server (`s3`) answers what S3 answers, but one request at a time and whatever the signature. Ceph is a store that
people use: it checks signatures, lets one of several conditional PUTs win and serves many clients at once. Not every
machine has its packages, so the tests that need it are marked `s3` and are left out unless `-m s3` asks for them, as
`make test-s3` does. The fixture, `ceph_server`, is in the topmost `conftest`: one server for all of them.

boto3 and pyarrow need AWS_REQUEST_CHECKSUM_CALCULATION=when_required to write to it; obstore needs nothing.
"""

import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from flood_assets_tests.support.s3 import BUCKET, S3Server

# Each is named as the program in it. `ceph` and `radosgw-admin` come with what they depend on.
PACKAGES = ("ceph-mon", "ceph-osd", "radosgw")
PATIENCE_S = 90

# One copy of everything in memory, no keys between the daemons, nothing listening beyond 127.0.0.1. The gateway makes
# its pools one by one and the monitor gathers changes for a second each: unhurried, that takes 15 s.
_CONF = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{monitor}]
ms_bind_ipv6 = false
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
osd_pool_default_size = 1
osd_pool_default_min_size = 1
mon_allow_pool_size_one = true
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 1000
keyring = {folder}/keyring
run_dir = {folder}
admin_socket = {folder}/$name.asok
log_file = {folder}/$name.log
pid_file = {folder}/$name.pid
crash_dir = {folder}
[mon.a]
mon_data = {folder}/mon
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
[osd.0]
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 2147483648
[client.rgw.a]
rgw_data = {folder}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{gateway} tcp_nodelay=1
rgw_relaxed_region_enforcement = true
rgw_thread_pool_size = 32
"""


def missing() -> list[str]:
    """Return the packages that must be installed first."""
    return [package for package in PACKAGES if shutil.which(package) is None]


@contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """Run a server with an empty bucket and its files in `folder`; end each daemon by its process id afterwards.

    Raises:
        RuntimeError: a daemon exited or did not answer in time; the message has the end of its log.
    """
    cluster = _Cluster(folder)
    with ExitStack() as ended:
        ended.callback(cluster.end)
        server = cluster.start()
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield server


class _Cluster:
    """One monitor, one object store daemon and one gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.monitor, self.gateway = _free_ports(2)
        self.fsid = str(uuid.uuid4())
        self.conf = folder / "ceph.conf"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> S3Server:
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir()
        self.conf.write_text(
            _CONF.format(fsid=self.fsid, folder=self.folder, monitor=self.monitor, gateway=self.gateway)
        )
        keyring, monmap = str(self.folder / "keyring"), str(self.folder / "monmap")
        address = f"[v2:127.0.0.1:{self.monitor}]"
        everything = [word for daemon in ("mon", "osd", "mgr") for word in ("--cap", daemon, "allow *")]

        self._do("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        for name in ("client.admin", "client.rgw.a"):
            self._do("ceph-authtool", keyring, "--gen-key", "-n", name, *everything)
        made = ("--create", "--fsid", self.fsid, "--enable-all-features", "--addv", "a", address)
        self._do("monmaptool", *made, monmap)
        self._do("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        self._daemon("mon", "ceph-mon", "-f", "-i", "a")

        osd = str(uuid.uuid4())
        self._do("ceph", "osd", "new", osd, "0")
        self._do("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._daemon("osd", "ceph-osd", "-f", "-i", "0")
        self._wait("osd", lambda: b"1 up" in self._do("ceph", "osd", "stat"))

        server = S3Server(f"http://127.0.0.1:{self.gateway}")
        self._daemon("rgw", "radosgw", "-f", "-n", "client.rgw.a")
        self._wait("rgw", lambda: _answers(server.endpoint_url))
        keys = ("--access-key", str(server.aws_access_key_id), "--secret-key", str(server.aws_secret_access_key))
        self._do("radosgw-admin", "-n", "client.rgw.a", "user", "create", "--uid=flood", "--display-name=flood", *keys)
        return server

    def end(self) -> None:
        # The gateway first: it waits for the others to answer before it goes.
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(timeout=3)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _do(self, program: str, *words: str) -> bytes:
        command = [program, *(() if program in {"ceph-authtool", "monmaptool"} else ("-c", str(self.conf))), *words]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {_end_of(done.stderr)}")
        return done.stdout

    def _daemon(self, name: str, program: str, *words: str) -> None:
        # setpriv: whatever happens to the tests' process, the daemon ends with it.
        command = ["setpriv", "--pdeathsig", "TERM", program, "-c", str(self.conf), *words]
        with (self.folder / f"{name}.out").open("wb") as out:
            self.daemons[name] = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not ready():
            code = self.daemons[name].poll()
            if code is not None or time.monotonic() > until:
                said = _end_of((self.folder / f"{name}.out").read_bytes())
                raise RuntimeError(
                    f"Ceph's {name} {'does not answer' if code is None else f'ended with {code}'}: {said}"
                )
            time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except (URLError, OSError):
        return False


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _end_of(output: bytes) -> str:
    return output.decode(errors="replace")[-2000:].strip()
