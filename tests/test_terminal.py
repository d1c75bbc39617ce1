"""The server in a terminal: its welcome, its colours, and Ctrl-C while a run is in progress."""

import asyncio
import os
import pty
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import attrs
import pytest

from runflow_mcp.open_files import UNLIMITED
from runflow_mcp.process_errors import REPORT_INTERVAL, ProcessErrors
from tests.command_process import SLOW_CALL
from tests.eventually import PATIENCE
from tests.server_process import clean_environment
from tests.serving import BOTH, KEY, free_port
from tests.virtual_time import VirtualClock

pytestmark = pytest.mark.real_time


@attrs.define
class Terminal:
    """A server in a terminal of its own; ``screen`` is what has been written there."""

    process: asyncio.subprocess.Process
    port: int
    screen: str = ""

    async def shows(self, text: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while text not in self.screen:  # noqa: ASYNC110 - a screen sets no event
                await asyncio.sleep(0.02)

    async def waiting_call(self, session: aiohttp.ClientSession) -> None:
        headers = {"Authorization": f"Bearer {KEY}", "Accept": BOTH}
        response = await session.post(f"http://127.0.0.1:{self.port}/mcp", json=SLOW_CALL, headers=headers)
        assert b"queued" in await asyncio.wait_for(response.content.readany(), PATIENCE)


Open = Callable[..., Awaitable[Terminal]]


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def start(*arguments: str, limit: int | None = None, **settings: str) -> Terminal:
            controller, line = pty.openpty()
            port = free_port()
            environ = {"TERM": "xterm", "MCP_PORT": str(port), **settings}
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "runflow_mcp", "serve", *arguments),
                stdin=line,
                stdout=line,
                stderr=line,
                cwd=tmp_path,
                env={name: text for name, text in clean_environment().items() if name != "NO_COLOR"} | environ,
                start_new_session=True,
                preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))) if limit else None,
            )
            os.close(line)
            opened = Terminal(process, port)
            loop = asyncio.get_running_loop()

            def read() -> None:
                try:
                    opened.screen += os.read(controller, 1 << 16).decode()
                except OSError:  # the other end is closed
                    loop.remove_reader(controller)

            loop.add_reader(controller, read)

            async def end() -> None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
                loop.remove_reader(controller)
                os.close(controller)

            stack.push_async_callback(end)
            return opened

        yield start


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as one:
        yield one


async def test_a_live_server_in_a_terminal_prints_a_welcome(terminal: Open) -> None:
    """Nothing is asked of the network: the catalog's address refuses."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    server = await terminal(RUNFLOW_API_URL=nowhere, RUNFLOW_CATALOG_URL=f"{nowhere}/c.json", RUNFLOW_SKILL_URL="")
    await server.shows("Ctrl-C stops the server.")
    assert f"for {nowhere} (runs cost money)" in server.screen
    assert f"http://127.0.0.1:{server.port}/mcp" in server.screen
    assert " check " in server.screen


async def test_ctrl_c_says_which_runs_it_waits_for_and_a_second_one_stops_at_once(
    terminal: Open, session: aiohttp.ClientSession
) -> None:
    server = await terminal("--sandbox", MCP_SHUTDOWN_GRACE_MS="60000")
    await server.shows("Ctrl-C stops the server.")
    await server.waiting_call(session)
    server.process.send_signal(signal.SIGINT)
    began = time.monotonic()
    await server.shows("Waiting for 1 run to finish, at most 60 s. Press Ctrl-C again to stop now.")
    assert server.process.returncode is None
    server.process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(server.process.wait(), PATIENCE) == 0
    assert time.monotonic() - began < 30  # half of the grace time
    assert "Traceback" not in server.screen


async def test_ctrl_c_on_an_idle_server_does_not_mention_runs(terminal: Open) -> None:
    server = await terminal("--sandbox")
    await server.shows("Ctrl-C stops the server.")
    server.process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(server.process.wait(), PATIENCE) == 0
    assert "Waiting for" not in server.screen


@pytest.mark.parametrize(
    ("environ", "colors"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
    ids=str,
)
async def test_colors_need_a_terminal_and_no_color_unset(
    terminal: Open, environ: dict[str, str], *, colors: bool
) -> None:
    server = await terminal("--sandbox", **environ)
    await server.shows("listening")
    assert ("\x1b[" in server.screen) == colors


async def test_a_server_that_runs_out_of_open_files_logs_it(terminal: Open) -> None:
    server = await terminal("--sandbox", limit=64, NO_COLOR="1", MCP_LOG_FORMAT="json")
    await server.shows("Ctrl-C stops the server.")
    await server.shows('"setting":"MCP_MAX_WAITS"')
    opened = [asyncio.open_connection("127.0.0.1", server.port) for _ in range(64)]
    connections = [
        result for result in await asyncio.gather(*opened, return_exceptions=True) if isinstance(result, tuple)
    ]
    await server.shows('"open_files_used_up"')
    assert server.screen.count('"open_files_used_up"') == 1
    for _, writer in connections:
        writer.close()


async def test_serve_raises_the_limit_of_open_files_as_far_as_allowed(terminal: Open) -> None:
    server = await terminal("--sandbox")
    await server.shows("Ctrl-C stops the server.")
    soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    assert soft == (hard if hard != resource.RLIM_INFINITY else UNLIMITED)


async def test_a_repeated_process_error_is_logged_once_in_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0

    class Clock(VirtualClock):
        def monotonic(self) -> float:
            return now

    errors = ProcessErrors(Clock(), 100)
    context = {"message": "socket.accept() out of system resource", "exception": OSError(24, "Too many open files")}
    for _ in range(5):
        errors.on_loop_error(asyncio.get_running_loop(), context)
    now += REPORT_INTERVAL + 1
    errors.on_loop_error(asyncio.get_running_loop(), context)
    errors.on_connection(50)
    first, second = [line for line in capsys.readouterr().out.splitlines() if "event_loop_error" in line]
    assert "Too many open files" in first
    assert "left_out=0" in first
    assert "left_out=4" in second
