"""What commands show on a terminal: colours and a bar there, plain lines elsewhere. The terminal is a real one."""

import asyncio
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from runflow_mcp.cli import main as cli
from tests.eventually import PATIENCE
from tests.scripted_sandbox import ScriptedSandbox
from tests.server_process import ROOT, clean_environment
from tests.serving import KEY, MODEL, Server
from tests.virtual_time import VirtualClock

pytestmark = pytest.mark.real_time

COLOR = re.compile(r"\x1b\[[0-9;]+m")
BAR = "━━━"


def shown_on_a_terminal(folder: Path, *arguments: str, **environ: str) -> str:
    """What a command writes to a terminal, with all that moves its cursor."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "runflow_mcp", *arguments]
    environ = {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", **environ}
    inherited = {name: value for name, value in clean_environment().items() if name != "NO_COLOR"}
    with subprocess.Popen(  # noqa: S603 - this project's own command
        command, env={**inherited, **environ}, cwd=folder, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        written = read_to_the_end(controller)
        assert process.wait(PATIENCE) == 0, written
    return written


def read_to_the_end(controller: int) -> str:
    """What is written to a terminal until its last writer has closed it."""
    written = b""
    with suppress(OSError):  # how Linux ends a terminal
        while part := os.read(controller, 65536):
            written += part
    os.close(controller)
    return written.decode()


@pytest.fixture
def sandbox(clock: VirtualClock) -> ScriptedSandbox:
    """Runs take 1 to 1.5 s, so that the first poll, after 2 s, finds them ended."""
    return ScriptedSandbox(clock=clock, speed=4)


async def check(server: Server, folder: Path, **environ: str) -> str:
    """What ``check`` shows in a process of its own, while this one serves."""
    run = ("--generate", MODEL, '{"prompt": "a lighthouse"}')
    command = ("check", f"{server.origin}/mcp", "--key", KEY, *run)
    return await asyncio.to_thread(partial(shown_on_a_terminal, folder, *command, **environ))


async def test_a_run_has_a_bar_and_every_step_a_coloured_line(server: Server, tmp_path: Path) -> None:
    text = await check(server, tmp_path)
    assert BAR in COLOR.sub("", text)
    assert re.search(r"     queued, 0 s \(run \S+ client_ref \S+\)\r\n", text), "the run's name stays on the screen"
    steps = re.findall(r"\x1b\[32mok   (\S+) \(\d+ ms\):\x1b\[0m", text)
    assert steps[0] == "connect"
    assert steps[-1] == "generate"
    assert re.search(r"http://\S+\.png", COLOR.sub("", text))


async def test_no_color_leaves_the_bar_and_no_colour(server: Server, tmp_path: Path) -> None:
    text = await check(server, tmp_path, NO_COLOR="1")
    assert BAR in text
    assert not COLOR.search(text)


async def test_a_terminal_that_can_only_print_gets_plain_lines(server: Server, tmp_path: Path) -> None:
    text = await check(server, tmp_path, TERM="dumb")
    assert "\x1b" not in text
    assert "     queued, 0 s" in text


Main = Callable[..., str]


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Main:
    """Run a command in this process, its standard streams on a terminal; what it has written there."""
    for name in {*(set(os.environ) - set(clean_environment())), "NO_COLOR"}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environ: str) -> str:
        controller, terminal = pty.openpty()
        with ThreadPoolExecutor(1) as threads, monkeypatch.context() as patch:
            written = threads.submit(read_to_the_end, controller)
            with os.fdopen(terminal, "w", encoding="utf-8") as stream:
                patch.setattr(sys, "stdout", stream)
                patch.setattr(sys, "stderr", stream)
                for name, value in environ.items():
                    patch.setenv(name, value)
                assert cli.main(arguments) == 0
            return written.result(PATIENCE)

    return run


@pytest.mark.parametrize("command", ["config", "connect codex"])
def test_other_commands_are_coloured_unless_no_color_is_set(on_a_terminal: Main, command: str) -> None:
    colored, plain = on_a_terminal(*command.split()), on_a_terminal(*command.split(), NO_COLOR="1")
    assert COLOR.search(colored)
    assert "\x1b" not in plain
    assert COLOR.sub("", colored) == plain
    assert on_a_terminal(*command.split(), NO_COLOR="") == colored, "an empty value counts as unset"
