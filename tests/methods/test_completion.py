"""Completion of a prompt's arguments that take one of a few values."""

from typing import Any

import pytest

from tests.methods.scripted_catalogs import entry, script
from tests.scripted_sandbox import ScriptedSandbox
from tests.serving import Answer, Serve, Server

REF = {"type": "ref/prompt", "name": "smart-resize"}


async def complete(server: Server, argument: object, ref: object = REF) -> Answer:
    return await server.rpc("completion/complete", {"ref": ref, "argument": argument})


async def values(server: Server, name: str, typed: str, ref: object = REF) -> Any:
    return (await complete(server, {"name": name, "value": typed}, ref)).result["completion"]


@pytest.mark.parametrize(
    ("name", "typed", "expected"),
    [
        ("resolution", "", ["1K", "2K", "4K"]),
        ("resolution", "2", ["2K"]),
        ("resolution", "4k", ["4K"]),
        ("resolution", "8", []),
        ("aspect_ratio", "1", ["1:1", "16:9"]),
        ("image_url", "http", []),
        ("unheard_of", "", []),
    ],
)
async def test_values_start_with_what_was_typed(server: Server, name: str, typed: str, expected: list[str]) -> None:
    assert await values(server, name, typed) == {"values": expected, "total": len(expected), "hasMore": False}


async def test_the_prompt_may_carry_the_servers_prefix(server: Server) -> None:
    ref = {"type": "ref/prompt", "name": "runflow:smart-resize"}
    assert (await values(server, "resolution", "1", ref))["values"] == ["1K"]


async def test_no_more_than_a_hundred_values_are_shown(serve: Serve, sandbox: ScriptedSandbox) -> None:
    allowed = [f"v{number:03}" for number in range(150)]
    script(sandbox, entry("runflow/many", inputs=[{"name": "v", "type": "string", "enum": allowed}]))
    shown = await values(await serve(), "v", "v", {"type": "ref/prompt", "name": "many"})
    assert shown == {"values": allowed[:100], "total": 150, "hasMore": True}


async def test_values_that_are_not_strings_are_completed_as_json(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(sandbox, entry("runflow/odd", inputs=[{"name": "v", "type": "boolean", "enum": [True, 2, 1.5]}]))
    shown = await values(await serve(), "v", "", {"type": "ref/prompt", "name": "odd"})
    assert shown["values"] == ["true", "2", "1.5"]


@pytest.mark.parametrize(
    "params",
    [
        {"ref": {"type": "ref/prompt", "name": "unheard-of"}, "argument": {"name": "v", "value": ""}},
        {"ref": {"type": "ref/resource", "uri": "file:///x"}, "argument": {"name": "v", "value": ""}},
        {"ref": {"type": "ref/prompt"}, "argument": {"name": "v", "value": ""}},
        {"ref": "smart-resize", "argument": {"name": "v", "value": ""}},
        {"ref": REF, "argument": {"name": "v"}},
        {"ref": REF, "argument": {"name": 1, "value": ""}},
        {"ref": REF, "argument": []},
        {"ref": REF},
        {},
    ],
    ids=str,
)
async def test_params_of_another_shape_are_invalid_params(server: Server, params: object) -> None:
    answer = await server.rpc("completion/complete", params)
    assert answer.status == 200
    assert answer.error["code"] == -32602
