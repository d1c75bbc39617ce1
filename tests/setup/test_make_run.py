"""``make run``: signals reach the server, it stops by itself, and make adds no error."""

import signal
import sys
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.server_process import ServerProcess, clean_environment
from tests.serving import free_port
from tests.setup.fresh_machine import ROOT

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize("how", ["Ctrl-C", "kill of make"])
def test_a_signal_drains_the_server_and_make_reports_no_error(tmp_path: Path, how: str) -> None:
    environ = {name: value for name, value in clean_environment().items() if not name.startswith("MAKE")}
    # The .venv that these tests run in, whatever the age of its lists.
    (tmp_path / ".venv").symlink_to(sys.prefix)
    port = free_port()
    command = ("make", "-f", str(ROOT / "Makefile"), "-o", ".venv/runtime", "run", f"PORT={port}")
    with ServerProcess(command, tmp_path, port, environ, own_session=True) as make:
        make.wait_until_ready()
        eventually(lambda: "rf_live_sandbox" in make.output, "the welcome")
        if how == "Ctrl-C":
            make.signal_session(signal.SIGINT)
        else:
            make.send_signal()
        make.wait()
        assert "stopped" in make.output.splitlines()[-1]
        with pytest.raises(ProcessLookupError):
            make.signal_session(signal.SIGCONT)
