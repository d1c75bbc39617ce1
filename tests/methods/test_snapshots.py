"""What every client reads first, as reviewed files: one for each tool, the prompts and the two handshakes."""

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from runflow_mcp.methods.router import TOOLS
from tests.serving import Server

FOLDER = Path(__file__).parents[1] / "snapshots"
UPDATE = "UPDATE_SNAPSHOTS=1 .venv/bin/python -m pytest tests/methods/test_snapshots.py"
#: Characters of what a client puts into every conversation: the tools and the instructions.
BUDGET = 12_000

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "prompts-list": ("prompts/list", {}),
    "initialize": ("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}}),
}


async def result_of(server: Server, method: str, params: dict[str, Any]) -> Any:
    await server.services.clock.sleep(1)  # the live skill has arrived by then
    result = (await server.rpc(method, params)).result
    if "serverInfo" in result:
        result["serverInfo"]["version"] = "<version>"
    return result


def assert_reviewed(name: str, result: Any) -> None:
    file = FOLDER / f"{name}.json"
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        file.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    assert file.exists(), f"{file} is missing; write it with {UPDATE} and review it"
    assert result == orjson.loads(file.read_bytes()), f"{file} differs; rewrite it with {UPDATE} and review the diff"


@pytest.mark.parametrize("position", range(len(TOOLS)), ids=[tool.name for tool in TOOLS])
async def test_a_tool_is_listed_as_it_was_reviewed(server: Server, position: int) -> None:
    tools = (await server.rpc("tools/list")).result["tools"]
    assert len(tools) == len(TOOLS)
    assert_reviewed(f"tool-{TOOLS[position].name}", tools[position])


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_result_that_clients_read_first_is_as_it_was_reviewed(server: Server, name: str) -> None:
    assert_reviewed(name, await result_of(server, *REQUESTS[name]))


async def test_the_result_of_server_discover_is_as_it_was_reviewed(server: Server) -> None:
    await server.services.clock.sleep(1)
    result = (await server.modern("server/discover")).result
    result["_meta"]["io.modelcontextprotocol/serverInfo"]["version"] = "<version>"
    assert_reviewed("discover", result)


async def test_tools_and_instructions_stay_within_their_budget(server: Server) -> None:
    tools = (await server.rpc("tools/list")).result
    instructions = (await result_of(server, *REQUESTS["initialize"]))["instructions"]
    assert len(orjson.dumps(tools)) + len(instructions) <= BUDGET
