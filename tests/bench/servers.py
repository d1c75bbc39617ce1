"""The servers that are compared, each as a process on the servers' core."""

import http.client
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import orjson

from tests.bench.machine import BenchError, cores, on_core
from tests.bench.rows import ROWS, Request, Row
from tests.server_process import HOST, NO_RATE_LIMITS, ROOT, NotReadyError, ServerProcess, clean_environment
from tests.serving import free_port

#: Seconds within which a server answers after its start.
START_SECONDS = 60
LINE_ON = {"MCP_LOG_LEVEL": "info"}
LINE_OFF = {"MCP_LOG_LEVEL": "warning"}


@attrs.frozen
class Target:
    """A server to measure. ``own_paths``: each row and revision has a path of its own, instead of ``/mcp``."""

    name: str
    process: ServerProcess
    own_paths: bool = False

    @property
    def pid(self) -> int:
        return self.process.process.pid

    def path(self, row: Row, revision: str) -> str:
        return f"/{own_path(row, revision)}" if self.own_paths else "/mcp"

    def url(self, row: Row, revision: str) -> str:
        return f"{self.process.origin}{self.path(row, revision)}"

    def ask(self, row: Row, revision: str) -> bytes:
        """The body of the answer. Raises ``BenchError`` when it is not a result."""
        content = post(self.process.port, self.path(row, revision), row.request(revision))
        answer = orjson.loads(content)
        if "result" not in answer or answer["result"].get("isError"):
            raise BenchError(f"{self.name} does not answer {row.name} in {revision}: {content[:300]!r}")
        return content


def own_path(row: Row, revision: str) -> str:
    return f"{row.slug}-{revision}"


def post(port: int, path: str, request: Request) -> bytes:
    """Send one request. Raises ``BenchError`` unless the status is 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    try:
        connection.request("POST", path, request.body, dict(request.headers))
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise BenchError(f"port {port} answers {path} with {response.status}: {content[:300]!r}")
    return content


def product(
    folder: Path,
    settings: Mapping[str, str],
    tree: Path = ROOT,
    command: tuple[str, ...] = ("serve", "--sandbox"),
    *,
    pin: bool = True,
) -> ServerProcess:
    """The product of a checkout, with its own ``.venv`` where it has one, and rate limits that are never reached."""
    python = tree / ".venv" / "bin" / "python"
    return pinned(
        folder,
        [str(python if python.exists() else sys.executable), "-m", "runflow_mcp", *command],
        {"PYTHONPATH": str(tree), "MCP_LOG_FORMAT": "json", **NO_RATE_LIMITS, **settings},
        pin=pin,
    )


def bare(folder: Path, answers: Path) -> ServerProcess:
    """The reference: constant answers from the files of ``answers``."""
    return pinned(
        folder,
        [sys.executable, "-m", "tests.bench.bare", str(answers)],
        {"PYTHONPATH": str(ROOT)},
        ready_path=None,
    )


def pinned(
    folder: Path, command: list[str], settings: Mapping[str, str], *, pin: bool = True, **options: Any
) -> ServerProcess:
    """A process whose port is in ``MCP_PORT``, on the servers' core unless ``pin`` is false."""
    port = free_port()
    environ = {**clean_environment(), **settings, "MCP_PORT": str(port)}
    if pin:
        options["before_exec"] = on_core(cores()[0])
    return ServerProcess(command, folder, port, environ, stdout=subprocess.DEVNULL, **options)


def redis(folder: Path) -> ServerProcess:
    """A Redis that keeps nothing, on the core of the load. Raises ``BenchError`` where it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        raise BenchError("redis-server is not installed. On Debian and Ubuntu: apt install redis-server")
    port = free_port()
    command = [program, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    environ = clean_environment()
    return ServerProcess(command, folder, port, environ, ready_path=None, before_exec=on_core(cores()[1]))


def knows_setting(name: str) -> bool:
    """Whether this checkout has a setting of this name."""
    command = [sys.executable, "-m", "runflow_mcp", "config"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=clean_environment())  # noqa: S603
    return name in shown.stdout


def wait_until_ready(process: ServerProcess) -> None:
    """``ServerProcess.wait_until_ready`` with more patience, for a machine whose cores are busy."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return process.wait_until_ready()
        except NotReadyError:
            if process.exit_code is not None or time.monotonic() > deadline:
                raise


def settle(target: Target, revisions: tuple[str, ...]) -> None:
    """Return once the catalog and the skill have arrived, which change the answers."""
    for revision in revisions:
        for row in reversed(ROWS):  # list_models waits for the catalog
            target.ask(row, revision)


def keep_answers(target: Target, revisions: tuple[str, ...], folder: Path) -> None:
    """Write the answers for the bare server."""
    for revision in revisions:
        for row in ROWS:
            (folder / own_path(row, revision)).write_bytes(target.ask(row, revision))
