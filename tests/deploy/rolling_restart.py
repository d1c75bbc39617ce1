"""Steady calls and bursts through nginx while its replicas are restarted in turn; counts how each call ended.

``python -m tests.deploy.rolling_restart`` is the long one: RESTARTS restarts of replicas with WORKERS processes each.
"""

import asyncio
import contextlib
import http.client
import itertools
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import attrs
import orjson

import tests.conftest  # noqa: F401 - replicas start fast only with bytecode that is kept
from tests.deploy.nginx_stack import Stack
from tests.eventually import eventually_async
from tests.server_process import HOST, NO_RATE_LIMITS, NotReadyError, ServerProcess
from tests.serving import BOTH, INPUT, KEY, MODEL

#: Callers in a burst, and how many bursts surround a signal; pauses between them in seconds.
BURST, BURSTS, BURST_PAUSE = 12, 40, 0.02
#: Calls that go on all the time: short ones, each after a pause in seconds, and ones that wait for their run.
STEADY, STEADY_PAUSE, WAITING = 4, 0.01, 6
#: nginx takes this many requests of one address at once, and ten a second: each address is used for fewer.
PER_ADDRESS = 400
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Accept": BOTH}
PING = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
#: No two loads share an address, or a run.
_addresses, _refs = itertools.count(256), itertools.count()
ANSWERED, RESULT, DRAINED = "answered", "result", "server_draining"


def generate(ref: str) -> bytes:
    arguments = {"model": MODEL, "input": INPUT, "client_ref": ref}
    return orjson.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "generate", "arguments": arguments}}
    )


@attrs.define
class Load:
    """Callers on many addresses. ``ended`` counts the calls by how they ended, ``cut`` has the refs of lost waits."""

    stack: Stack
    bursts_per_restart: int = BURSTS
    ended: Counter[str] = attrs.field(factory=Counter)
    cut: list[str] = attrs.field(factory=list)
    _session: aiohttp.ClientSession | None = None
    _used: int = 0
    _sessions: list[aiohttp.ClientSession] = attrs.field(factory=list)

    @property
    def failed(self) -> Counter[str]:
        return Counter({how: count for how, count in self.ended.items() if how not in (ANSWERED, RESULT, DRAINED)})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The steady calls; those that wait at the end are waited for."""
        stop = asyncio.Event()
        callers = [asyncio.create_task(self._steadily(stop)) for _ in range(STEADY)]
        callers += [asyncio.create_task(self._waiting(stop)) for _ in range(WAITING)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*callers)
            for session in self._sessions:
                await session.close()

    async def bursts(self) -> None:
        for _ in range(self.bursts_per_restart):
            await asyncio.gather(*(self.call(PING) for _ in range(BURST)))
            await asyncio.sleep(BURST_PAUSE)

    async def until_each_waits(self) -> None:
        """Return once every replica has calls that wait."""

        def each_waits() -> bool:
            return all(_waits(replica) > 0 for replica in self.stack.replicas)

        await eventually_async(each_waits, "calls wait in every replica")

    async def call(self, data: bytes) -> str:
        how = await self._call(data)
        self.ended[how] += 1
        return how

    async def _steadily(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.call(PING)
            await asyncio.sleep(STEADY_PAUSE)

    async def _waiting(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            ref = f"rolling-{next(_refs)}"
            if await self.call(generate(ref)) not in (RESULT, DRAINED):
                self.cut.append(ref)

    async def _call(self, data: bytes) -> str:
        try:
            async with self._client().post(f"{self.stack.origin}/mcp", data=data, headers=HEADERS) as response:
                body = await response.read()
        except aiohttp.ClientError as error:
            return type(error).__name__
        if response.status != 200:
            return f"status {response.status}"
        lines = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith((b"data: ", b"{"))]
        result = orjson.loads(lines[-1]).get("result") if lines else None
        if result == {}:
            return ANSWERED
        if result is None:
            return "no answer"
        structured = result["structuredContent"]
        return RESULT if not result["isError"] else str(structured["error"]["code"])

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None or self._used == PER_ADDRESS:
            number = next(_addresses)
            source = f"127.0.{number // 250}.{number % 250 + 2}"
            connector = aiohttp.TCPConnector(ssl=self.stack.tls(), local_addr=(source, 0), limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60))
            self._sessions.append(self._session)
            self._used = 0
        self._used += 1
        return self._session


def _waits(replica: ServerProcess) -> int:
    """The waiting calls of a replica, from its readiness probe."""
    connection = http.client.HTTPConnection(HOST, replica.port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/readyz")
        return int(orjson.loads(connection.getresponse().read())["waits"])


def _wait_until_ready(replica: ServerProcess) -> None:
    """With patience: the load takes every core, and the replica starts beside it."""
    for _ in range(4):
        with contextlib.suppress(NotReadyError):
            replica.wait_until_ready()
            return
    replica.wait_until_ready()


async def restart(load: Load, replica: ServerProcess, number: signal.Signals = signal.SIGTERM) -> float:
    """Stop and start it amid bursts; the seconds that the stop took."""
    bursts = asyncio.create_task(load.bursts())
    await asyncio.sleep(BURST_PAUSE)
    began = time.monotonic()
    replica.send_signal(number)
    await asyncio.to_thread(replica.wait)
    took = time.monotonic() - began
    replica.start()
    await asyncio.to_thread(_wait_until_ready, replica)
    await bursts
    return took


async def roll(load: Load, restarts: int) -> list[float]:
    """Restart the replicas in turn; returns how long each stop took."""
    async with load.running():
        return [await restart(load, load.stack.replicas[turn % 2]) for turn in range(restarts)]


def main() -> int:
    restarts, workers = int(os.environ.get("RESTARTS", "40")), int(os.environ.get("WORKERS", "1"))
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack.make(Path(folder), workers=(workers, workers), **NO_RATE_LIMITS)
        with stack.running():
            load = Load(stack)
            took = asyncio.run(roll(load, restarts))
            errors = (stack.folder / "error.log").read_text().splitlines()
    refused = sum("Connection refused" in line for line in errors)
    lines = [
        f"{restarts} restarts of replicas with {workers} workers",
        f"{load.ended.total()} calls, {load.failed.total()} failed",
        f"ended: {dict(load.ended)}; a stop took {min(took):.2f} to {max(took):.2f} s",
        f"nginx: {refused} attempts refused and made elsewhere",
        *(line for line in errors if " upstream" in line and "Connection refused" not in line),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if load.failed else 0


if __name__ == "__main__":
    sys.exit(main())
