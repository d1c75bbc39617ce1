"""One stack for all tests of this folder, and for each test a client with an address of its own."""

import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs
import orjson
import pytest

from tests.deploy.nginx_stack import Stack
from tests.serving import BOTH, INPUT, KEY, MODEL, Answer

_sources = (f"127.0.0.{number}" for number in itertools.count(2))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack.make(tmp_path_factory.mktemp("stack")).running() as stack:
        yield stack


def call(tool: str, **arguments: object) -> dict[str, object]:
    """A ``tools/call`` message that asks for progress."""
    params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": 1}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def order(**more: object) -> dict[str, object]:
    """A waiting ``generate``."""
    return call("generate", model=MODEL, input=INPUT, **more)


PING: Mapping[str, object] = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@attrs.frozen
class Client:
    """Speaks HTTP/1.1 over TLS to nginx, from one source address."""

    stack: Stack
    session: aiohttp.ClientSession
    source: str

    @asynccontextmanager
    async def open(
        self, message: object, *, path: str = "/mcp", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """POST a message (bytes or a stream of them as they are, anything else as JSON)."""
        data: Any = orjson.dumps(message) if isinstance(message, Mapping) else message
        sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Accept": BOTH}
        url = f"{self.stack.origin}{path}"
        async with self.session.post(url, data=data, headers={**sent, **(headers or {})}) as response:
            yield response

    async def post(self, message: object, **options: Any) -> Answer:
        async with self.open(message, **options) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def get(self, path: str) -> Answer:
        async with self.session.get(f"{self.stack.origin}{path}") as response:
            return Answer(response.status, response.headers.copy(), await response.read())


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[Client]:
    source = next(_sources)
    connector = aiohttp.TCPConnector(ssl=stack.tls(), local_addr=(source, 0))
    timeout = aiohttp.ClientTimeout(total=15)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Client(stack, session, source)


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with connected(stack) as made:
        yield made


@pytest.fixture
async def neighbour(stack: Stack) -> AsyncIterator[Client]:
    """Another user, with another address."""
    async with connected(stack) as made:
        yield made


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    """The messages of an event stream as they arrive."""
    assert response.content_type == "text/event-stream", await response.text()
    async for line in response.content:
        if line.startswith(b"data: "):
            yield orjson.loads(line.removeprefix(b"data: "))
