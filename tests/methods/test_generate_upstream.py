"""The requests that a call sends to Runflow: the run request, the caller's bearer and trace, safe paths."""

import hashlib

import orjson
import pytest

from runflow_mcp.sandbox.credentials import fingerprint
from tests.methods.recorded_requests import caller_requests, dispatches
from tests.methods.tool_error_reader import tool_error_of
from tests.scripted_sandbox import Respond, Route, ScriptedSandbox
from tests.serving import INPUT, KEY, MODEL, Serve, Server

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"


async def test_the_order_carries_input_client_ref_and_metadata(server: Server, sandbox: ScriptedSandbox) -> None:
    await server.generate(client_ref="order")
    digest = hashlib.sha256(orjson.dumps(INPUT, option=orjson.OPT_SORT_KEYS)).hexdigest()
    [order] = dispatches(sandbox)
    assert order.path == f"/v1/models/{MODEL}/runs"
    assert order.body == {
        "input": INPUT,
        "client_ref": "order",
        "metadata": {"mcp_model": MODEL, "mcp_input_sha256": digest},
    }


async def test_every_request_goes_with_the_callers_bearer_and_no_cookie(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    await server.generate(client_ref="bearer", key="rf_live_my_own")
    assert {request.key for request in caller_requests(sandbox)} == {fingerprint("rf_live_my_own")}
    assert not any("Cookie" in request.headers for request in sandbox.requests)


async def test_the_documents_are_fetched_without_any_bearer(server: Server, sandbox: ScriptedSandbox) -> None:
    await server.call("list_models")
    assert [request.key for request in sandbox.requests] == [None, None]


async def test_the_idempotency_key_is_one_for_each_bearer_model_and_client_ref(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    for model, key, ref in [
        (MODEL, KEY, "a"),
        (MODEL, KEY, "b"),
        (MODEL, "rf_live_somebody_else", "a"),
        ("ideogram/v3", KEY, "a"),
    ]:
        await server.generate(model, key=key, client_ref=ref, wait=False)
    keys = [request.headers["Idempotency-Key"] for request in dispatches(sandbox)]
    assert len(set(keys)) == 4
    assert not any("rf_live" in key or len(key) > 255 for key in keys)


async def test_the_idempotency_key_is_the_same_on_another_day_and_replica(
    serve: Serve, sandbox: ScriptedSandbox
) -> None:
    server, another = await serve(), await serve()
    sandbox.script.add(Route.LIST_RUNS, Respond(200, b'{"items":[]}'), times=None)
    await server.generate(client_ref="a", wait=False)
    await another.generate(client_ref="a", wait=False)
    first, second = dispatches(sandbox)
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.body == second.body


@pytest.mark.parametrize(
    "model",
    [MODEL, f"/v1/models/{MODEL}/runs", f"  {MODEL}\n", "bytedance/seedance/2.0/fast/text-to-video"],
)
async def test_a_model_is_given_by_its_name_or_its_runs_endpoint(
    server: Server, sandbox: ScriptedSandbox, model: str
) -> None:
    answer = await server.generate(model, wait=False)
    bare = model.strip().removeprefix("/v1/models/").removesuffix("/runs")
    assert answer.structured["model"] == bare
    assert dispatches(sandbox)[0].path == f"/v1/models/{bare}/runs"


async def test_an_input_may_come_as_a_text_that_holds_an_object(server: Server, sandbox: ScriptedSandbox) -> None:
    await server.generate(input='{"prompt": "a lighthouse", "num_images": 2}', wait=False)
    assert dispatches(sandbox)[0].body["input"] == {"prompt": "a lighthouse", "num_images": 2}


async def test_an_input_goes_on_unchanged(server: Server, sandbox: ScriptedSandbox) -> None:
    odd = {"prompt": 'ü \u2028 𝄞 \\ " \u0000', "nested": [[{"a": [None, 1.5, -0.0, 2**63, True]}]], "": {}}
    await server.generate(input=odd, wait=False)
    assert dispatches(sandbox)[0].body["input"] == odd


def nested(levels: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


async def test_an_input_of_200_levels_goes_on_and_of_201_does_not(server: Server, sandbox: ScriptedSandbox) -> None:
    deep = {"prompt": "x", "a": nested(199)}
    assert (await server.generate(input=deep, wait=False)).structured["status"] == "queued"
    assert dispatches(sandbox)[0].body["input"] == deep
    answer = await server.generate(input={"prompt": "x", "a": nested(200)}, wait=False)
    tool_error_of(answer, "invalid_arguments")
    assert len(dispatches(sandbox)) == 1


@pytest.mark.parametrize(
    "model",
    [
        "../../v1/runs",
        "google/../../runs",
        "google/..",
        "./google/x",
        "google/./x",
        "/v1/models/../../admin/runs",
        "//google/x",
        "google//x",
        "google/x/",
        "google",
        "",
        "google/%2e%2e/x",
        "google/..%2fx",
        "google\\..\\x",
        "google/x?y=1",
        "google/x#y",
        "google/x;y",
        "google/x y",
        "google/x\r\nX-Injected: 1",
        "google/x\x00",
        "göögle/x",
        "https://example.com/x",
        "//example.com/x",
        "google/x@example.com:80",
        "a/" + "x" * 255,
    ],
)
@pytest.mark.parametrize("client_ref", [None, "mine"])
async def test_a_malformed_model_name_is_not_sent_upstream(
    server: Server, sandbox: ScriptedSandbox, model: str, client_ref: str | None
) -> None:
    answer = await server.generate(model, client_ref=client_ref)
    error = tool_error_of(answer, "invalid_arguments")
    assert "model" in error["message"]
    assert "- model: " in answer.result["content"][0]["text"]
    assert caller_requests(sandbox) == []


async def test_a_model_of_256_characters_is_dispatched(server: Server, sandbox: ScriptedSandbox) -> None:
    tool_error_of(await server.generate("a/" + "x" * 254), "model_not_found", upstream_status=404)
    assert len(dispatches(sandbox)) == 1


async def test_a_client_ref_cannot_leave_its_filter(server: Server, sandbox: ScriptedSandbox) -> None:
    tool_error_of(await server.generate(client_ref="x' OR client_ref.EQ:'y"), "invalid_arguments")
    assert caller_requests(sandbox) == []


class TestTrace:
    async def test_trace_headers_go_with_every_request(self, server: Server, sandbox: ScriptedSandbox) -> None:
        await server.generate(client_ref="t", headers={"traceparent": PARENT, "tracestate": "a=1"})
        assert len(caller_requests(sandbox)) >= 4
        assert {request.headers.get("Traceparent") for request in caller_requests(sandbox)} == {PARENT}
        assert {request.headers.get("Tracestate") for request in caller_requests(sandbox)} == {"a=1"}

    async def test_a_trace_in_meta_replaces_the_headers(self, server: Server, sandbox: ScriptedSandbox) -> None:
        meta = {"traceparent": PARENT, "tracestate": "b=2"}
        params = {"name": "generate", "arguments": {"model": MODEL, "input": INPUT}, "_meta": meta}
        await server.rpc("tools/call", params, headers={"traceparent": OTHER, "tracestate": "a=1"})
        assert {request.headers.get("Traceparent") for request in caller_requests(sandbox)} == {PARENT}
        assert {request.headers.get("Tracestate") for request in caller_requests(sandbox)} == {"b=2"}

    @pytest.mark.parametrize("value", ["x\r\nAuthorization: Bearer y", "ü", "x" * 513, 5, None], ids=repr)
    async def test_a_malformed_trace_is_not_sent_upstream(
        self, server: Server, sandbox: ScriptedSandbox, value: object
    ) -> None:
        params = {
            "name": "generate",
            "arguments": {"model": MODEL, "input": INPUT},
            "_meta": {"traceparent": value},
        }
        assert (await server.rpc("tools/call", params)).structured["status"] == "succeeded"
        assert not any("Traceparent" in request.headers for request in caller_requests(sandbox))

    async def test_without_a_trace_no_trace_is_sent(self, server: Server, sandbox: ScriptedSandbox) -> None:
        await server.generate()
        assert not any("Traceparent" in request.headers for request in caller_requests(sandbox))
