"""The clients run on the machine's clock, so the runs of the sandbox and the pauses of the server are short."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.clients.typescript_host import TypeScriptHost, typescript_host
from tests.scripted_sandbox import ScriptedSandbox
from tests.virtual_time import VirtualClock

#: How much faster than real ones the runs are, and the polls.
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


@pytest.fixture(scope="session")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TypeScriptHost]:
    with typescript_host(tmp_path_factory.mktemp("home")) as host:
        yield host
