"""The hostile loads: what strangers with invented keys send from two addresses.

Not a test module. Each load returns the HTTP statuses that it received; ``LOADS`` names them all.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from itertools import cycle
from typing import Self

import orjson

from tests.overload.overloaded_server import OverloadedServer

ADDRESSES = ("127.0.0.2", "127.0.0.3")
BOTH = "application/json, text/event-stream"
MODERN = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
#: A little under the body cap of 262,144 bytes, and under the cap of 20,000 JSON values.
MAX_BYTES, MAX_VALUES = 255_000, 19_000
#: Empty objects that fill the body cap, far over the cap of values.
MOST_VALUES = 85_000
#: Requests of a load that are under way at once.
AT_ONCE = 16
SETTLE = 3.0

LARGE_INPUTS: tuple[dict[str, object], ...] = (
    {"list": [{}] * MOST_VALUES},
    {"list": [{}] * MAX_VALUES},
    {"prompt": "x" * MAX_BYTES},
)

Load = Callable[[OverloadedServer], Awaitable[list[int]]]


def _call(tool: str, arguments: object) -> bytes:
    params = {"name": tool, "arguments": arguments}
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


def _generate(model: str, number: int, run_input: object, **more: object) -> bytes:
    return _call("generate", {"model": model, "client_ref": f"load-{number}", "input": run_input, **more})


class _Connection:
    """One request on a connection of its own, from one of the addresses, with a key that nobody else has."""

    def __init__(self, server: OverloadedServer, number: int, body: bytes, headers: dict[str, str]) -> None:
        self._server, self._body, self._headers = server, body, headers
        self._address = ADDRESSES[number % len(ADDRESSES)]
        self._key = f"rf_live_invented_{number}"

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self._server.port, local_addr=(self._address, 0), limit=64 * 1024
        )
        lines = {
            "Host": f"127.0.0.1:{self._server.port}",
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Content-Length": str(len(self._body)),
            "Accept": BOTH,
            **self._headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.writer.write(f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + self._body)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def status(self) -> int:
        line = await self.reader.readline()
        return int(line.split()[1]) if line else 0

    async def read(self) -> None:
        """Read and drop what comes, until the server has nothing more to say for a while."""
        with suppress(TimeoutError, ConnectionError):
            while await asyncio.wait_for(self.reader.read(65536), 0.5):
                pass


async def _answered(server: OverloadedServer, bodies: list[bytes], headers: dict[str, str] | None = None) -> list[int]:
    """Send each body, and read its answer to the end."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, body: bytes) -> int:
        async with turns, _Connection(server, number, body, {"Connection": "close", **(headers or {})}) as connection:
            with suppress(ConnectionError):
                await connection.writer.drain()
                status = await connection.status()
                await connection.read()
                return status
            return 0

    return list(await asyncio.gather(*(one(number, body) for number, body in enumerate(bodies))))


async def _held(
    server: OverloadedServer, bodies: list[bytes], headers: dict[str, str] | None = None, seconds: float = SETTLE
) -> list[int]:
    """Send each body on a connection that stays open, all together for ``seconds``."""
    turns = asyncio.Semaphore(AT_ONCE)
    statuses: list[int] = []
    async with AsyncExitStack() as opened:

        async def hold(connection: _Connection) -> None:
            async with turns:
                await opened.enter_async_context(connection)
                with suppress(ConnectionError):
                    statuses.append(await connection.status())

        connections = [_Connection(server, number, body, headers or {}) for number, body in enumerate(bodies)]
        await asyncio.gather(*map(hold, connections))
        await asyncio.sleep(seconds)
    return statuses


async def unknown_argument_names(server: OverloadedServer) -> list[int]:
    """530 calls with 29,000 argument names that no tool has; then as many names as a body may hold."""
    most = _call("list_models", {f"{number:x}": 0 for number in range(29_000)})
    allowed = _call("list_models", {f"name-{number:06d}": 0 for number in range(MAX_VALUES // 2)})
    return await _answered(server, [most, allowed] * 265)


async def subscriptions_with_large_params(server: OverloadedServer) -> list[int]:
    """1,660 subscriptions whose params hold as many empty objects as a body may have."""

    def body(count: int) -> bytes:
        params = {"notifications": {"promptsListChanged": True}, "padding": [{}] * count, "_meta": META}
        return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params})

    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}
    return await _held(server, [body(MOST_VALUES), body(MAX_VALUES)] * 830, headers)


async def waits_on_large_inputs(server: OverloadedServer) -> list[int]:
    """600 waits for runs whose inputs are as large as they may be, in bytes or in values."""
    bodies = [_generate("hostile/echoes", number // 60, LARGE_INPUTS[number % 3]) for number in range(600)]
    return await _held(server, bodies, seconds=2 * SETTLE)


async def dispatches_that_are_left(server: OverloadedServer) -> list[int]:
    """1,080 calls that do not wait, to an upstream that hangs, whose clients leave at once."""
    turns = asyncio.Semaphore(AT_ONCE)
    inputs = cycle(LARGE_INPUTS)

    async def leave(number: int, body: bytes) -> None:
        async with turns, _Connection(server, number, body, {}) as connection:
            with suppress(ConnectionError):
                await connection.writer.drain()
                await asyncio.sleep(0.02)

    bodies = [_generate("hostile/hangs", number, next(inputs), wait=False) for number in range(1080)]
    await asyncio.gather(*(leave(number, body) for number, body in enumerate(bodies)))
    await asyncio.sleep(SETTLE)
    return []


async def nested_prompt_arguments(server: OverloadedServer) -> list[int]:
    """200 prompts with a JSON argument nested 240 deep."""
    text = "[" * 240 + ",".join(["0"] * 9_000) + "]" * 240
    params = {"name": "configured", "arguments": {"config": text}}
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": params})
    wide = {"name": "configured", "arguments": {"config": "[" * 240 + "0" + ",[]" * 80_000 + "]" * 240}}
    wide_body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": wide})
    return await _answered(server, [body, wide_body] * 100)


async def huge_outputs(server: OverloadedServer) -> list[int]:
    """Runs whose output is 8 MB of links, of international links and of empty objects, ten each."""
    models = ("hostile/links", "hostile/international-links", "hostile/objects")
    bodies = [_generate(models[number % 3], number, {"prompt": "x"}) for number in range(30)]
    return await _answered(server, bodies)


LOADS: tuple[Load, ...] = (
    unknown_argument_names,
    subscriptions_with_large_params,
    waits_on_large_inputs,
    dispatches_that_are_left,
    nested_prompt_arguments,
    huge_outputs,
)
