"""Older clients, and one that reads every link: a waiting generate returns its result to each of them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.peer_programs import PINS, conversation, python_peer
from tests.clients.typescript_host import TypeScriptHost
from tests.methods.recorded_requests import dispatches
from tests.scripted_sandbox import ScriptedSandbox
from tests.serving import KEY, Server

pytestmark = pytest.mark.real_time


async def python_host(name: str, script: str, server: Server, home: Path) -> Any:
    """What the host printed. It runs without the site's packages, among which there is another SDK."""
    command = (sys.executable, "-S", str(PINS / script), server.url, KEY)
    async with conversation(*command, home=home, PYTHONPATH=str(python_peer(name))) as talk:
        return await talk.receive()


async def test_the_python_sdk_of_2025_03_26_gets_a_result_as_text(
    server: Server, sandbox: ScriptedSandbox, tmp_path: Path
) -> None:
    met = await python_host("python_sdk_1_9", "python_sdk_1_9.py", server, tmp_path)
    assert met["version"] == "2025-03-26"
    assert {block["type"] for block in met["result"]["content"]} == {"text"}
    assert json.loads(met["result"]["content"][0]["text"])["status"] == "succeeded"
    assert len(dispatches(sandbox)) == 1


async def test_the_typescript_sdk_of_2025_03_26_gets_a_result_as_text(
    server: Server, sandbox: ScriptedSandbox, typescript: TypeScriptHost
) -> None:
    met = await typescript.seen("error", sdk="v1.11", era="legacy", url=server.url, key=KEY)
    assert "error" not in met, met
    assert {block["type"] for block in met["result"]["content"]} == {"text"}
    assert json.loads(met["result"]["content"][0]["text"])["status"] == "succeeded"
    assert len(dispatches(sandbox)) == 1


async def test_pydantic_ai_reads_every_link_of_a_result(
    server: Server, sandbox: ScriptedSandbox, tmp_path: Path
) -> None:
    met = await python_host("pydantic_ai", "pydantic_ai_host.py", server, tmp_path)
    [run] = sandbox.runs
    assert run.id in json.dumps(met["result"])
    assert len(dispatches(sandbox)) == 1
