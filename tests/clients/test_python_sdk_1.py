"""The Python SDK before 2.0, which many hosts still use."""

import sys
from pathlib import Path
from typing import Any

import pytest

from runflow_mcp.protocol.revisions import LATEST_LEGACY
from tests.clients.peer_programs import PINS, python_peer, talking
from tests.serving import KEY, Server

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="session")
def packages() -> Path:
    return python_peer("python_sdk_1")


async def seen(server: Server, packages: Path, home: Path, step: str) -> Any:
    """What the host saw in a step. It runs without the site's packages, among which there is another SDK."""
    script = str(PINS / "python_sdk_1.py")
    async with talking(
        sys.executable, "-S", script, server.url, KEY, step, home=home, PYTHONPATH=str(packages)
    ) as talk:
        return await talk.hear()


async def test_connecting_and_what_there_is(server: Server, packages: Path, tmp_path: Path) -> None:
    met = await seen(server, packages, tmp_path, "meet")
    assert (met["server"], met["version"]) == ("Runflow", LATEST_LEGACY)
    assert "client_ref" in met["instructions"]
    assert met["tools"] == ["generate", "list_models"]
    assert met["found"]["total"] == len(met["prompts"])
    assert '"model": "runflow/smart-resize"' in met["prompt"]
    assert met["values"] == ["2K"]


async def test_a_run_with_progress_and_an_error_that_keeps_its_envelope(
    server: Server, packages: Path, tmp_path: Path
) -> None:
    met = await seen(server, packages, tmp_path, "run")
    assert met["result"]["structuredContent"]["status"] == "succeeded"
    told = [one["progress"] for one in met["told"]]
    assert len(told) > 1
    assert told == sorted(set(told))
    assert met["refused"]["isError"] is True
    assert met["refused"]["structuredContent"]["error"]["code"] == "model_not_found"
