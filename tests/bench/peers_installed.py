"""The peers: installed once in environments of their own, and started with the product's content."""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest

from tests.bench import servers
from tests.bench.machine import BenchError
from tests.bench.rows import LEGACY, MODERN, ROWS, Row
from tests.bench.servers import Target
from tests.clients.peer_programs import node_packages, python_peer
from tests.server_process import ROOT, ServerProcess

PINS = Path(__file__).with_name("peers")
TYPESCRIPT_SCRIPT = "typescript_server.mjs"
INITIALIZE, TOOLS, PROMPTS, *MODELS = ROWS


@attrs.frozen
class Peer:
    """How an installed peer is started."""

    name: str
    command: list[str]
    environ: Mapping[str, str]

    def process(self, folder: Path, content: Path, upstream: str = "", *, streams: bool = False) -> ServerProcess:
        """``content``: a file of ``content_of``. ``upstream``: Runflow's address. ``streams``: answers are streams."""
        environ = {"BENCH_CONTENT": str(content), "BENCH_STREAMS": "1" if streams else "0", "RUNFLOW_API_URL": upstream}
        return servers.pinned(folder, self.command, {**self.environ, **environ}, ready_path=None)


def install_python_sdk() -> Peer:
    return _python("python sdk", "python_sdk")


def install_fastmcp() -> Peer:
    return _python("fastmcp", "fastmcp")


def install_typescript() -> Peer:
    folder = _or_error(lambda: node_packages("bench_node", PINS, TYPESCRIPT_SCRIPT))
    return Peer("typescript", [shutil.which("node") or "node", str(folder / TYPESCRIPT_SCRIPT)], {})


INSTALL = (install_python_sdk, install_fastmcp, install_typescript)


def _python(name: str, module: str) -> Peer:
    packages = _or_error(lambda: python_peer(module, PINS))
    # Not the interpreter of .venv, which would find the packages of the tests too.
    python = getattr(sys, "_base_executable", sys.executable)
    command = [python, "-m", f"tests.bench.peers.{module}_server"]
    return Peer(name, command, {"PYTHONPATH": f"{packages}:{ROOT}"})


def _or_error(install: Callable[[], Path]) -> Path:
    """What ``install`` returns. It speaks to pytest, which is not running here: raises ``BenchError`` instead."""
    try:
        return install()
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        raise BenchError(str(error.msg)) from None


def content_of(product: Target) -> bytes:
    """What the peers have to answer, taken from the product's own answers."""
    return orjson.dumps(
        {
            "instructions": _result(product, INITIALIZE, LEGACY)["instructions"],
            "tools": _result(product, TOOLS, LEGACY)["tools"],
            "prompts": _result(product, PROMPTS, LEGACY)["prompts"],
            "list_models": {
                str(row.params["arguments"]["limit"]): _result(product, row, LEGACY)["structuredContent"]
                for row in MODELS
            },
        }
    )


def differences(one: Target, other: Target, revision: str) -> list[str]:
    """The rows whose answers do not have the same content."""
    return [
        row.name for row in ROWS if _content(_result(one, row, revision)) != _content(_result(other, row, revision))
    ]


def answers_modern(target: Target) -> bool:
    """Whether a server knows the revision 2026-07-28."""
    try:
        return MODERN in _result(target, INITIALIZE, MODERN).get("supportedVersions", [])
    except BenchError:
        return False


def _result(target: Target, row: Row, revision: str) -> Any:
    return orjson.loads(target.ask(row, revision))["result"]


def _content(result: Any) -> Any:
    """What a client gets from a result, without what servers say about themselves and what each adds to lists."""
    return {
        "instructions": result.get("instructions"),
        "tools": [(tool["name"], tool["description"], tool["inputSchema"]) for tool in result.get("tools", [])],
        "prompts": sorted(
            (prompt["name"], prompt["description"], [argument["name"] for argument in prompt["arguments"]])
            for prompt in result.get("prompts", [])
        ),
        "structured": result.get("structuredContent"),
        "text": [orjson.loads(block["text"]) for block in result.get("content", [])],
    }
