"""The hostile loads: what strangers with invented keys send from a few addresses.

Not a test module. Each load returns the HTTP statuses that it received; ``LOADS`` names all but those of log lines,
which are for a server whose log cannot be written.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from itertools import cycle
from typing import Self

import attrs
import orjson

BOTH = "application/json, text/event-stream"
MODERN = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
#: A little under the body cap of 262,144 bytes, and under the cap of 20,000 JSON values.
ACCEPTED_BYTES, ACCEPTED_VALUES = 255_000, 19_000
#: Empty objects that fill the body cap, far over the cap of values.
MOST_VALUES = 85_000
#: Requests of a load that are under way at once.
AT_ONCE = 16
SETTLE = 2.0
#: As many messages as a batch may have.
BATCH = 50

#: Inputs as large as a body may be, in values or in bytes.
LARGE_INPUTS: tuple[dict[str, object], ...] = ({"list": [{}] * ACCEPTED_VALUES}, {"prompt": "x" * ACCEPTED_BYTES})


@attrs.frozen
class Strangers:
    """The senders of a load to ``port``: each ``turn`` has addresses and keys that no other turn has.

    So the limits per address and key admit as much of a load as they did the first time.
    """

    port: int
    turn: int = 0
    addresses: int = 4

    def address(self, number: int) -> str:
        rest, low = divmod(self.turn * self.addresses + number % self.addresses, 250)
        high, middle = divmod(rest, 250)
        return f"127.{high}.{middle}.{2 + low}"

    def key(self, number: int) -> str:
        return f"rf_live_invented_{self.turn}_{number}"


Load = Callable[[Strangers], Awaitable[list[int]]]


def _call(tool: str, arguments: object) -> bytes:
    params = {"name": tool, "arguments": arguments}
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


def _generate(model: str, number: int, run_input: object, **more: object) -> bytes:
    return _call("generate", {"model": model, "client_ref": f"load-{number}", "input": run_input, **more})


class _Connection:
    """One request on a connection of its own, from one of the addresses, with a key that nobody else has."""

    def __init__(self, strangers: Strangers, number: int, body: bytes, headers: dict[str, str]) -> None:
        self._port, self._body, self._headers = strangers.port, body, headers
        self._address, self._key = strangers.address(number), strangers.key(number)

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(self._address, 0), limit=64 * 1024
        )
        self._send()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    def _send(self) -> None:
        lines = {
            "Host": f"127.0.0.1:{self._port}",
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Content-Length": str(len(self._body)),
            "Accept": BOTH,
            **self._headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.writer.write(f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + self._body)

    async def status(self) -> int:
        line = await self.reader.readline()
        return int(line.split()[1]) if line else 0

    async def answer(self) -> int:
        """Read one answer of a stated length; its status."""
        status = await self.status()
        head = await self.reader.readuntil(b"\r\n\r\n")
        await self.reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
        return status

    async def read(self) -> None:
        """Read and drop what comes, until the server has sent nothing for a while."""
        with suppress(TimeoutError, ConnectionError):
            while await asyncio.wait_for(self.reader.read(65536), 0.5):
                pass


async def _answered(strangers: Strangers, bodies: list[bytes], headers: dict[str, str] | None = None) -> list[int]:
    """Send each body, and read its answer to the end."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def exchange(number: int, body: bytes) -> int:
        async with (
            turns,
            _Connection(strangers, number, body, {"Connection": "close", **(headers or {})}) as connection,
        ):
            with suppress(ConnectionError):
                await connection.writer.drain()
                status = await connection.status()
                await connection.read()
                return status
            return 0

    return list(await asyncio.gather(*(exchange(number, body) for number, body in enumerate(bodies))))


