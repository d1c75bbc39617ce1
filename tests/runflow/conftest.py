"""The upstream half of the server on its own, against the sandbox: a session and the objects that use it."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from random import Random
from typing import Protocol

import aiohttp
import attrs
import pytest

from runflow_mcp.credentials import Bearer
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.transport import open_session
from runflow_mcp.runflow.dispatch.dispatcher import Dispatcher
from runflow_mcp.runflow.dispatch.inputs import RunInput
from runflow_mcp.runflow.dispatch.order import Order
from runflow_mcp.sandbox import RunningSandbox, start
from tests.scripted_sandbox import Idempotency, Quirks, RecordedRequest, ScriptedSandbox
from tests.serving import INPUT, KEY, MODEL
from tests.virtual_time import VirtualClock

TIMEOUT = 30.0


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(10) as session:
        yield session


@pytest.fixture
def client(session: aiohttp.ClientSession, upstream: RunningSandbox, clock: VirtualClock) -> RunflowClient:
    return RunflowClient(session, upstream.url, TIMEOUT, clock)


@attrs.frozen
class Harness:
    """A dispatcher, and the sandbox that it sends orders to."""

    sandbox: ScriptedSandbox
    dispatcher: Dispatcher

    def order(
        self,
        ref: str | None = "ref-1",
        *,
        key: str = KEY,
        model: str = MODEL,
        run_input: dict[str, object] | None = None,
    ) -> Order:
        return Order.make(Bearer(key), model, RunInput.of(INPUT if run_input is None else run_input), ref, {})

    def elsewhere(self) -> "Harness":
        """Another replica before the same upstream."""
        client, clock = self.dispatcher.client, self.dispatcher.clock
        return Harness(self.sandbox, Dispatcher(client, clock, self.dispatcher.random))

    def requests(self, method: str) -> list[RecordedRequest]:
        return [seen for seen in self.sandbox.requests if seen.method == method]

    def runs(self, ref: str) -> int:
        return len(self.sandbox.runs.with_client_ref(ref))


class MakeHarness(Protocol):
    def __call__(
        self, idempotency: Idempotency = ..., *, timeout: float = ..., quirks: Quirks = ...
    ) -> Awaitable[Harness]: ...


@pytest.fixture
async def make_harness(session: aiohttp.ClientSession, clock: VirtualClock) -> AsyncIterator[MakeHarness]:
    """A dispatcher before an upstream with these habits."""
    async with AsyncExitStack() as stack:

        async def opened(
            idempotency: Idempotency = Idempotency.HEADER, *, timeout: float = TIMEOUT, quirks: Quirks | None = None
        ) -> Harness:
            sandbox = ScriptedSandbox(clock=clock, idempotency=idempotency, quirks=quirks)
            running = await start(sandbox)
            stack.push_async_callback(running.close)
            client = RunflowClient(session, running.url, timeout, clock)
            dispatcher = Dispatcher(client, clock, Random(0))
            stack.push_async_callback(dispatcher.close)
            return Harness(sandbox, dispatcher)

        yield opened


@pytest.fixture
async def harness(make_harness: MakeHarness) -> Harness:
    return await make_harness()
