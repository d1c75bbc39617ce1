"""Processes under measurement: each on a core of its own, and what the kernel counts of them. Linux only."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class BenchError(Exception):
    """The machine or an installation does not allow the measurement; the message says what to do."""


def cores() -> tuple[int, int]:
    """The core of the servers and the core of the load. Raises ``BenchError`` where there are not two."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchError("The server and the load need a core each: run the bench where two cores can be used.")
    return usable[0], usable[1]


#: The niceness of what gets only the time that nothing else on its core needs.
LAST = 19


def on_core(core: int, *, nice: int = 0) -> Any:
    """For ``before_exec`` and ``preexec_fn``: the new process runs on this core alone, with so much more niceness."""

    def enter() -> None:
        os.sched_setaffinity(0, {core})
        os.nice(nice)

    return enter


#: Prints how often it got through its loop in the seconds of its argument.
_BUSY = """
import sys, time
names, loops, end = [str(number) for number in range(200)], 0, time.perf_counter() + float(sys.argv[1])
while time.perf_counter() < end:
    for name in names:
        hash(name + name)
    loops += 1
print(loops)
"""


def two_cores_over_one(seconds: float = 0.5) -> float:
    """What both cores compute at the same time ÷ what one of them computes alone: the most that two processes can gain.

    2 where cores do not disturb each other; those of a virtual machine often do. Takes three times ``seconds``.
    """
    one, other = cores()
    alone = (_loops((one,), seconds) + _loops((other,), seconds)) / 2
    return _loops((one, other), seconds) / alone


def _loops(on: tuple[int, ...], seconds: float) -> int:
    command = [sys.executable, "-c", _BUSY, str(seconds)]
    processes = []
    for core in on:
        enter = on_core(core)
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=enter))  # noqa: S603, PLW1509
    return sum(int(process.communicate()[0]) for process in processes)


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used, all threads together, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(3) computes


def resident_mib(pid: int, *, peak: bool = False) -> float:
    """Resident memory of a process, now or at its highest."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:" if peak else "VmRSS:")[2].split()[0]) / 1024
