"""Answer pip-audit's questions from a file of advisories, where none of their services is reached.

    python -m deploy.ci.advisories all.zip -- pip-audit --requirement requirements.lock ...

The file is OSV's export of PyPI's advisories (https://osv.dev, `PyPI/all.zip`): one JSON document for each. The command
is run with the address of the answers; its exit code is ours.
"""

import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

Advisory = dict[str, Any]


def read(archive: Path) -> dict[str, list[Advisory]]:
    """Return the advisories in a zip file by the normalised name of the package; withdrawn ones are left out.

    Raises:
        ValueError: it is no such file, or says nothing of PyPI: then no answer would mean anything.
    """
    found: dict[str, list[Advisory]] = defaultdict(list)
    try:
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                advisory = json.loads(file.read(name))
                if "withdrawn" not in advisory:
                    for package in {_normalised(each["package"]["name"]) for each in _affected(advisory)}:
                        found[package].append(advisory)
    except (OSError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise ValueError(f"{archive} cannot be read: {error}") from error
    if not found:
        raise ValueError(f"{archive} has no advisory on a package of PyPI: expected OSV's export PyPI/all.zip")
    return found


def concerning(advisories: Mapping[str, Sequence[Advisory]], name: str, version: str) -> list[Advisory]:
    """Return the advisories that concern a version of a package."""
    package = _normalised(name)
    return [
        advisory
        for advisory in advisories.get(package, ())
        if any(
            _concerns(each, version) for each in _affected(advisory) if _normalised(each["package"]["name"]) == package
        )
    ]


def _affected(advisory: Advisory) -> Iterable[dict[str, Any]]:
    return (each for each in advisory.get("affected", ()) if each.get("package", {}).get("ecosystem") == "PyPI")


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _concerns(affected: Mapping[str, Any], version: str) -> bool:
    """Return True if the version is listed or lies in a range, whose events are in order."""
    if version in affected.get("versions", ()):
        return True
    try:
        ours = Version(version)
        for each in affected.get("ranges", ()):
            inside = False
            for event in each["events"] if each.get("type") == "ECOSYSTEM" else ():
                if "introduced" in event:
                    inside |= event["introduced"] == "0" or ours >= Version(event["introduced"])
                elif "fixed" in event:
                    inside &= ours < Version(event["fixed"])
                elif "last_affected" in event:
                    inside &= ours <= Version(event["last_affected"])
            if inside:
                return True
    except InvalidVersion:
        return False
    return False


def server(advisories: Mapping[str, Sequence[Advisory]]) -> ThreadingHTTPServer:
    """Return a server on a free port of 127.0.0.1 that answers as OSV's /v1/query does."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = concerning(advisories, asked["package"]["name"], asked["version"])
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: the command says what it finds."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Answers)


def main(archive: Path, command: Sequence[str]) -> int:
    """Run the command over the advisories of a file; return its exit code."""
    try:
        advisories = read(archive)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    # An old file finds nothing new: say how old it is.
    newest = max(each.get("modified", "") for found in advisories.values() for each in found)
    print(f"{archive}: advisories on {len(advisories)} packages, the newest of {newest[:10] or 'an unknown day'}")
    with server(advisories) as answers:
        threading.Thread(target=answers.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{answers.server_port}/v1/query"
        asking = [*command, "--vulnerability-service", "osv", "--osv-url", url]
        done = subprocess.run(asking, env={**os.environ, "NO_PROXY": "127.0.0.1"}, check=False)
        answers.shutdown()
    return done.returncode


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[2] != "--":
        sys.exit("usage: python -m deploy.ci.advisories ALL.ZIP -- pip-audit ...")
    sys.exit(main(Path(sys.argv[1]), sys.argv[3:]))
