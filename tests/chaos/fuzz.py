"""The long fuzz, ``make fuzz``: the scenarios of the suite for longer and new each time, then clients that leave.

``CHAOS_EXAMPLES`` scenarios (2,000) within ``CHAOS_SECONDS`` (480), then ``CHAOS_DROPS`` clients that leave (10,000);
``CHAOS_SEED`` repeats a run that was printed.
"""

import logging
import os
import secrets
import sys
import time
import warnings
from random import Random

import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from runflow_mcp.sandbox import start
from tests.chaos.leak_check import UNDISTURBED, Held, assert_flat, come_and_go, endless, held
from tests.chaos.state_machine import PLAYED, Chaos
from tests.serving import run_server
from tests.virtual_time import VirtualClock, VirtualTimeLoop

#: Scenarios between two looks at the clock.
BATCH = 25
#: Clients that leave before memory is first read.
WARMING_UP = 500


def main() -> int:
    warnings.simplefilter("error")
    scenarios = int(os.environ.get("CHAOS_EXAMPLES", "2000"))
    patience = float(os.environ.get("CHAOS_SECONDS", "480"))
    first = int(os.environ.get("CHAOS_SEED", str(secrets.randbelow(2**31))))
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(processors=[structlog.processors.JSONRenderer()], wrapper_class=quiet)
    say(f"chaos: CHAOS_SEED={first} CHAOS_EXAMPLES={scenarios} CHAOS_SECONDS={patience:g}")
    began = reported = time.monotonic()
    number = 0
    try:
        while PLAYED["scenarios"] < scenarios and time.monotonic() - began < patience:
            play(first + number, min(BATCH, scenarios - PLAYED["scenarios"]))
            number += 1
            if time.monotonic() - reported > 30:
                reported = time.monotonic()
                report(reported - began)
    finally:
        report(time.monotonic() - began)
    drops(int(os.environ.get("CHAOS_DROPS", "10000")))
    return 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def play(seeded: int, scenarios: int) -> None:
    machine = seed(seeded)(type("Chaos", (Chaos,), {}))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=scenarios,
            stateful_step_count=25,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def drops(times: int) -> None:
    """Let clients leave, and compare the resources before and after."""
    began = time.monotonic()
    loop = VirtualTimeLoop()
    before, after = loop.run_until_complete(_drops(times))
    loop.close()
    say(f"drops: {times} clients left in {time.monotonic() - began:.0f} s; {before} before, {after} after")
    assert_flat(before, after)


async def _drops(times: int) -> tuple[Held, Held]:
    clock = VirtualClock()
    sandbox = endless(clock)
    upstream = await start(sandbox)
    async with run_server(upstream.url, clock, Random(0), UNDISTURBED) as server:
        await come_and_go(server, sandbox, WARMING_UP)
        before = await held(server)
        await come_and_go(server, sandbox, times, first=WARMING_UP)
        after = await held(server)
    await upstream.close()
    return before, after


def report(seconds: float) -> None:
    say(f"chaos: {', '.join(f'{count} {what}' for what, count in PLAYED.items())} in {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
