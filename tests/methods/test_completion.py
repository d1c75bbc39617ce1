"""Completion of a prompt's arguments that take one of a few values, and of the variables of resource templates."""

from typing import Any

import pytest

from tests.methods.scripted_catalogs import entry, script
from tests.scripted_sandbox import Respond, Route, ScriptedSandbox
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
        {"ref": {"type": "ref/resource", "uri": "skill://runflow/SKILL.md"}, "argument": {"name": "v", "value": ""}},
        {"ref": {"type": "ref/resource", "uri": ["runflow-run://{run_id}"]}, "argument": {"name": "v", "value": ""}},
        {"ref": {"type": "ref/resource", "name": "model"}, "argument": {"name": "provider", "value": ""}},
        {"ref": {"type": "ref/tool", "name": "generate"}, "argument": {"name": "model", "value": ""}},
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
async def test_completion_params_of_another_shape_are_invalid_params(server: Server, params: object) -> None:
    answer = await server.rpc("completion/complete", params)
    assert answer.status == 200
    assert answer.error["code"] == -32602


# Variables of templates

MODEL = {"type": "ref/resource", "uri": "runflow-model://{provider}/{+slug}"}
RUN = {"type": "ref/resource", "uri": "runflow-run://{run_id}"}


async def variable(server: Server, name: str, typed: str, *, ref: object = MODEL, **given: object) -> Any:
    params = {"ref": ref, "argument": {"name": name, "value": typed}, "context": {"arguments": given}}
    return (await server.rpc("completion/complete", params)).result["completion"]["values"]


async def test_providers_are_completed_with_solutions_first(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(sandbox, entry("google/a"), entry("openai/b"), entry("google/c"), entry("runflow/d"), entry("goo/e"))
    server = await serve()
    assert await variable(server, "provider", "") == ["runflow", "google", "openai", "goo"]
    assert await variable(server, "provider", "GOO") == ["google", "goo"]
    assert await variable(server, "provider", "x") == []


async def test_slugs_are_completed_for_the_provider_that_was_given(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(sandbox, entry("acme/one"), entry("acme/one/pro"), entry("other/one"), entry("other/two"))
    server = await serve()
    assert await variable(server, "slug", "one", provider="acme") == ["one", "one/pro"]
    assert await variable(server, "slug", "", provider="other") == ["one", "two"]
    assert await variable(server, "slug", "", provider="nobody") == []
    assert await variable(server, "slug", "") == ["one", "one/pro", "two"]
    assert await variable(server, "slug", "", provider=5) == ["one", "one/pro", "two"]


async def test_a_completed_uri_can_be_read(server: Server) -> None:
    for provider in await variable(server, "provider", ""):
        for slug in await variable(server, "slug", "", provider=provider):
            answer = await server.rpc("resources/read", {"uri": f"runflow-model://{provider}/{slug}"})
            assert answer.result["contents"]


async def test_a_huge_catalog_is_completed_with_a_hundred_values(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(sandbox, *(entry(f"p{number}/m{number}") for number in range(5000)))
    server = await serve()
    params = {"ref": MODEL, "argument": {"name": "slug", "value": "M"}}
    completion = (await server.rpc("completion/complete", params)).result["completion"]
    assert (len(completion["values"]), completion["total"], completion["hasMore"]) == (100, 5000, True)


async def test_a_variable_without_known_values_has_no_completions(server: Server) -> None:
    assert await variable(server, "run_id", "", ref=RUN) == []
    assert await variable(server, "unheard_of", "") == []


@pytest.mark.parametrize("context", [None, [], "x", {}, {"arguments": None}, {"arguments": ["provider"]}], ids=repr)
async def test_a_context_of_another_shape_counts_as_none(server: Server, context: object) -> None:
    params = {"ref": MODEL, "argument": {"name": "provider", "value": "run"}, "context": context}
    assert (await server.rpc("completion/complete", params)).result["completion"]["values"] == ["runflow"]


async def test_without_a_catalog_there_are_no_completions(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Respond(500), times=None)
    server = await serve()
    assert await variable(server, "provider", "") == []


async def test_a_client_of_2026_gets_the_same_completions(server: Server) -> None:
    params = {"ref": MODEL, "argument": {"name": "provider", "value": "run"}}
    assert (await server.modern("completion/complete", params)).result["completion"]["values"] == ["runflow"]
