"""The Python SDK before 2.0, which many hosts still use."""

import sys
from pathlib import Path

import pytest

from runflow_mcp.protocol.revisions import LATEST_LEGACY
from tests.clients.peer_programs import PINS, conversation, python_peer
from tests.serving import KEY, Server

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="session")
def packages() -> Path:
    return python_peer("python_sdk_1")


async def test_a_host_on_the_older_sdk_lists_runs_with_progress_and_reads_errors(
    server: Server, packages: Path, tmp_path: Path
) -> None:
    script = str(PINS / "python_sdk_1.py")
    # Without the site's packages, among which there is another SDK.
    command = (sys.executable, "-S", script, server.url, KEY, "meet", "run", "read")
    async with conversation(*command, home=tmp_path, PYTHONPATH=str(packages)) as talk:
        met, ran, read = await talk.receive(), await talk.receive(), await talk.receive()
    assert (met["server"], met["version"]) == ("Runflow", LATEST_LEGACY)
    assert "client_ref" in met["instructions"]
    assert met["tools"] == ["generate", "list_models"]
    assert met["found"]["total"] == len(met["prompts"])
    assert '"model": "runflow/smart-resize"' in met["prompt"]
    assert met["values"] == ["2K"]
    assert ran["result"]["structuredContent"]["status"] == "succeeded"
    progress = [notification["progress"] for notification in ran["progress"]]
    assert len(progress) > 1
    assert progress == sorted(set(progress))
    assert ran["refused"]["isError"] is True
    assert ran["refused"]["structuredContent"]["error"]["code"] == "model_not_found"
    assert "skill://runflow/SKILL.md" in read["resources"]
    assert read["templates"] == ["runflow-model://{provider}/{+slug}", "runflow-run://{run_id}"]
    assert read["read"] == read["asked"]
    assert [text[:1] for text in read["texts"]] == ["-", "{", "{"]
