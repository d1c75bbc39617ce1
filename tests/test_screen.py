"""What commands show on a terminal: colours and a bar there, plain lines elsewhere. The terminal is a real one."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.server_process import ROOT, ServerProcess, clean_environment
from tests.serving import KEY, MODEL, free_port, upstream_settings

pytestmark = pytest.mark.real_time

COLOR = re.compile(r"\x1b\[[0-9;]+m")
BAR = "━━━"


def shown_on_a_terminal(folder: Path, *arguments: str, **environ: str) -> str:
    """What a command writes to a terminal, with all that moves its cursor."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "runflow_mcp", *arguments]
    environ = {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", **environ}
    inherited = {name: value for name, value in clean_environment().items() if name != "NO_COLOR"}
    written = b""
    with subprocess.Popen(  # noqa: S603 - this project's own command
        command, env={**inherited, **environ}, cwd=folder, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        with suppress(OSError):  # how Linux ends a terminal
            while part := os.read(controller, 65536):
                written += part
        os.close(controller)
        assert process.wait(20) == 0, written
    return written.decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    port = str(free_port())
    simulation = ("runflow_mcp", "sandbox", "--port", port, "--speed", "4")
    sandbox = ServerProcess.of(folder, *simulation, settings={"MCP_PORT": port}, ready_path="/v1/health")
    serving = ServerProcess.of(folder, settings=upstream_settings(sandbox.origin))
    with sandbox, serving:
        for process in (sandbox, serving):
            process.wait_until_ready()
        yield serving


def check(server: ServerProcess, folder: Path, **environ: str) -> str:
    run = ("--generate", MODEL, '{"prompt": "a lighthouse"}')
    return shown_on_a_terminal(folder, "check", f"{server.origin}/mcp", "--key", KEY, *run, **environ)


def test_a_run_has_a_bar_and_every_step_a_coloured_line(server: ServerProcess, tmp_path: Path) -> None:
    text = check(server, tmp_path)
    assert BAR in COLOR.sub("", text)
    assert re.search(r"     queued, 0 s \(run \S+ client_ref \S+\)\r\n", text), "the run's name stays on the screen"
    steps = re.findall(r"\x1b\[32mok   (\S+) \(\d+ ms\):\x1b\[0m", text)
    assert steps[0] == "connect"
    assert steps[-1] == "generate"
    assert re.search(r"http://\S+\.png", COLOR.sub("", text))


def test_no_color_leaves_the_bar_and_no_colour(server: ServerProcess, tmp_path: Path) -> None:
    text = check(server, tmp_path, NO_COLOR="1")
    assert BAR in text
    assert not COLOR.search(text)


def test_a_terminal_that_can_only_print_gets_plain_lines(server: ServerProcess, tmp_path: Path) -> None:
    text = check(server, tmp_path, TERM="dumb")
    assert "\x1b" not in text
    assert "     queued, 0 s" in text


@pytest.mark.parametrize("command", ["config", "connect"])
def test_other_commands_are_coloured_unless_no_color_is_set(tmp_path: Path, command: str) -> None:
    arguments = [command, "codex"] if command == "connect" else [command]
    colored = shown_on_a_terminal(tmp_path, *arguments)
    plain = shown_on_a_terminal(tmp_path, *arguments, NO_COLOR="1")
    assert COLOR.search(colored)
    assert "\x1b" not in plain
    assert COLOR.sub("", colored) == plain


def test_an_empty_no_color_counts_as_unset(tmp_path: Path) -> None:
    assert COLOR.search(shown_on_a_terminal(tmp_path, "config", NO_COLOR=""))
