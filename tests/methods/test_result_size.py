"""Answers stay small whatever upstream sends, and always have the run's id, status and outputs."""

import base64
from random import Random
from typing import Any

import orjson
import pytest

from tests.scripted_sandbox import Respond, ScriptedSandbox
from tests.serving import Server

LATER = {"MCP-Protocol-Version": "2025-11-25"}
URL = "https://cdn.example.com/a.png"
MEDIA = base64.b64encode(Random(1).randbytes(1_000_000)).decode()

#: Long outputs of upstream, each with one URL.
LONG: dict[str, Any] = {
    "base64": {"b64_json": MEDIA, "url": URL},
    "base64 in a text": {"text": f"<img src='data:image/png;base64,{MEDIA}'>", "url": URL},
    "many pieces": {"url": URL, "images": [MEDIA[at : at + 2500] for at in range(0, len(MEDIA), 2500)]},
    "a text": {"url": URL, "text": "word " * 500_000},
    "many texts": {"url": URL, "texts": ["word " * 2000] * 500},
    "quotes": {"url": URL, "texts": ['"' * 10_000] * 200},
    "numbers": {"url": URL, "mask": [0] * 1_000_000},
    "objects": {"url": URL, "boxes": [{}] * 500_000},
    "names": {"url": URL, **{f"name-{number}": number for number in range(200_000)}},
    "a long name": {"url": URL, "k" * 1_000_000: 1},
}


@pytest.mark.parametrize("output", LONG.values(), ids=LONG)
async def test_a_success_is_short_and_complete(server: Server, sandbox: ScriptedSandbox, output: object) -> None:
    run = {"id": "r-1", "status_code": "succeeded", "client_ref": "c", "output": output, "cost": "0.1"}
    sandbox.script.add("create", Respond(201, orjson.dumps(run)))
    answer = await server.generate(client_ref="c", headers=LATER)
    assert len(answer.content) < 1_000_000
    assert (answer.structured["run_id"], answer.structured["status"], answer.structured["cost"]) == (
        "r-1",
        "succeeded",
        "0.1",
    )
    assert answer.structured["outputs"] == [{"url": URL, "mime_type": "image/png"}]
    assert orjson.loads(answer.result["content"][0]["text"]) == answer.structured


@pytest.mark.parametrize("output", LONG.values(), ids=LONG)
async def test_an_error_about_a_run_is_short_and_complete(
    server: Server, sandbox: ScriptedSandbox, output: object
) -> None:
    run = {"id": "r-1", "output": output, "status_code": "failed", "client_ref": "c", "failure_message": "No."}
    sandbox.script.add("create", Respond(201, orjson.dumps(run)))
    answer = await server.generate(client_ref="c", headers=LATER)
    shown = answer.tool_error["details"]["run"]
    assert len(answer.content) < 600_000
    assert (shown["id"], shown["status_code"], shown["failure_message"]) == ("r-1", "failed", "No.")


@pytest.mark.parametrize("path", ["x" * 200, "\u00fc" * 4000, "x" * 8000], ids=["200", "4000 umlauts", "8000"])
async def test_a_thousand_long_urls_are_not_megabytes(server: Server, sandbox: ScriptedSandbox, path: str) -> None:
    urls = [f"https://cdn.example.com/{number}/{path}.png" for number in range(900)]
    run = {"id": "r-1", "status_code": "succeeded", "client_ref": "c", "output": urls}
    sandbox.script.add("create", Respond(201, orjson.dumps(run)))
    answer = await server.generate(client_ref="c", headers=LATER)
    assert len(answer.content) < 1_000_000
    assert [output["url"] for output in answer.structured["outputs"]] == urls[: len(answer.structured["outputs"])]
    assert len(answer.structured["outputs"]) >= 30
    assert all(len(link["name"]) <= 128 for link in answer.result["content"][1:])


async def test_many_small_members_of_a_run_are_bounded_together(server: Server, sandbox: ScriptedSandbox) -> None:
    run = {"id": "r-1", "status_code": "succeeded", "client_ref": "c", "cost": "1" * 500_000, "created_at": "x" * 9999}
    sandbox.script.add("create", Respond(201, orjson.dumps(run)))
    answer = await server.generate(client_ref="c")
    assert (answer.structured["cost"], answer.structured["created_at"]) == (None, None)


async def test_ordinary_errors_of_upstream_are_untouched(server: Server, sandbox: ScriptedSandbox) -> None:
    errors = [{"type": "missing", "loc": ["body", "input", f"field_{number}"], "msg": "x" * 50} for number in range(50)]
    sandbox.script.add("create", Respond(422, orjson.dumps({"code": "VALIDATION_ERROR", "errors": errors})))
    answer = await server.generate(client_ref="c")
    assert answer.tool_error["details"]["errors"] == errors


@pytest.mark.parametrize(
    "errors",
    [
        [{"type": "x", "input": MEDIA}],
        [{"type": "x", "loc": [number]} for number in range(100_000)],
        [{"type": "x", "msg": "word " * 100_000}] * 5,
        ["\u2028" * 10_000] * 20,
        [[]] * 500_000,
    ],
    ids=["media", "many", "long", "separators", "empty"],
)
async def test_endless_errors_of_upstream_are_cut(server: Server, sandbox: ScriptedSandbox, errors: object) -> None:
    sandbox.script.add("create", Respond(422, orjson.dumps({"code": "VALIDATION_ERROR", "errors": errors})))
    answer = await server.generate(client_ref="c")
    assert len(answer.content) < 200_000
    assert len(answer.result["content"][0]["text"].encode()) < 8192


async def test_an_output_that_nests_endlessly_is_answered(server: Server, sandbox: ScriptedSandbox) -> None:
    deep = b"[" * 1000 + b'"https://cdn.example.com/a.png"' + b"]" * 1000
    sandbox.script.add(
        "create", Respond(201, b'{"id":"r-1","status_code":"succeeded","client_ref":"c","output":%b}' % deep)
    )
    answer = await server.generate(client_ref="c")
    assert [output["url"] for output in answer.structured["outputs"]] == [URL]
    assert "nested too deeply" in answer.result["content"][0]["text"]


async def test_a_url_of_the_callers_input_is_not_an_output(server: Server, sandbox: ScriptedSandbox) -> None:
    mine = "https://example.com/mine.png"
    run = {"id": "r-1", "status_code": "succeeded", "client_ref": "c", "output": {"image": URL, "before": mine}}
    sandbox.script.add("create", Respond(201, orjson.dumps(run)))
    answer = await server.generate(input={"image_url": mine}, client_ref="c", headers=LATER)
    assert [output["url"] for output in answer.structured["outputs"]] == [URL]
    assert answer.structured["output"] == run["output"]


async def test_a_relative_address_is_completed_with_that_of_the_api(server: Server, sandbox: ScriptedSandbox) -> None:
    run = {"id": "r-1", "status_code": "succeeded", "client_ref": "c", "output": {"url": "/outputs/x.png"}}
    sandbox.script.add("create", Respond(201, orjson.dumps(run)))
    answer = await server.generate(client_ref="c")
    url = f"{server.services.config.api_url}/outputs/x.png"
    assert answer.structured["outputs"] == [{"url": url, "mime_type": "image/png"}]
