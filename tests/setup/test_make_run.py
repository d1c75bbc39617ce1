"""``make run``: signals reach the server, it stops by itself, and make adds no error."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.eventually import PATIENCE
from tests.serving import free_port
from tests.setup.fresh_machine import ROOT

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize("how", ["Ctrl-C", "kill of make"])
def test_a_signal_drains_the_server_and_make_reports_no_error(tmp_path: Path, how: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MCP_", "RUNFLOW_", "MAKE"))}
    # The .venv that these tests run in, whatever the age of its lists.
    (tmp_path / ".venv").symlink_to(sys.prefix)
    command = ("make", "-f", str(ROOT / "Makefile"), "-o", ".venv/runtime", "run", f"PORT={free_port()}")
    output = tmp_path / "output"
    with output.open("w") as written:
        make = subprocess.Popen(  # noqa: S603 - our own Makefile
            command, cwd=tmp_path, env=environ, stdout=written, stderr=written, start_new_session=True
        )
    try:
        wait_for(lambda: "rf_live_sandbox" in output.read_text(), make)
        if how == "Ctrl-C":
            os.killpg(make.pid, signal.SIGINT)  # as a terminal does
        else:
            make.terminate()
        make.wait(PATIENCE)
        assert "stopped" in output.read_text().splitlines()[-1]
        with pytest.raises(ProcessLookupError):  # nobody is left of them
            os.killpg(make.pid, 0)
    finally:
        end(make)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, "make has ended"
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.05)


def end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of it running, whatever happened."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
