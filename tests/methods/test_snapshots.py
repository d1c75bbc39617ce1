"""What every client reads first, as reviewed files; ``UPDATE_SNAPSHOTS=1`` rewrites them."""

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.serving import Server

FOLDER = Path(__file__).parents[1] / "snapshots"
#: Characters of what a client puts into every conversation: the tools and the instructions.
BUDGET = 12_000

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "tools-list": ("tools/list", {}),
    "prompts-list": ("prompts/list", {}),
    "initialize": ("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}}),
}


async def result_of(server: Server, method: str, params: dict[str, Any]) -> Any:
    await server.services.clock.sleep(1)  # the live skill has come by then
    result = (await server.rpc(method, params)).result
    if "serverInfo" in result:
        result["serverInfo"]["version"] = "<version>"
    return result


def assert_reviewed(name: str, result: Any) -> None:
    file = FOLDER / f"{name}.json"
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        file.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    assert result == orjson.loads(file.read_bytes()), "UPDATE_SNAPSHOTS=1 rewrites the snapshots; review the diff"


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_clients_read_is_what_was_reviewed(server: Server, name: str) -> None:
    result = await result_of(server, *REQUESTS[name])
    assert_reviewed(name, result)


async def test_what_modern_clients_discover_is_what_was_reviewed(server: Server) -> None:
    await server.services.clock.sleep(1)
    result = (await server.modern("server/discover")).result
    result["_meta"]["io.modelcontextprotocol/serverInfo"]["version"] = "<version>"
    assert_reviewed("discover", result)


async def test_tools_and_instructions_stay_within_their_budget(server: Server) -> None:
    tools = await result_of(server, *REQUESTS["tools-list"])
    instructions = (await result_of(server, *REQUESTS["initialize"]))["instructions"]
    assert len(orjson.dumps(tools)) + len(instructions) <= BUDGET
