"""A command of ``runflow-mcp`` as a process whose two outputs are read apart, for tests of the command line."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import attrs
import pytest

from tests.eventually import PATIENCE
from tests.server_process import ServerProcess

SLOW_CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {
        "name": "generate",
        "arguments": {"model": "sandbox/slow", "input": {}},
        "_meta": {"progressToken": 1},
    },
}


@attrs.frozen
class Command:
    """A running ``python -m runflow_mcp …``; its output goes to files, so that nothing ever blocks it."""

    server: ServerProcess

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def url(self) -> str:
        return self.server.origin

    @property
    def stdout(self) -> str:
        return (self.server.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.server.folder / "stderr").read_text()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.server.send_signal(number)

    async def ended(self) -> int:
        return await asyncio.to_thread(self.server.wait)

    async def prints(self, text: str) -> None:
        """Wait until the standard output has this text; it is written beside the server's work."""
        async with asyncio.timeout(PATIENCE):
            while text not in self.stdout:  # noqa: ASYNC110 - a file sets no event
                await asyncio.sleep(0.02)

    async def answers(
        self, session: aiohttp.ClientSession, path: str, status: int = 200, origin: str | None = None
    ) -> None:
        """Wait until a GET of ``path`` has this status."""
        async with asyncio.timeout(PATIENCE):
            while True:
                assert self.server.exit_code is None, self.stderr
                try:
                    async with session.get(f"{origin or self.url}{path}") as response:
                        if response.status == status:
                            return
                except aiohttp.ClientConnectorError:
                    pass
                await asyncio.sleep(0.02)


Run = Callable[..., Awaitable[Command]]


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """Start a command on a free port, in a folder of the test's own, with these settings."""
    async with AsyncExitStack() as stack:

        async def start(*arguments: str, **settings: str) -> Command:
            outputs = {
                name: stack.enter_context((tmp_path / name).open("wb")).fileno() for name in ("stdout", "stderr")
            }
            server = ServerProcess.of(tmp_path, "runflow_mcp", *arguments, settings=settings, **outputs)
            server.start()
            stack.callback(server.kill)
            return Command(server)

        yield start


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client
