"""The server in a terminal: its welcome, its colours, and Ctrl-C while a run is in progress."""

import asyncio
import os
import pty
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import attrs
import pytest

from runflow_mcp.cli.terminal import wants_colors
from runflow_mcp.open_files import UNLIMITED
from runflow_mcp.process_errors import REPORT_INTERVAL, ProcessErrors
from tests.command_process import SLOW_CALL
from tests.eventually import PATIENCE, eventually_async
from tests.server_process import SERVE, ServerProcess
from tests.serving import BOTH, KEY, free_port
from tests.virtual_time import VirtualClock

pytestmark = pytest.mark.real_time


@attrs.define
class Terminal:
    """A server in a terminal of its own; ``screen`` is what has been written there."""

    server: ServerProcess
    screen: str = ""

    @property
    def port(self) -> int:
        return self.server.port

    async def shows(self, text: str) -> None:
        await eventually_async(lambda: text in self.screen, f"{text} on the screen")

    def press_ctrl_c(self) -> None:
        self.server.send_signal(signal.SIGINT)

    async def ended(self) -> int:
        """The exit code."""
        return await asyncio.to_thread(self.server.wait)

    async def waiting_call(self, session: aiohttp.ClientSession) -> None:
        headers = {"Authorization": f"Bearer {KEY}", "Accept": BOTH}
        response = await session.post(f"{self.server.origin}/mcp", json=SLOW_CALL, headers=headers)
        assert b"queued" in await asyncio.wait_for(response.content.readany(), PATIENCE)


Open = Callable[..., Terminal]


@pytest.fixture
async def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Open]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:

        def start(*arguments: str, limit: int | None = None, **settings: str) -> Terminal:
            controller, line = pty.openpty()
            stack.callback(os.close, controller)
            server = ServerProcess.of(
                tmp_path,
                *(*SERVE, *arguments),
                settings={"TERM": "xterm", **settings},
                stdin=line,
                stdout=line,
                stderr=line,
                before_exec=(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))) if limit else None,
                own_session=True,
            )
            opened = Terminal(stack.enter_context(server))
            os.close(line)

            def read() -> None:
                try:
                    opened.screen += os.read(controller, 1 << 16).decode()
                except OSError:  # the other end is closed
                    loop.remove_reader(controller)

            loop.add_reader(controller, read)
            stack.callback(loop.remove_reader, controller)
            return opened

        yield start


async def test_a_live_server_prints_a_welcome_raises_its_limit_of_open_files_and_stops_on_ctrl_c(
    terminal: Open,
) -> None:
    """Nothing is asked of the network: the catalog's address refuses."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    console = terminal(RUNFLOW_API_URL=nowhere, RUNFLOW_CATALOG_URL=f"{nowhere}/c.json", RUNFLOW_SKILL_URL="")
    await console.shows("Ctrl-C stops the server.")
    assert f"for {nowhere} (runs cost money)" in console.screen
    assert f"{console.server.origin}/mcp" in console.screen
    assert " check " in console.screen
    soft, hard = resource.prlimit(console.server.process.pid, resource.RLIMIT_NOFILE)
    assert soft == (hard if hard != resource.RLIM_INFINITY else UNLIMITED)
    console.press_ctrl_c()
    assert await console.ended() == 0
    await console.shows("stopped")
    assert "\x1b[" in console.screen, "the log is coloured"
    assert "Waiting for" not in console.screen, "no run is in progress"


async def test_ctrl_c_says_which_runs_it_waits_for_and_a_second_one_stops_at_once(
    terminal: Open, session: aiohttp.ClientSession
) -> None:
    console = terminal("--sandbox", MCP_SHUTDOWN_GRACE_MS="60000", NO_COLOR="1")
    await console.shows("Ctrl-C stops the server.")
    await console.waiting_call(session)
    console.press_ctrl_c()
    began = time.monotonic()
    await console.shows("Waiting for 1 run to finish, at most 60 s. Press Ctrl-C again to stop now.")
    assert console.server.exit_code is None
    console.press_ctrl_c()
    assert await console.ended() == 0
    assert time.monotonic() - began < 30  # half of the grace time
    await console.shows("stopped")
    assert "Traceback" not in console.screen
    assert "\x1b" not in console.screen, "NO_COLOR is set"


@pytest.mark.parametrize(
    ("environ", "colors"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({}, True),
    ],
    ids=str,
)
def test_colors_need_a_terminal_and_no_color_unset(environ: dict[str, str], *, colors: bool, tmp_path: Path) -> None:
    controller, line = pty.openpty()
    with os.fdopen(line, "w") as shown, (tmp_path / "file").open("w") as file:
        assert wants_colors(shown, environ) is colors
        assert not wants_colors(file, environ)
    os.close(controller)


async def test_a_server_that_runs_out_of_open_files_logs_it(terminal: Open) -> None:
    console = terminal("--sandbox", limit=64, NO_COLOR="1", MCP_LOG_FORMAT="json")
    await console.shows("Ctrl-C stops the server.")
    await console.shows('"setting":"MCP_MAX_WAITS"')
    opened = [asyncio.open_connection("127.0.0.1", console.port) for _ in range(64)]
    connections = [
        result for result in await asyncio.gather(*opened, return_exceptions=True) if isinstance(result, tuple)
    ]
    await console.shows('"open_files_used_up"')
    assert console.screen.count('"open_files_used_up"') == 1
    for _, writer in connections:
        writer.close()


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
