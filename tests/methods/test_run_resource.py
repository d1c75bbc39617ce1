"""``runflow-run://{run_id}``: the state of a run and freshly signed outputs, read with the caller's own key."""

import asyncio
from typing import Any

import orjson
import pytest

from runflow_mcp.sandbox.credentials import fingerprint
from tests.methods.recorded_requests import caller_requests, polls
from tests.scripted_sandbox import Hang, Reset, Respond, Route, ScriptedSandbox, Truncate
from tests.serving import KEY, Answer, Serve, Server

LEGACY = ("2025-03-26", "2025-06-18", "2025-11-25")
OTHER_KEY = "rf_live_somebody_else"
JSON_TYPE = {"Content-Type": "application/json"}


async def read(server: Server, run_id: str, **options: Any) -> Answer:
    return await server.rpc("resources/read", {"uri": f"runflow-run://{run_id}"}, **options)


async def run(server: Server, run_id: str) -> Any:
    [content] = (await read(server, run_id)).result["contents"]
    assert (content["uri"], content["mimeType"]) == (f"runflow-run://{run_id}", "application/json")
    return orjson.loads(content["text"])


async def test_a_run_that_has_ended_is_read_as_its_result(server: Server) -> None:
    result = (await server.generate(client_ref="mine")).structured
    found = await run(server, result["run_id"])
    assert found.pop("nodes_completed") == found.pop("nodes_total") == 3
    assert found == result


async def test_a_run_that_continues_shows_its_progress(server: Server) -> None:
    started = (await server.generate("sandbox/slow", wait=False, client_ref="mine")).structured
    await server.services.clock.sleep(20)
    found = await run(server, started["run_id"])
    assert (found["status"], found["outputs"], found["client_ref"]) == ("running", [], "mine")
    assert 0 <= found["nodes_completed"] < found["nodes_total"]


@pytest.mark.parametrize(("model", "status"), [("sandbox/failing", "failed"), ("sandbox/cancelled", "cancelled")])
async def test_a_run_without_a_result_says_why(server: Server, model: str, status: str) -> None:
    error = (await server.generate(model)).tool_error
    found = await run(server, error["details"]["run_id"])
    assert found["status"] == status
    if status == "failed":
        assert found["failure_code"] == error["details"]["failure_code"]
        assert found["failure_message"] in error["message"]
    else:
        assert not any(name.startswith("failure") for name in found)


async def test_each_read_signs_the_links_anew(server: Server, sandbox: ScriptedSandbox) -> None:
    run_id = (await server.generate()).structured["run_id"]
    links = []
    for signature in ("one", "two"):
        url = f"https://cdn.example.com/a.png?signature={signature}"
        payload = {"id": run_id, "status": "succeeded", "output": {"images": [{"url": url}]}}
        sandbox.script.add(Route.GET_RUN, Respond(200, orjson.dumps(payload), JSON_TYPE))
        links += [output["url"] for output in (await run(server, run_id))["outputs"]]
    assert [link.rpartition("=")[2] for link in links] == ["one", "two"]


async def test_a_read_asks_runflow_once_and_as_the_caller(server: Server, sandbox: ScriptedSandbox) -> None:
    run_id = (await server.generate(wait=False)).structured["run_id"]
    before = len(polls(sandbox))
    await run(server, run_id)
    [poll] = polls(sandbox)[before:]
    assert poll.key == fingerprint(KEY)
    assert caller_requests(sandbox)[-1] is poll


async def test_a_run_is_not_cacheable(server: Server) -> None:
    run_id = (await server.generate(wait=False)).structured["run_id"]
    result = (await server.modern("resources/read", {"uri": f"runflow-run://{run_id}"})).result
    assert (result["resultType"], result["ttlMs"], result["cacheScope"]) == ("complete", 0, "private")


async def test_a_run_of_another_key_does_not_exist(server: Server) -> None:
    run_id = (await server.generate(wait=False)).structured["run_id"]
    uri = f"runflow-run://{run_id}"
    for revision in LEGACY:
        answer = await read(server, run_id, key=OTHER_KEY, headers={"MCP-Protocol-Version": revision})
        assert (answer.status, answer.error["code"], answer.error["data"]) == (200, -32002, {"uri": uri})
    mine = await server.modern("resources/read", {"uri": "runflow-run://no-such-run"})
    other = await server.modern("resources/read", {"uri": uri}, key=OTHER_KEY)
    assert (other.error["code"], other.error["message"]) == (-32602, mine.error["message"])


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_an_id_that_runflow_refuses_is_not_found(server: Server, sandbox: ScriptedSandbox, status: int) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(status, b'{"detail": "no"}', JSON_TYPE))
    assert (await read(server, "some-id")).error["code"] == -32002


