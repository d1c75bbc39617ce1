"""Asks ``/healthz`` again and again, in a process of its own: ``python -m tests.overload.health_probe PORT PID``.

The process that makes a load is too busy to measure. Prints one line a probe: how long it took, in seconds. A delay
counts only as far as the server (PID) was computing meanwhile, so that a busy machine does not read as a busy server.
"""

import http.client
import os
import sys
import time
from pathlib import Path

INTERVAL = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def main(port: int, pid: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while True:
        began, cpu = time.monotonic(), cpu_seconds(pid)
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        waited = time.monotonic() - began
        sys.stdout.write(f"{min(waited, cpu_seconds(pid) - cpu):.3f}\n")
        sys.stdout.flush()
        time.sleep(INTERVAL)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
