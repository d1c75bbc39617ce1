"""Successful calls of ``generate``: the members and the form of the answer."""

import re

import orjson
import pytest

from runflow_mcp.methods.tools.generate import TOOL
from runflow_mcp.sandbox import RunningSandbox
from tests.methods.recorded_requests import caller_requests, dispatches, polls
from tests.methods.schema_check import fits
from tests.scripted_sandbox import ScriptedSandbox
from tests.serving import BOTH, MODEL, Server

SUCCESS = {
    "run_id",
    "status",
    "model",
    "client_ref",
    "outputs",
    "output",
    "cost",
    "duration_ms",
    "created_at",
    "completed_at",
}
#: The first revision whose clients know links.
LATER = {"MCP-Protocol-Version": "2025-06-18"}
MINTED = re.compile(r"mcp-[0-9a-f]{32}")


async def test_a_success_has_exactly_the_promised_members(server: Server) -> None:
    answer = await server.generate(client_ref="shape")
    assert answer.result["isError"] is False
    assert set(answer.structured) == SUCCESS
    assert answer.structured["status"] == "succeeded"
    assert answer.structured["model"] == MODEL
    assert answer.structured["client_ref"] == "shape"
    assert answer.structured["cost"] == "0.0800"
    assert answer.structured["duration_ms"] > 0
    assert answer.structured["created_at"] < answer.structured["completed_at"]


async def test_the_text_is_the_structured_content_as_json(server: Server) -> None:
    answer = await server.generate()
    assert answer.result["content"][0]["type"] == "text"
    assert orjson.loads(answer.result["content"][0]["text"]) == answer.structured


async def test_each_output_is_a_resource_link_with_its_media_type(server: Server) -> None:
    answer = await server.generate(input={"prompt": "two of them", "num_images": 2}, headers=LATER)
    links = answer.result["content"][1:]
    urls = [output["url"] for output in answer.structured["outputs"]]
    assert links == [
        {"type": "resource_link", "uri": url, "name": f"{number}.png", "mimeType": "image/png"}
        for number, url in enumerate(urls)
    ]
    assert [output["mime_type"] for output in answer.structured["outputs"]] == ["image/png"] * 2
    assert len(urls) == 2


async def test_the_output_is_upstreams_own(server: Server, sandbox: ScriptedSandbox) -> None:
    answer = await server.generate()
    assert set(answer.structured["output"]) == {"outputs", "seed", "timing", "nsfw_detected"}
    async with server.session.get(answer.structured["outputs"][0]["url"]) as picture:
        assert picture.content_type == "image/png"
    assert len(sandbox.runs) == 1


@pytest.mark.parametrize(
    ("model", "input_"),
    [
        (MODEL, {"prompt": "x"}),
        ("runflow/background-removal", {"image_url": "https://example.com/a.png"}),
        ("runflow/skin-fix", {"image_url": "https://example.com/a.png"}),
        ("google/veo3.1/fast", {"prompt": "x"}),
        ("elevenlabs/tts/eleven-v3", {"text": "x"}),
        ("sandbox/inline", {}),
        ("sandbox/odd", {}),
    ],
)
async def test_every_shape_of_output_fits_the_output_schema(server: Server, model: str, input_: object) -> None:
    answer = await server.generate(model, input_, headers=LATER)
    assert fits(TOOL.definition["outputSchema"], answer.structured)
    assert answer.structured["status"] == "succeeded"
    assert len(answer.structured["outputs"]) == len(answer.result["content"]) - 1
    assert bool(answer.structured["outputs"]) == (model != "sandbox/inline")


@pytest.mark.parametrize(
    ("model", "input_"), [("sandbox/inline", {}), (MODEL, {"prompt": "x", "sync_mode": True})], ids=["magic", "input"]
)
async def test_long_inline_media_are_replaced_by_a_note(server: Server, model: str, input_: object) -> None:
    answer = await server.generate(model, input_)
    assert b"base64" not in answer.content
    assert re.fullmatch(r"\[inline image/png .*\]", answer.structured["output"]["outputs"][0]["url"])
    assert len(answer.content) < 4096