@pytest.mark.parametrize(
    "run_id",
    [
        *("", ".", "..", "../runs", "a/b", "a/", "/a", "%2e%2e", "%2e%2e%2fmodels", "..%2f", "a%00", "a\0", "a?x=1"),
        *("a#b", "a b", " a", "a\n", "a\r\nHost: x", "a\\b", "{run_id}", "تشغيل", "\u202eabc", "x" * 129, "x" * 5000),
        *("user@host", "?q=client_ref.EQ:'a'", "//evil.example.com"),
    ],
    ids=lambda run_id: ascii(run_id[:30]),
)
async def test_an_invalid_run_id_never_reaches_runflow(server: Server, sandbox: ScriptedSandbox, run_id: str) -> None:
    uri = f"runflow-run://{run_id}"
    for revision in LEGACY:
        answer = await read(server, run_id, headers={"MCP-Protocol-Version": revision})
        assert (answer.error["code"], answer.error["data"]) == (-32002, {"uri": uri[:1024]})
        assert len(answer.content) < 8192
    assert (await server.modern("resources/read", {"uri": uri})).error["code"] == -32602
    assert caller_requests(sandbox) == []


@pytest.mark.parametrize(
    ("action", "code", "status"),
    [
        (Respond(401, b'{"code": "UNAUTHORIZED", "detail": "no"}', JSON_TYPE), "unauthorized", 401),
        (Respond(403, b'{"code": "PERMISSION_DENIED", "detail": "no"}', JSON_TYPE), "permission_denied", 403),
        (Respond(403), "generate_failed", 403),
        (Respond(429, b'{"code": "RATE_LIMITED"}', JSON_TYPE), "rate_limited", 429),
        (Respond(500), "generate_failed", 500),
        (Respond(503), "generate_failed", 503),
        (Respond(200, b"<html>", {"Content-Type": "text/html"}), "generate_failed", 200),
        (Respond(200, b'{"id": "another"}', JSON_TYPE), "generate_failed", None),
        (Respond(302, b"", {"Location": "https://evil.example.com/"}), "generate_failed", 302),
        (Truncate(), "generate_failed", None),
        (Reset(), "generate_failed", None),
        (Hang(60), "generate_failed", None),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'status', '')}" if not isinstance(value, str) else value,
)
async def test_an_upstream_error_is_an_internal_error_with_its_code(
    server: Server, sandbox: ScriptedSandbox, action: Any, code: str, status: int | None
) -> None:
    run_id = (await server.generate(wait=False)).structured["run_id"]
    for ask in (server.rpc, server.modern):
        sandbox.script.add(Route.GET_RUN, action, times=None)
        answer = await ask("resources/read", {"uri": f"runflow-run://{run_id}"})
        error = answer.error
        assert (answer.status, error["code"]) == (200, -32603)
        assert error["data"]["code"] == code
        assert error["data"]["uri"] == f"runflow-run://{run_id}"
        assert error["data"]["request_id"] == answer.headers["X-Request-Id"]
        if status is not None:
            assert error["data"]["upstream_status"] == status


async def test_a_huge_run_is_cut_to_what_an_answer_carries(server: Server, sandbox: ScriptedSandbox) -> None:
    run_id = (await server.generate(wait=False)).structured["run_id"]
    urls = [f"https://cdn.example.com/{number}/{'x' * 200}.png" for number in range(5000)]
    payload = {"id": run_id, "status": "succeeded", "output": {"text": "y" * 1_000_000, "images": urls}}
    sandbox.script.add(Route.GET_RUN, Respond(200, orjson.dumps(payload), JSON_TYPE))
    answer = await read(server, run_id)
    assert len(answer.content) < 1_500_000
    [content] = answer.result["contents"]
    assert len(orjson.loads(content["text"])["outputs"]) <= 1000


async def test_a_drain_answers_a_read_that_waits_for_runflow(server: Server, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.GET_RUN, Hang(600), times=None)
    reading = asyncio.create_task(read(server, "some-run"))
    await server.services.clock.sleep(1)
    assert server.services.inflight.pending_answers == 1
    server.services.inflight.drain(asyncio.get_running_loop().time() + 2)
    error = (await reading).error
    assert error["code"] == -32603
    assert "stopping" in error["message"]


async def test_a_run_needs_no_catalog(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Respond(500), times=None)
    server = await serve()
    started = (await server.generate(wait=False)).structured
    assert (await run(server, started["run_id"]))["run_id"] == started["run_id"]
