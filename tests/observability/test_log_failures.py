"""A real server whose log cannot be written: requests are answered, and the readiness probe reports the lost lines."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from tests.eventually import PATIENCE
from tests.observability.unwritable_logs import full, with_reader_that_stands_still, without_reader
from tests.server_process import NO_RATE_LIMITS, SERVE, ServerProcess
from tests.serving import INPUT, KEY, MODEL

pytestmark = pytest.mark.real_time

#: Seconds that a probe may take, on a busy machine; a write that blocks takes for ever.
PROMPT = 2.0


@attrs.frozen
class ServerWithLog:
    """A server with an odd log, and what a client does with it."""

    process: ServerProcess
    session: aiohttp.ClientSession

    async def get(self, path: str) -> Any:
        began = time.monotonic()
        async with self.session.get(f"{self.process.origin}{path}") as response:
            assert response.status == 200
            body = await response.json()
        assert time.monotonic() - began < PROMPT
        return body

    async def rpc(self, method: str, **params: Any) -> Any:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"Authorization": f"Bearer {KEY}"}
        async with self.session.post(f"{self.process.origin}/mcp", json=message, headers=headers) as response:
            assert response.status == 200
            return (await response.json())["result"]

    async def log_state(self) -> Any:
        return (await self.get("/readyz"))["log"]

    async def works(self, *, wait: bool = False) -> None:
        """Check that probes, the handshake and a run are answered promptly."""
        for _ in range(3):
            assert (await self.get("/healthz"))["status"] == "ok"
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}
        assert (await self.rpc("initialize", **params))["serverInfo"]["name"] == "Runflow"
        result = await self.rpc("tools/call", name="generate", arguments={"model": MODEL, "input": INPUT, "wait": wait})
        assert result["structuredContent"]["run_id"]
        assert not wait or result["structuredContent"]["status"] == "succeeded"

    async def until_failing(self, dropped: int = 1) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                state = await self.log_state()
                if state["state"] == "failing" and state["dropped"] >= dropped:
                    return
                await asyncio.sleep(0.05)

    def resident(self) -> int:
        """Memory in KiB."""
        status = Path(f"/proc/{self.process.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def stop(self) -> float:
        """Seconds that a stop took."""
        began = time.monotonic()
        assert self.process.stop() == 0
        return time.monotonic() - began


Start = Callable[..., Awaitable[ServerWithLog]]


def close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """``start(stderr=…, stdout=…)``: the descriptors that the server gets, a closed one where it is None."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def serve(
            *, stderr: int | None, stdout: int | None = subprocess.DEVNULL, **settings: str
        ) -> ServerWithLog:
            closed = [number for number, descriptor in ((1, stdout), (2, stderr)) if descriptor is None]
            process = ServerProcess.of(
                tmp_path,
                *SERVE,
                "--sandbox",
                settings=NO_RATE_LIMITS | {"MCP_LOG_LEVEL": "debug"} | settings,  # probes leave lines at debug
                stdout=stdout,
                stderr=stderr,
                before_exec=partial(close_all, closed),
            )
            stack.enter_context(process)
            process.wait_until_ready()
            return ServerWithLog(process, session)

        yield serve


@pytest.mark.parametrize(
    ("broken", "log_format"),
    # The format is rendered before the descriptor is met; a closed one is also asked whether it is a terminal.
    [(full, "json"), (without_reader, "json"), (lambda: None, "json"), (lambda: None, "console")],
    ids=["disk full", "no reader", "closed", "closed, for a terminal"],
)
async def test_a_log_that_cannot_be_written_fails_no_request(
    start: Start, broken: Callable[[], int | None], log_format: str
) -> None:
    descriptor = broken()
    served = await start(stderr=descriptor, stdout=descriptor, MCP_LOG_FORMAT=log_format)
    await served.works()
    await served.until_failing(dropped=5)
    await served.works()
    assert served.stop() < 3.0


async def test_a_blocked_reader_delays_no_request_and_memory_stays_bounded(start: Start) -> None:
    reader, writer = with_reader_that_stands_still()
    served = await start(stderr=writer, stdout=writer)
    os.close(writer)
    await served.works()
    before = served.resident()

    async def many() -> None:
        for _ in range(250):
            await served.get("/healthz")

    await asyncio.gather(*(many() for _ in range(4)))
    await served.until_failing(dropped=0)
    assert (await served.log_state())["queued"] > 0
    assert served.resident() - before < 24 * 1024
    await served.works(wait=True)
    assert served.stop() < 3.0
    os.close(reader)


async def test_with_a_reader_again_the_log_continues_and_reports_the_lines_that_are_missing(
    start: Start, tmp_path: Path
) -> None:
    name = tmp_path / "fifo"
    os.mkfifo(name)
    reader = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(name, os.O_WRONLY)
    served = await start(stderr=writer)
    os.close(writer)
    os.close(reader)
    for _ in range(3):
        await served.get("/healthz")
    await served.until_failing(dropped=3)
    reader = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    text = b""
    async with asyncio.timeout(PATIENCE):
        while b'"log_lines_dropped"' not in text:
            await served.get("/healthz")
            await asyncio.sleep(0.1)
            with suppress(BlockingIOError):
                text += os.read(reader, 1 << 20)
    lines = [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]
    [reported] = [line for line in lines if line["event"] == "log_lines_dropped"]
    state = await served.log_state()
    assert state["state"] == "ok"
    assert reported["count"] == state["dropped"] >= 3
    served.process.stop()
    os.close(reader)


async def test_a_stop_writes_the_last_lines(start: Start, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        served = await start(stderr=log.fileno())
        await served.get("/healthz")
        served.stop()
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert events[-2:] == ["draining", "stopped"]


@pytest.mark.parametrize("command", [["config"], ["config", "--json"]])
@pytest.mark.parametrize("broken", [full, without_reader], ids=["disk full", "no reader"])
def test_a_command_whose_output_cannot_be_written_ends_without_a_traceback(
    command: list[str], broken: Callable[[], int], tmp_path: Path
) -> None:
    descriptor = broken()
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "runflow_mcp", *command],
        stdout=descriptor,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        timeout=PATIENCE,
        check=False,
    )
    os.close(descriptor)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert done.returncode == 1


def test_a_settings_error_that_cannot_be_printed_keeps_its_exit_code(tmp_path: Path) -> None:
    descriptor = full()
    done = subprocess.run(
        [sys.executable, "-m", "runflow_mcp", "serve"],
        stderr=descriptor,
        cwd=tmp_path,
        env={**os.environ, "MCP_PORT": "x"},
        timeout=PATIENCE,
        check=False,
    )
    os.close(descriptor)
    assert done.returncode == 2
