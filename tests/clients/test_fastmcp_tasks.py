"""fastmcp with its tasks extension: a published client that declares the extension and polls tasks by itself."""

import sys
from pathlib import Path

import pytest

from runflow_mcp.methods.inflight import PendingAnswer
from tests.clients.peer_programs import PINS, conversation, python_peer
from tests.methods.recorded_requests import dispatches
from tests.scripted_sandbox import ScriptedSandbox
from tests.serving import KEY, Serve

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="session")
def packages() -> Path:
    return python_peer("fastmcp_tasks")


async def test_runs_as_tasks_take_no_wait_slot(
    serve: Serve, sandbox: ScriptedSandbox, packages: Path, tmp_path: Path
) -> None:
    server = await serve(MCP_MAX_WAITS="1")
    command = (sys.executable, "-S", str(PINS / "tasks_host.py"), server.url, KEY)
    other_call = PendingAnswer(server.services.inflight)
    other_call.acquire_slot("a key")  # every wait slot is taken
    async with conversation(*command, home=tmp_path, PYTHONPATH=str(packages)) as talk:
        met = await talk.receive()
    other_call.release()
    made, failed = sandbox.runs
    assert len(dispatches(sandbox)) == 2
    assert met["id"] == met["result"]["run_id"] == made.id
    assert met["states"] == ["working", "completed"]  # cancelled in between, in vain
    assert met["result"]["status"] == "succeeded"
    assert met["failed"]["error"] is True
    assert met["failed"]["structured"]["error"]["code"] == "run_failed"
    assert met["failed"]["structured"]["error"]["details"]["run_id"] == failed.id
    assert met["failed"]["text"].startswith("[run_failed] ")
