"""mcp-remote, the bridge for hosts that only start local programs; driven as such a host does, over stdio."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.clients.peer_programs import Conversation, conversation, node_peers
from tests.required_programs import require
from tests.serving import INPUT, KEY, MODEL, Server

pytestmark = pytest.mark.real_time


@attrs.define
class Host:
    """The host's side of the pipe."""

    talk: Conversation
    notifications: list[Any] = attrs.field(factory=list)
    _ids: int = 0

    async def ask(self, method: str, **params: Any) -> Any:
        """The result of a request; notifications before it are kept."""
        self._ids += 1
        await self.talk.send({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params})
        while "id" not in (message := await self.talk.receive()):
            self.notifications.append(message)
        assert message["id"] == self._ids
        return message["result"]


@pytest.fixture(scope="session")
def bridge() -> Path:
    return node_peers() / "node_modules" / "mcp-remote" / "dist" / "proxy.js"


@pytest.fixture
async def host(bridge: Path, server: Server, tmp_path: Path) -> AsyncIterator[Host]:
    command = (require("node"), str(bridge), server.url, "--header", "Authorization:Bearer ${RUNFLOW_API_KEY}")
    async with conversation(*command, home=tmp_path, RUNFLOW_API_KEY=KEY) as talk:
        yield Host(talk)


async def test_a_host_behind_the_bridge_lists_runs_and_reads_errors(host: Host) -> None:
    client = {"name": "host", "version": "0"}
    greeting = await host.ask("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
    assert greeting["protocolVersion"] == "2025-06-18"
    assert greeting["serverInfo"]["name"] == "Runflow"
    await host.talk.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert [tool["name"] for tool in (await host.ask("tools/list"))["tools"]] == ["generate", "list_models"]
    assert (await host.ask("prompts/list"))["prompts"]
    found = await host.ask("tools/call", name="list_models", arguments={"query": "nano-banana-2"})
    assert found["structuredContent"]["models"][0]["model"] == MODEL
    made = await host.ask(
        "tools/call", name="generate", arguments={"model": MODEL, "input": INPUT}, _meta={"progressToken": "t"}
    )
    assert made["structuredContent"]["status"] == "succeeded"
    assert {notification["method"] for notification in host.notifications} == {"notifications/progress"}
    assert {notification["params"]["progressToken"] for notification in host.notifications} == {"t"}
    figures = [notification["params"]["progress"] for notification in host.notifications]
    assert len(figures) > 1
    assert figures == sorted(set(figures))
    refused = await host.ask("tools/call", name="generate", arguments={"model": "no/such-model", "input": {}})
    assert refused["structuredContent"]["error"]["code"] == "model_not_found"