async def _held(
    strangers: Strangers, bodies: list[bytes], headers: dict[str, str] | None = None, seconds: float = SETTLE
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

        connections = [_Connection(strangers, number, body, headers or {}) for number, body in enumerate(bodies)]
        await asyncio.gather(*map(hold, connections))
        await asyncio.sleep(seconds)
    return statuses


async def unknown_argument_names(strangers: Strangers) -> list[int]:
    """200 calls with 29,000 argument names that no tool has, or with as many names as a body may hold."""
    most = _call("list_models", {f"{number:x}": 0 for number in range(29_000)})
    allowed = _call("list_models", {f"name-{number:06d}": 0 for number in range(ACCEPTED_VALUES // 2)})
    return await _answered(strangers, [most, allowed] * 100)


async def subscriptions_with_large_params(strangers: Strangers) -> list[int]:
    """384 subscriptions whose params hold as many empty objects as a body may have, or far too many."""

    def body(count: int) -> bytes:
        params = {"notifications": {"promptsListChanged": True}, "padding": [{}] * count, "_meta": META}
        return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params})

    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}
    return await _held(strangers, [body(MOST_VALUES), *[body(ACCEPTED_VALUES)] * 5] * 64, headers)


async def waits_on_large_inputs(strangers: Strangers) -> list[int]:
    """200 waits for runs whose inputs are as large as they may be, in bytes or in values."""
    bodies = [_generate("hostile/echoes", number // 20, LARGE_INPUTS[number % 2]) for number in range(200)]
    return await _held(strangers, bodies, seconds=SETTLE)


async def dispatches_that_are_left(strangers: Strangers) -> list[int]:
    """700 calls that do not wait, to an upstream that hangs, whose clients leave at once."""
    turns = asyncio.Semaphore(AT_ONCE)
    inputs = cycle(LARGE_INPUTS)

    async def leave(number: int, body: bytes) -> None:
        async with turns, _Connection(strangers, number, body, {}) as connection:
            with suppress(ConnectionError):
                await connection.writer.drain()
                await asyncio.sleep(0.02)

    bodies = [_generate("hostile/hangs", number, next(inputs), wait=False) for number in range(700)]
    await asyncio.gather(*(leave(number, body) for number, body in enumerate(bodies)))
    await asyncio.sleep(SETTLE)
    return []


async def nested_prompt_arguments(strangers: Strangers) -> list[int]:
    """100 prompts with a JSON argument nested 240 deep."""
    text = "[" * 240 + ",".join(["0"] * 9_000) + "]" * 240
    params = {"name": "configured", "arguments": {"config": text}}
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": params})
    wide = {"name": "configured", "arguments": {"config": "[" * 240 + "0" + ",[]" * 80_000 + "]" * 240}}
    wide_body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": wide})
    return await _answered(strangers, [body, wide_body] * 50)


async def huge_outputs(strangers: Strangers) -> list[int]:
    """Runs whose output is 8 MB of links, international links or empty objects, or too large to be read: two each."""
    models = ("hostile/links", "hostile/international-links", "hostile/objects", "hostile/too-large")
    bodies = [_generate(models[number % 4], number, {"prompt": "x"}) for number in range(8)]
    return await _answered(strangers, bodies)


async def log_lines(strangers: Strangers) -> list[int]:
    """As many messages as 120 addresses may send in a minute, whose log lines of over 300 bytes are more than 4 MiB."""
    return await _log_lines(attrs.evolve(strangers, addresses=120))


async def some_log_lines(strangers: Strangers) -> list[int]:
    """As many messages as 12 addresses may send in a minute, for logs that keep no line anyway."""
    return await _log_lines(attrs.evolve(strangers, addresses=12))


async def _log_lines(strangers: Strangers) -> list[int]:
    """A status for each message. They are sent in batches, since a batch has as many log lines as messages."""
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    turns = asyncio.Semaphore(AT_ONCE)

    async def ask(number: int) -> list[int]:
        statuses = []
        for sent in (BATCH, BATCH, 20):
            body = orjson.dumps([ping] * sent)
            async with turns, _Connection(strangers, number, body, {"X-Request-Id": "x" * 128}) as connection:
                statuses += [await connection.answer()] * sent
        return statuses

    answers = await asyncio.gather(*map(ask, range(strangers.addresses)))
    return [status for statuses in answers for status in statuses]


LOADS: tuple[Load, ...] = (
    unknown_argument_names,
    subscriptions_with_large_params,
    waits_on_large_inputs,
    dispatches_that_are_left,
    nested_prompt_arguments,
    huge_outputs,
)
