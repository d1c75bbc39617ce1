"""``runflow-model://{provider}/{+slug}``: a catalog entry as JSON, with an example of the call that runs it."""

import asyncio
from typing import Any

import orjson
import pytest

from runflow_mcp.sandbox.catalog import models
from tests.methods.recorded_requests import caller_requests
from tests.methods.scripted_catalogs import entry, script
from tests.scripted_sandbox import Hang, Respond, Route, ScriptedSandbox
from tests.serving import KEY, MODEL, Answer, Serve, Server

LEGACY = ("2025-03-26", "2025-06-18", "2025-11-25")
URI = f"runflow-model://{MODEL}"


async def read(server: Server, uri: str, **options: Any) -> Answer:
    return await server.rpc("resources/read", {"uri": uri}, **options)


async def model(server: Server, name: str) -> Any:
    [content] = (await read(server, f"runflow-model://{name}")).result["contents"]
    assert (content["uri"], content["mimeType"]) == (f"runflow-model://{name}", "application/json")
    return orjson.loads(content["text"])


async def test_a_model_resource_has_all_that_list_models_has_and_an_example_that_runs(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    found = await model(server, "runflow/smart-resize")
    example = found.pop("example")
    [listed] = (await server.call("list_models", query="runflow/smart-resize", limit=1)).structured["models"]
    assert found == listed
    assert [known["enum"] for known in found["inputs"] if known["name"] == "resolution"] == [["1K", "2K", "4K"]]
    assert example["name"] == "generate"
    assert example["arguments"]["model"] == "runflow/smart-resize"
    assert set(example["arguments"]["input"]) == {known["name"] for known in found["inputs"] if known["required"]}
    assert (await server.rpc("tools/call", example)).structured["status"] == "succeeded"
    assert sandbox.runs


@pytest.mark.parametrize("name", models())
async def test_every_entry_of_the_catalog_can_be_read(server: Server, name: str) -> None:
    assert (await model(server, name))["model"] == name


async def test_an_example_has_an_allowed_value_or_a_placeholder(serve: Serve, sandbox: ScriptedSandbox) -> None:
    inputs = [
        {"name": "image_url", "type": "image_url", "required": True},
        {"name": "mode", "type": "string", "required": True, "enum": ["fast", "good"]},
        {"name": "seed", "type": "integer"},
    ]
    script(sandbox, entry("runflow/job", inputs=inputs, price="0.04"))
    found = await model(await serve(), "runflow/job")
    arguments = {"model": "runflow/job", "input": {"image_url": "<image_url>", "mode": "fast"}}
    assert found["example"] == {"name": "generate", "arguments": arguments}
    assert found["pricing"] == "0.04"


async def test_an_entry_is_found_by_its_endpoint_and_by_its_slugs(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(sandbox, entry("acme/old", runs_endpoint="/v1/models/acme/new/v2/runs"), entry("acme/deep/er"))
    server = await serve()
    for name in ("acme/new/v2", "acme/old"):
        assert (await model(server, name))["model"] == "acme/new/v2"
    assert (await model(server, "acme/deep/er"))["model"] == "acme/deep/er"


async def test_names_in_a_right_to_left_script_stay_as_they_are(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(sandbox, entry("acme/x", model_name="\u202eصورة <b>", description='"مرحبا"\n\0'))
    found = await model(await serve(), "acme/x")
    assert found["model_name"] == "\u202eصورة <b>"
    assert found["description"].startswith('"مرحبا"')


async def test_the_catalog_of_2026_may_be_kept_by_all_for_as_long_as_it_is_fresh(server: Server) -> None:
    await model(server, MODEL)
    await server.services.clock.sleep(60)
    result = (await server.modern("resources/read", {"uri": URI})).result
    assert (result["resultType"], result["cacheScope"]) == ("complete", "public")
    assert 235_000 < result["ttlMs"] <= 240_000
    assert not {"ttlMs", "cacheScope"} & set((await read(server, URI)).result)


@pytest.mark.parametrize(
    "rest",
    [
        *("", "/", "google", "google/", "/nano-banana-2", "google/no-such-model", f"{MODEL}/", f"{MODEL}?x=1"),
        *(f"{MODEL}#x", f"google/../{MODEL}", "google/..", "../../v1/runs", "google/%2e%2e", "google%2Fnano-banana-2"),
        *(f"{MODEL}\0", f" {MODEL}", f"{MODEL}\n", "{provider}/{+slug}", "مزود/نموذج", "google/" + "x" * 5000),
        *("user@google/nano-banana-2", "google:443/nano-banana-2", f"google\\{MODEL}"),
    ],
    ids=lambda rest: ascii(rest[:30]),
)
async def test_anything_else_is_an_unknown_resource(server: Server, sandbox: ScriptedSandbox, rest: str) -> None:
    uri = f"runflow-model://{rest}"
    for revision in LEGACY:
        answer = await read(server, uri, headers={"MCP-Protocol-Version": revision})
        assert (answer.status, answer.error["code"], answer.error["data"]) == (200, -32002, {"uri": uri[:1024]})
        assert len(answer.content) < 8192
    answer = await server.modern("resources/read", {"uri": uri})
    assert (answer.status, answer.error["code"], answer.error["data"]) == (200, -32602, {"uri": uri[:1024]})
    assert caller_requests(sandbox) == []


async def test_without_a_catalog_the_error_has_the_code_of_list_models(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Respond(503), times=None)
    server = await serve()
    for answer in (await read(server, URI), await server.modern("resources/read", {"uri": URI})):
        assert (answer.status, answer.error["code"]) == (200, -32603)
        data = answer.error["data"]
        assert (data["code"], data["upstream_status"], data["uri"]) == ("catalog_fetch_failed", 503, URI)
        assert data["request_id"] == answer.headers["X-Request-Id"]


async def test_a_stale_catalog_says_so(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="60000")
    assert "stale_seconds" not in await model(server, MODEL)
    sandbox.script.add(Route.CATALOG, Respond(500), times=None)
    await server.services.clock.sleep(200)
    assert (await model(server, MODEL))["stale_seconds"] > 100
    assert (await server.modern("resources/read", {"uri": URI})).result["ttlMs"] == 0


async def test_a_drain_answers_a_read_that_waits_for_the_catalog(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Hang(600), times=None)
    server = await serve()
    reading = asyncio.create_task(read(server, URI, key=KEY))
    await server.services.clock.sleep(1)
    server.services.inflight.drain(asyncio.get_running_loop().time() + 2)
    error = (await reading).error
    assert error["code"] == -32603
    assert "stopping" in error["message"]
    assert server.services.clock.monotonic() == pytest.approx(3)


async def test_a_name_that_cannot_be_a_model_is_answered_without_the_catalog(
    serve: Serve, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add(Route.CATALOG, Hang(600), times=None)
    server = await serve()
    assert (await read(server, "runflow-model://" + "x/" * 50_000)).error["code"] == -32002
    assert server.services.clock.monotonic() == 0
