"""``list_models``: the filters, the order, the counts, and the answer when the catalog is unavailable."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from runflow_mcp.methods.tools.list_models import TOOL
from runflow_mcp.sandbox import catalog
from tests.methods.recorded_requests import dispatches
from tests.methods.schema_check import fits
from tests.methods.scripted_catalogs import entry, script
from tests.methods.tool_error_reader import tool_error_of
from tests.scripted_sandbox import Hang, Reset, Respond, Route, ScriptedSandbox
from tests.serving import Serve, Server

ALL = catalog.entries()
Entry = dict[str, Any]


def name(entry: Entry) -> str:
    return f"{entry['provider_slug']}/{entry['model_slug']}"


def listed(answer: Any) -> list[str]:
    return [entry["model"] for entry in answer.structured["models"]]


async def test_everything_is_listed_solutions_first_then_in_catalog_order(server: Server) -> None:
    answer = await server.call("list_models", limit=200)
    solutions = [name(entry) for entry in ALL if entry["provider_slug"] == "runflow"]
    others = [name(entry) for entry in ALL if entry["provider_slug"] != "runflow"]
    assert listed(answer) == solutions + others
    assert answer.structured["returned"] == answer.structured["total"] == len(ALL)
    assert "stale_seconds" not in answer.structured


async def test_an_entry_has_what_a_call_needs(server: Server) -> None:
    answer = await server.call("list_models", query="product-isolation")
    [entry] = answer.structured["models"]
    assert entry["model"] == "runflow/product-isolation"
    assert entry["model_name"] == "Product Isolation"
    assert entry["provider_slug"] == "runflow"
    assert entry["model_slug"] == "product-isolation"
    assert entry["category"] == "image-to-image"
    assert entry["runs_endpoint"] == "/v1/models/runflow/product-isolation/runs"
    assert entry["pricing"] == "$0.27/request"
    assert entry["description"]
    ratio = entry["inputs"][1]
    assert (ratio["name"], ratio["type"], ratio["required"]) == ("aspect_ratio", "string", True)
    assert "16:9" in ratio["enum"]


async def test_an_entry_can_be_run_as_it_is_listed(server: Server) -> None:
    [entry] = (await server.call("list_models", query="skin-fix")).structured["models"]
    for model in (entry["model"], entry["runs_endpoint"]):
        answer = await server.generate(model, {"image_url": "https://example.com/a.png"}, wait=False)
        assert answer.structured["model"] == entry["model"]


async def test_an_entry_is_run_at_its_runs_endpoint(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(
        sandbox,
        entry("runflow/headshots", runs_endpoint="https://api.runflow.io/v1/models/runflow/headshots/v2/runs"),
        entry("google/nano-banana-2", runs_endpoint="/v1/models/google-prod/nano-banana-2/runs"),
    )
    server = await serve()
    listed_names = listed(await server.call("list_models"))
    assert listed_names == ["runflow/headshots/v2", "google-prod/nano-banana-2"]
    assert listed(await server.call("list_models", provider="google")) == ["google-prod/nano-banana-2"]
    prompt = await server.rpc("prompts/get", {"name": "headshots"})
    assert '"model": "runflow/headshots/v2"' in prompt.result["messages"][0]["content"]["text"]
    refused = await server.generate("google/nano-banana-3")
    assert refused.tool_error["details"]["suggestions"] == ["google-prod/nano-banana-2"]
    for model in listed_names:
        await server.generate(model, wait=False)
        assert dispatches(sandbox)[-1].path == f"/v1/models/{model}/runs"


async def test_a_full_name_is_found_first(server: Server) -> None:
    for query in ("google/nano-banana-2", "GOOGLE/Nano_Banana_2", "/v1/models/google/nano-banana-2/runs"):
        assert listed(await server.call("list_models", query=query))[0] == "google/nano-banana-2"
    assert "google/nano-banana-2" in listed(await server.call("list_models", query="banana 2 google"))


Filter = Callable[[Entry], bool]


@pytest.mark.parametrize(
    ("arguments", "matches"),
    [
        *(
            ({"category": category}, lambda entry, category=category: entry["category"] == category)
            for category in (
                "text-to-image",
                "image-to-image",
                "text-to-video",
                "image-to-video",
                "video-to-video",
                "text-to-audio",
            )
        ),
        ({"category": "solution"}, lambda entry: entry["provider_slug"] == "runflow"),
        ({"provider": "google"}, lambda entry: entry["provider_slug"] == "google"),
        ({"provider": "nobody"}, lambda _: False),
        ({"query": "EDIT"}, lambda entry: "edit" in entry["model_slug"] or "edit" in entry["model_name"].lower()),
        ({"query": "zzz"}, lambda _: False),
        ({"query": "%"}, lambda _: False),
        (
            {"category": "text-to-image", "provider": "google", "query": "nano"},
            lambda entry: entry["category"] == "text-to-image" and name(entry).startswith("google/nano"),
        ),
        ({"category": "solution", "provider": "google"}, lambda _: False),
        ({"category": None, "provider": None, "query": None, "limit": None}, lambda _: True),
        ({"query": ""}, lambda _: True),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_filters_select_the_entries_that_match(
    server: Server, arguments: dict[str, Any], matches: Filter
) -> None:
    answer = await server.call("list_models", **{"limit": 200, **arguments})
    expected = [name(entry) for entry in ALL if matches(entry)]
    assert sorted(listed(answer)) == sorted(expected[: answer.structured["returned"]])
    assert answer.structured["total"] == len(expected)


@pytest.mark.parametrize(("limit", "returned"), [(1, 1), (7, 7), (200, len(ALL)), (5.0, 5)])
async def test_limit_cuts_the_list_and_not_the_total(server: Server, limit: float, returned: int) -> None:
    answer = await server.call("list_models", limit=limit)
    assert len(listed(answer)) == answer.structured["returned"] == returned
    assert answer.structured["total"] == len(ALL)


async def test_without_a_limit_fifty_are_shown(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(sandbox, *(entry(f"google/model-{number}") for number in range(60)))
    answer = await (await serve()).call("list_models")
    assert (answer.structured["returned"], answer.structured["total"]) == (50, 60)


async def test_a_query_puts_exact_hits_first_then_prefixes_then_the_rest(
    serve: Serve, sandbox: ScriptedSandbox
) -> None:
    script(
        sandbox,
        entry("a/my-flux"),
        entry("a/flux-2"),
        entry("a/Flux"),
        entry("a/other", model_name="FLUX"),
        entry("runflow/old-flux"),
        entry("runflow/flux-3"),
        entry("a/unlike"),
    )
    answer = await (await serve()).call("list_models", query=" flux ")
    assert listed(answer) == [
        "a/Flux",
        "a/other",
        "runflow/flux-3",
        "a/flux-2",
        "runflow/old-flux",
        "a/my-flux",
    ]


async def test_ten_entries_have_their_inputs_and_eleven_do_not(serve: Serve, sandbox: ScriptedSandbox) -> None:
    described = {"description": "d" * 300, "inputs": [{"name": "prompt", "type": "string", "required": True}]}
    script(sandbox, *(entry(f"google/model-{number}", **described) for number in range(20)))
    server = await serve()
    ten = (await server.call("list_models", limit=10)).structured
    assert all(item["inputs"] and item["description"] == "d" * 300 for item in ten["models"])
    assert ten.keys() == {"models", "returned", "total"}
    eleven = await server.call("list_models", limit=11)
    assert all("inputs" not in item and len(item["description"]) == 120 for item in eleven.structured["models"])
    assert eleven.structured["inputs_omitted"] is True
    assert "query" in eleven.structured["note"]
    assert orjson.loads(eleven.result["content"][0]["text"]) == eleven.structured
    assert fits(TOOL.definition["outputSchema"], eleven.structured)


@pytest.mark.parametrize(
    "more",
    [
        {"description": "a" * 1000, "pricing": "$0.3034/second"},
        {"description": "ü" * 1000, "pricing": "$0.3034/second"},
        {"description": "𝄞" * 1000, "pricing": {"tiers": ["x" * 50] * 100}},
        {"description": '"\n\x00' * 300},
    ],
    ids=["ASCII", "umlauts", "music and a long price", "escapes"],
)
async def test_fifty_entries_stay_under_20_kb(serve: Serve, sandbox: ScriptedSandbox, more: Entry) -> None:
    inputs = [{"name": f"input_{number}", "type": "string", "description": "x" * 200} for number in range(20)]
    script(
        sandbox, *(entry(f"bytedance/seedance/2.0/fast/{number}", **more, inputs=inputs) for number in range(100, 160))
    )
    answer = await (await serve()).call("list_models")
    assert answer.structured["returned"] == 50
    assert len(answer.result["content"][0]["text"].encode()) <= 20_000
    assert all(item.get("description") for item in answer.structured["models"])


@pytest.mark.parametrize("category", [None, "solution"])
async def test_the_whole_catalog_stays_under_20_kb(server: Server, category: str | None) -> None:
    answer = await server.call("list_models", category=category)
    assert answer.structured["returned"] > 10
    assert len(answer.result["content"][0]["text"].encode()) <= 20_000


NUM_IMAGES = {"name": "num_images", "type": "integer"}


async def test_a_single_entry_has_an_estimate(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(
        sandbox,
        entry("google/image", price="$0.15/image", inputs=[NUM_IMAGES]),
        entry("google/image/edit", price="$0.15/image", inputs=[NUM_IMAGES]),
        entry("runflow/solution", price="$0.15/image", inputs=[NUM_IMAGES]),
    )
    server = await serve()
    expected = {"amount": 0.15, "currency": "USD", "unit": "image", "depends_on": ["num_images"]}
    for arguments in ({"query": "image/edit"}, {"query": " Google/Image "}, {"provider": "google", "limit": 1}):
        answer = await server.call("list_models", **arguments)
        assert answer.structured["models"][0]["estimate"] == expected
        assert fits(TOOL.definition["outputSchema"], answer.structured)
        assert orjson.loads(answer.result["content"][0]["text"]) == answer.structured
    several = await server.call("list_models", query="image")
    assert not any("estimate" in item for item in several.structured["models"])
    [solution] = (await server.call("list_models", query="solution")).structured["models"]
    assert solution["pricing"] == "$0.15/image"
    assert "estimate" not in solution


async def test_inactive_entries_are_not_listed_and_bad_ones_skipped(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(
        sandbox,
        entry("a/one", status="inactive"),
        entry("a/two", is_active=False),
        entry("a/three", status="ACTIVE"),
        {"category": "text-to-image"},
        entry("../../etc"),
        "nonsense",
        None,
        entry("a/four", inputs=7, pricing={"usd": 1}, description=None, category=None),
    )
    answer = await (await serve()).call("list_models")
    assert listed(answer) == ["a/three", "a/four"]
    assert fits(TOOL.definition["outputSchema"], answer.structured)


async def test_an_extremely_nested_entry_does_not_break_the_list(serve: Serve, sandbox: ScriptedSandbox) -> None:
    good, bad = (orjson.dumps(entry(f"a/{slug}")) for slug in ("good", "bad"))
    deep = bad[:-1] + b',"pricing":' + b"[" * 300 + b"1" + b"]" * 300 + b"}"
    sandbox.script.add(Route.CATALOG, Respond(200, b"[" + good + b"," + deep + b"]"), times=None)
    answer = await (await serve()).call("list_models")
    assert "a/good" in listed(answer)


@pytest.mark.parametrize("arguments", [{}, {"category": "solution"}, {"query": "zzz"}, {"query": "nano"}], ids=str)
async def test_the_text_is_the_structured_content_to_the_byte(server: Server, arguments: dict[str, Any]) -> None:
    answer = await server.call("list_models", **arguments)
    [content] = answer.result["content"]
    assert orjson.loads(content["text"]) == answer.structured
    assert content["text"].encode() in answer.content.replace(b'\\"', b'"').replace(b"\\\\", b"\\")
    assert answer.result["isError"] is False
    assert fits(TOOL.definition["outputSchema"], answer.structured)


async def test_texts_that_need_escapes_stay_equal(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(sandbox, entry("a/odd", model_name='say "hi" \\ \n\t', description="ü 𝄞 \u2028 \x01 </script>"))
    answer = await (await serve()).call("list_models")
    assert orjson.loads(answer.result["content"][0]["text"]) == answer.structured
    assert answer.structured["models"][0]["description"] == "ü 𝄞 \u2028 \x01 </script>"


async def test_a_stale_snapshot_is_served_with_its_age(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="60000")
    fresh = await server.call("list_models")
    sandbox.script.add(Route.CATALOG, Respond(503), times=None)
    await server.services.clock.sleep(59)
    assert "stale_seconds" not in (await server.call("list_models")).structured
    await server.services.clock.sleep(100)
    stale = await server.call("list_models")
    assert stale.structured["stale_seconds"] == pytest.approx(99, abs=1)
    assert isinstance(stale.structured["stale_seconds"], int)
    assert stale.structured["models"] == fresh.structured["models"]
    assert orjson.loads(stale.result["content"][0]["text"]) == stale.structured
    assert fits(TOOL.definition["outputSchema"], stale.structured)
    sandbox.script.clear()
    await server.services.clock.sleep(120)
    assert "stale_seconds" not in (await server.call("list_models")).structured


@pytest.mark.parametrize(
    ("action", "status"),
    [
        (Respond(500), 500),
        (Respond(404, b"<html>"), 404),
        (Respond(200, b"<html>"), None),
        (Respond(200, b'{"other": 1}'), None),
        (Respond(200, b"[1, 2]"), None),
        (Reset(), None),
        (Hang(60), None),
    ],
    ids=["500", "404", "html", "no list", "no entries", "reset", "hang"],
)
async def test_without_a_catalog_list_models_is_a_tool_error(
    serve: Serve, sandbox: ScriptedSandbox, action: Respond, status: int | None
) -> None:
    sandbox.script.add(Route.CATALOG, action, times=None)
    answer = await (await serve()).call("list_models")
    tool_error_of(answer, "catalog_fetch_failed", upstream_status=status)
    assert fits(TOOL.definition["outputSchema"], answer.structured)


async def test_a_catalog_that_arrives_late_is_served(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Respond(500), times=3)
    server = await serve()
    assert (await server.call("list_models")).tool_error["code"] == "catalog_fetch_failed"
    await server.services.clock.sleep(60)
    assert (await server.call("list_models")).structured["total"] == len(ALL)


async def test_an_empty_catalog_is_listed_without_an_error(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(sandbox)
    answer = await (await serve()).call("list_models")
    assert answer.structured == {"models": [], "returned": 0, "total": 0}


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"category": "painting"}, "category"),
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "five"}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"limit": True}, "limit"),
        ({"provider": [1]}, "provider"),
        ({"query": []}, "query"),
        ({"model": "x"}, "model"),
    ],
    ids=str,
)
async def test_invalid_arguments_are_named(server: Server, arguments: dict[str, Any], path: str) -> None:
    answer = await server.call("list_models", **arguments)
    error = tool_error_of(answer, "invalid_arguments")
    assert path in error["message"]
    assert f"- {path}: " in answer.result["content"][0]["text"]
