"""Chromium, driven from tests: ``driver.mjs`` as a process, with a host page that is made of the official parts.

Blocking and without an event loop, so that one browser serves the tests of a whole run.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import orjson

from tests.clients.peer_programs import node_packages
from tests.required_programs import require
from tests.server_process import clean_environment

PINS = Path(__file__).parent
SCRIPTS = ("driver.mjs", "host.html", "host.mjs", "sandbox.html")


@attrs.frozen(eq=False)
class Chromium:
    """A browser with one page. ``origin``: where the host page is served."""

    process: "subprocess.Popen[bytes]"
    origin: str

    def run(self, script: str, **values: object) -> Any:
        """Run the body of an async JavaScript function; see ``driver.mjs`` for the names that it has."""
        assert self.process.stdin is not None
        self.process.stdin.write(orjson.dumps({"script": script, "values": values}) + b"\n")
        self.process.stdin.flush()
        answer = read_line(self.process)
        assert "error" not in answer, answer["error"]
        return answer["value"]


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Start the browser; it is ended with the context."""
    program = require("chromium")
    folder = node_packages("browser", PINS, *SCRIPTS)
    environ = {**clean_environment(), "CHROMIUM": program, "HOME": os.environ.get("HOME", "/tmp")}  # noqa: S108
    process = subprocess.Popen(  # noqa: S603
        [require("node"), str(folder / "driver.mjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ,
    )
    try:
        yield Chromium(process, read_line(process)["origin"])
    finally:
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):  # it ends when its input does
            process.communicate(timeout=10)
        process.kill()
        process.wait()


def read_line(process: "subprocess.Popen[bytes]") -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the browser has ended; its last words are in the output of this test"
    return orjson.loads(line)
