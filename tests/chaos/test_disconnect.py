"""Clients that disconnect: their polling stops, and nothing of them is kept."""

import asyncio

import pytest

from tests.chaos.leak_check import UNDISTURBED, assert_flat, come_and_go, endless, held
from tests.methods.recorded_requests import polls
from tests.scripted_sandbox import Action, Delay, Hang, Route, ScriptedSandbox
from tests.serving import BOTH, Serve, Server
from tests.virtual_time import VirtualClock

SLOW = "sandbox/slow"


@pytest.mark.parametrize("accept", [BOTH, None], ids=["events", "json"])
@pytest.mark.parametrize(
    ("after", "trouble"),
    [(2.5, None), (16.0, None), (100.0, None), (3.0, Hang(29)), (3.0, Delay(5))],
    ids=["early", "after a keepalive", "late", "in a poll that hangs", "in a poll that is late"],
)
async def test_polling_stops_within_a_second_of_a_disconnect(
    server: Server, sandbox: ScriptedSandbox, accept: str | None, after: float, trouble: Action | None
) -> None:
    if trouble is not None:
        sandbox.script.add(Route.GET_RUN, trouble, times=None)
    leaving = asyncio.create_task(server.generate(SLOW, token=1, accept=accept))
    await server.services.clock.sleep(after)
    leaving.cancel()
    await server.services.clock.sleep(1)
    assert server.services.inflight.slots_used == 0
    seen = len(polls(sandbox))
    await server.services.clock.sleep(120)
    assert len(polls(sandbox)) == seen


async def test_a_client_that_leaves_does_not_end_the_calls_of_others(server: Server, sandbox: ScriptedSandbox) -> None:
    """They wait for the same run, and began with the same dispatch."""
    sandbox.script.add(Route.CREATE, Delay(5))
    calls = [asyncio.create_task(server.generate(client_ref="shared", accept=BOTH, token=1)) for _ in range(10)]
    for call in calls[:9]:
        await server.services.clock.sleep(0.9)
        call.cancel()
    answer = await calls[9]
    assert answer.structured["status"] == "succeeded"
    assert len(sandbox.runs) == 1


class TestOfARunThatDoesNotEnd:
    """A run of two weeks, so that no client gets an answer."""

    @pytest.fixture
    def sandbox(self, clock: VirtualClock) -> ScriptedSandbox:
        return endless(clock)

    async def test_clients_that_come_and_go_leave_no_task_no_connection_and_no_memory(
        self, serve: Serve, sandbox: ScriptedSandbox
    ) -> None:
        server = await serve(**UNDISTURBED)
        await come_and_go(server, sandbox, 60)
        before = await held(server)
        await come_and_go(server, sandbox, 200, first=60)
        after = await held(server)
        assert_flat(before, after)
        assert len(sandbox.runs) == 1
