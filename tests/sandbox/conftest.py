"""A sandbox that listens, and a client that talks to it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from runflow_mcp.sandbox import Idempotency, Sandbox, start
from tests.sandbox.client import Client, Serve
from tests.virtual_time import VirtualClock


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a sandbox of the test's own making."""
    async with AsyncExitStack() as stack:

        async def run(sandbox: Sandbox) -> Client:
            running = await start(sandbox)
            stack.push_async_callback(running.close)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Client(sandbox, running.url, session)

        yield run


@pytest.fixture
async def client(serve: Serve, sandbox: Sandbox) -> Client:
    return await serve(sandbox)


@pytest.fixture
async def client_ref_client(serve: Serve, clock: VirtualClock) -> Client:
    """Talks to an upstream that de-duplicates by client_ref alone."""
    return await serve(Sandbox(clock=clock, idempotency=Idempotency.CLIENT_REF))


@pytest.fixture
async def forgetful_client(serve: Serve, clock: VirtualClock) -> Client:
    """Talks to an upstream without any idempotency."""
    return await serve(Sandbox(clock=clock, idempotency=Idempotency.NONE))
