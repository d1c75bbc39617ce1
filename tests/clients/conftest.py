"""The clients run on the machine's clock, so the sandbox and the server's pauses in front of them are fast ones."""

import asyncio

import pytest

from tests.scripted_sandbox import ScriptedSandbox
from tests.virtual_time import VirtualClock

#: How much faster than the real ones the runs are, and the pauses between looks at them.
SPEED = 20


class HurriedClock(VirtualClock):
    """A clock whose sleeps are short: a run is polled every tenth of a second, and deadlines stay what they are."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


@pytest.fixture
def clock() -> VirtualClock:
    return HurriedClock()


@pytest.fixture
def sandbox(clock: VirtualClock) -> ScriptedSandbox:
    return ScriptedSandbox(clock=clock, speed=SPEED)
