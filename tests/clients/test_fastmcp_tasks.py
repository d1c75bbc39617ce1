"""fastmcp with its tasks extension: a published client that declares the extension and polls tasks by itself."""

import sys
from pathlib import Path
from typing import Any

import pytest

from runflow_mcp.sandbox import Sandbox
from tests.clients.processes import PINS, python_peer, talking
from tests.methods.seen import dispatches, polls
from tests.serving import KEY, MODEL, Serve, Server

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="session")
def packages() -> Path:
    """What the extension needs beside fastmcp, which is installed with the tests."""
    return python_peer("fastmcp_tasks")


async def seen(server: Server, packages: Path, home: Path, step: str, model: str = MODEL) -> Any:
    """What the host saw in a step."""
    command = (sys.executable, str(PINS / "tasks_host.py"), server.url, KEY, step, model)
    async with talking(*command, home=home, PYTHONPATH=str(packages)) as talk:
        return await talk.hear()


async def test_a_call_is_driven_to_its_end_as_a_task(
    serve: Serve, sandbox: Sandbox, packages: Path, tmp_path: Path
) -> None:
    server = await serve(MCP_MAX_WAITS="1")
    async with server.services.waits.hold(server.services.clock.monotonic() + 60):  # a full house
        met = await seen(server, packages, tmp_path, "call")
    assert met["error"] is False
    assert met["structured"]["status"] == "succeeded"
    assert len(dispatches(sandbox)) == 1
    assert len(polls(sandbox)) > 1


async def test_a_failed_run_keeps_its_envelope(server: Server, packages: Path, tmp_path: Path) -> None:
    met = await seen(server, packages, tmp_path, "call", "sandbox/failing")
    assert met["error"] is True
    assert met["structured"]["error"]["code"] == "run_failed"
    assert met["text"].startswith("[run_failed] ")


async def test_a_task_in_hand_is_asked_for_and_cancelled_in_vain(
    server: Server, sandbox: Sandbox, packages: Path, tmp_path: Path
) -> None:
    met = await seen(server, packages, tmp_path, "handle")
    [run] = sandbox.runs
    assert met["id"] == run.id
    assert met["states"] == ["working", "completed"]
    assert met["structured"]["run_id"] == run.id
