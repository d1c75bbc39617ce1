"""``tools/list`` and ``tools/call``: two tools, always the same bytes, and malformed calls."""

from typing import Any

import pytest

from tests.methods.schema_check import is_schema
from tests.serving import Server


def by_name(tools: list[Any], name: str) -> Any:
    [tool] = [tool for tool in tools if tool["name"] == name]
    return tool


async def test_there_are_two_tools_in_one_order(server: Server) -> None:
    first, second = await server.rpc("tools/list"), await server.rpc("tools/list", key="rf_live_other")
    assert [tool["name"] for tool in first.result["tools"]] == ["generate", "list_models"]
    assert first.content == second.content


async def test_each_tool_has_a_description_and_schemas(server: Server) -> None:
    for tool in (await server.rpc("tools/list")).result["tools"]:
        assert tool["title"]
        assert tool["description"]
        for schema in (tool["inputSchema"], tool["outputSchema"]):
            assert is_schema(schema)
            assert "$schema" not in schema
            assert schema["type"] == "object"
        assert tool["inputSchema"]["additionalProperties"] is False
        assert "required" not in tool["outputSchema"]
        assert "error" in tool["outputSchema"]["properties"]


#: What every converter of tool definitions reads (OpenAI, Gemini, zod) and what means the same in every draft.
PORTABLE = {
    "type",
    "description",
    "properties",
    "required",
    "additionalProperties",
    "enum",
    "default",
    "minimum",
    "maximum",
    "maxLength",
    "pattern",
}


async def test_the_input_schemas_use_what_every_client_reads(server: Server) -> None:
    for tool in (await server.rpc("tools/list")).result["tools"]:
        whole = tool["inputSchema"]
        for schema in (whole, *whole["properties"].values()):
            assert set(schema) <= PORTABLE
            assert isinstance(schema["type"], str)
        # A converter that drops what no schema names would otherwise send an empty input.
        assert whole["properties"].get("input", {}).get("additionalProperties", True) is True


@pytest.mark.parametrize("schema", ["inputSchema", "outputSchema"])
async def test_the_schemas_mean_the_same_in_draft_07_and_2020_12(server: Server, schema: str) -> None:
    def keywords(value: Any) -> set[str]:
        if not isinstance(value, dict):
            return set()
        inner_schemas = [*value.get("properties", {}).values(), value.get("items")]
        return set(value) | {word for schema in inner_schemas for word in keywords(schema)}

    for tool in (await server.rpc("tools/list")).result["tools"]:
        assert keywords(tool[schema]) <= PORTABLE | {"items"}


async def test_the_annotations_are_the_promised_ones(server: Server) -> None:
    tools = (await server.rpc("tools/list")).result["tools"]
    generate, list_models = (by_name(tools, name)["annotations"] for name in ("generate", "list_models"))
    assert (generate["readOnlyHint"], generate["idempotentHint"], generate["openWorldHint"]) == (False, False, True)
    assert (list_models["readOnlyHint"], list_models["idempotentHint"]) == (True, True)


async def test_the_arguments_are_the_promised_ones(server: Server) -> None:
    tools = (await server.rpc("tools/list")).result["tools"]
    generate, list_models = (by_name(tools, name)["inputSchema"] for name in ("generate", "list_models"))
    assert set(generate["properties"]) == {"model", "input", "wait", "client_ref"}
    assert generate["required"] == ["model", "input"]
    assert generate["properties"]["wait"]["default"] is True
    assert set(list_models["properties"]) == {"category", "provider", "query", "limit"}
    assert list_models["properties"]["limit"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}


async def test_the_description_of_client_ref_says_what_a_retry_needs(server: Server) -> None:
    generate = by_name((await server.rpc("tools/list")).result["tools"], "generate")
    description = generate["inputSchema"]["properties"]["client_ref"]["description"]
    assert "same value" in description
    assert "new run" in description


@pytest.mark.parametrize(
    "params",
    [
        {"name": "paint", "arguments": {}},
        {"name": "Generate", "arguments": {}},
        {"name": "", "arguments": {}},
        {"name": None, "arguments": {}},
        {"name": ["generate"]},
        {"arguments": {}},
        {"name": "generate", "arguments": "{}"},
        {"name": "generate", "arguments": []},
        {},
        None,
    ],
    ids=str,
)
async def test_a_malformed_call_is_invalid_params(server: Server, params: object) -> None:
    answer = await server.rpc("tools/call", params, accept="application/json, text/event-stream")
    assert answer.status == 200
    assert answer.error["code"] == -32602
    assert answer.json["id"] == 1


@pytest.mark.parametrize("params", [{"name": "list_models"}, {"name": "list_models", "arguments": None}], ids=str)
async def test_arguments_may_be_left_out(server: Server, params: object) -> None:
    assert (await server.rpc("tools/call", params)).structured["total"] > 0


async def test_only_the_beginning_of_an_unknown_tool_name_is_repeated(server: Server) -> None:
    error = (await server.rpc("tools/call", {"name": "\x1b[31m" + "x" * 200_000})).error
    assert error["code"] == -32602
    assert len(error["message"]) < 200
    assert error["message"].isprintable()
