"""A sandbox that listens, and a client that talks to it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from runflow_mcp.sandbox import start
from tests.sandbox.api_client import Client, Serve
from tests.scripted_sandbox import Idempotency, ScriptedSandbox
from tests.virtual_time import VirtualClock


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a given sandbox."""
    async with AsyncExitStack() as stack:

        async def run(sandbox: ScriptedSandbox) -> Client:
            running = await start(sandbox)
            stack.push_async_callback(running.close)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Client(sandbox, running.url, session)

        yield run


@pytest.fixture
async def client(serve: Serve, sandbox: ScriptedSandbox) -> Client:
    return await serve(sandbox)


@pytest.fixture
async def client_ref_client(serve: Serve, clock: VirtualClock) -> Client:
    """A client of an upstream that deduplicates by client_ref only."""
    return await serve(ScriptedSandbox(clock=clock, idempotency=Idempotency.CLIENT_REF))


@pytest.fixture
async def client_without_idempotency(serve: Serve, clock: VirtualClock) -> Client:
    """A client of an upstream without idempotency."""
    return await serve(ScriptedSandbox(clock=clock, idempotency=Idempotency.NONE))
