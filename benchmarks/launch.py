"""Run one command and record its wall time, peak memory and exit code.

A small program of its own that uses only the standard library: on Linux a process inherits the peak memory of its
parent, so the parent must be small. Run by `harness`; do not import it.

    python -S launch.py REPORT SECONDS COMMAND...
"""

import json
import os
import signal
import sys
import time


def main() -> None:
    report, limit, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    started = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)
    overdue = []

    def end(*_: object) -> None:
        overdue.append(True)
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.signal(signal.SIGTERM, end)
    signal.alarm(limit)
    _, status, usage = os.wait4(child, 0)
    measured = {
        "wall": time.perf_counter() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        "exit": os.waitstatus_to_exitcode(status),
        "overdue": bool(overdue),
    }
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib would triple the time to start
        json.dump(measured, file)


main()