async def test_without_a_client_ref_the_run_gets_one(server: Server, sandbox: ScriptedSandbox) -> None:
    answer = await server.generate()
    assert MINTED.fullmatch(answer.structured["client_ref"])
    assert dispatches(sandbox)[0].body["client_ref"] == answer.structured["client_ref"]


async def test_two_calls_without_a_client_ref_are_two_runs(server: Server, sandbox: ScriptedSandbox) -> None:
    first, second = await server.generate(), await server.generate()
    assert first.structured["run_id"] != second.structured["run_id"]
    assert len(sandbox.runs) == 2


async def test_without_waiting_the_run_id_comes_at_once(
    server: Server, sandbox: ScriptedSandbox, upstream: RunningSandbox
) -> None:
    answer = await server.generate(wait=False, token=1, accept=BOTH)
    assert not answer.is_stream
    assert set(answer.structured) == {*SUCCESS, "poll_url"}
    assert answer.structured["status"] == "queued"
    assert answer.structured["poll_url"] == f"{upstream.url}/v1/runs/{answer.structured['run_id']}"
    assert orjson.loads(answer.result["content"][0]["text"]) == answer.structured
    assert MINTED.fullmatch(answer.structured["client_ref"])
    assert polls(sandbox) == []


async def test_a_started_run_can_be_waited_for_later(server: Server, sandbox: ScriptedSandbox) -> None:
    started = await server.generate(wait=False, client_ref="later")
    ended = await server.generate(client_ref="later")
    assert ended.structured["run_id"] == started.structured["run_id"]
    assert ended.structured["status"] == "succeeded"
    assert len(sandbox.runs) == 1


async def test_wait_false_on_an_ended_run_returns_its_outputs(server: Server) -> None:
    await server.generate(client_ref="ended")
    again = await server.generate(wait=False, client_ref="ended")
    assert again.structured["status"] == "succeeded"
    assert len(again.structured["outputs"]) == 1


async def test_a_run_that_is_terminal_at_once_is_plain_json(server: Server, sandbox: ScriptedSandbox) -> None:
    await server.generate(client_ref="done")
    count_before = len(caller_requests(sandbox))
    again = await server.generate(client_ref="done", token=1, accept=BOTH)
    assert not again.is_stream
    assert again.structured["status"] == "succeeded"
    assert len(caller_requests(sandbox)) == count_before + 1  # the look-up alone


async def test_an_unknown_state_is_waited_through(server: Server) -> None:
    answer = await server.generate("sandbox/odd", token=1, accept=BOTH)
    assert any(sent["message"].startswith("warming_up") for sent in answer.progress)
    assert answer.structured["status"] == "succeeded"
    assert answer.structured["cost"] is None


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
async def test_a_client_that_knows_links_gets_links(server: Server, revision: str) -> None:
    answer = await server.generate(accept=BOTH, headers={"MCP-Protocol-Version": revision})
    assert [block["type"] for block in answer.result["content"]] == ["text", "resource_link"]


async def test_a_client_of_2026_gets_links(server: Server) -> None:
    params = {"name": "generate", "arguments": {"model": MODEL, "input": {"prompt": "x"}}}
    answer = await server.modern("tools/call", params)
    assert [block["type"] for block in answer.result["content"]] == ["text", "resource_link"]


@pytest.mark.parametrize("headers", [{}, {"MCP-Protocol-Version": "2025-03-26"}], ids=["no header", "2025-03-26"])
async def test_a_client_that_does_not_know_links_gets_the_text_alone(server: Server, headers: dict[str, str]) -> None:
    """Such clients reject a whole result because of a content block that they do not know."""
    for options in ({"accept": BOTH, "token": 1}, {}, {"wait": False}):
        answer = await server.generate(client_ref="old", headers=headers, **options)
        assert [block["type"] for block in answer.result["content"]] == ["text"]
    assert len(orjson.loads(answer.result["content"][0]["text"])["outputs"]) == 1


async def test_an_old_client_gets_no_link_in_a_batch(server: Server) -> None:
    params = {"name": "generate", "arguments": {"model": MODEL, "input": {"prompt": "x"}}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    [answer] = (await server.post([call])).json
    assert [block["type"] for block in answer["result"]["content"]] == ["text"]
