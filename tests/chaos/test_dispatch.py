"""Every upstream error of a dispatch, through the whole server: one run, and its id or client_ref is reported."""

from typing import Any

import orjson
import pytest

from runflow_mcp.runflow.dispatch.dispatcher import BUDGET
from tests.chaos.chaos_world import INPUTS, ROUNDING, CallArguments, World
from tests.methods.recorded_requests import dispatches
from tests.methods.tool_error_reader import tool_error_of
from tests.scripted_sandbox import Action, Delay, Hang, Idempotency, Reset, Respond, Route, ScriptedSandbox, Truncate
from tests.serving import BOTH, KEY, MODEL, Server
from tests.virtual_time import VirtualClock

PAGE = b"<html><h1>Bad gateway</h1></html>"
JSON = {"Content-Type": "application/json"}


def before_and_after(name: str, kind: type[Any], *given: Any, **also: Any) -> dict[str, Action]:
    """The error before and after the run was created."""
    return {f"{name}, {'after' if made else 'before'}": kind(*given, created=made, **also) for made in (False, True)}


#: Errors after which the run is found or repeated under every idempotency rule of the upstream.
SURVIVED: dict[str, Action] = {
    **before_and_after("reset", Reset),
    **before_and_after("silence", Hang, 100.0),
    "truncated": Truncate(created=True),
    **before_and_after("late reset", Hang, 9.0),
    **before_and_after("408", Respond, 408),
    **before_and_after("500", Respond, 500, b'{"code":"INTERNAL","message":"x"}', JSON),
    **before_and_after("500 that names a time", Respond, 500, b"", {"Retry-After": "5"}),
    **before_and_after("502", Respond, 502, PAGE, {"Content-Type": "text/html"}),
    **before_and_after("503", Respond, 503, b'{"code":"MODEL_UNAVAILABLE","message":"x"}', JSON),
    **before_and_after("503 that names a time", Respond, 503, b"", {"Retry-After": "5"}),
    **before_and_after("503 page", Respond, 503, PAGE, {"Content-Type": "text/html"}),
    **before_and_after("late 503", Respond, 503, after=9.0),
    **before_and_after("504", Respond, 504, PAGE, {"Content-Type": "text/html"}),
    **before_and_after("599", Respond, 599),
    "201 page": Respond(201, PAGE, created=True),
    "201 cut short": Respond(201, b'{"id":"01a2', created=True),
    "201 without an id": Respond(201, b'{"status_code":"queued"}', created=True),
    "201 with a null id": Respond(201, b'{"id":null,"status_code":"queued"}', created=True),
    "201 with an id that leads away": Respond(201, b'{"id":"../../v1/keys"}', created=True),
    "201 with a list": Respond(201, b"[]", created=True),
    "201 with null": Respond(201, b"null", created=True),
    "204": Respond(204, created=True),
    "late 201 page": Respond(201, PAGE, after=9.0, created=True),
    **before_and_after("429", Respond, 429),
    **before_and_after("429 that names a time", Respond, 429, b'{"code":"RATE_LIMITED"}', {"Retry-After": "3"}),
    **before_and_after("429 that names nonsense", Respond, 429, b"", {"Retry-After": "soon"}),
    "a late answer": Delay(9.0, created=True),
    "an answer too late": Delay(50.0, created=True),
}


class TestWithEveryUpstreamsIdempotency:
    """The upstream may recognise a repeated request by header, by client_ref, or not at all."""

    @pytest.fixture(params=list(Idempotency), ids=lambda rule: rule.value)
    def sandbox(self, request: pytest.FixtureRequest, clock: VirtualClock) -> ScriptedSandbox:
        return ScriptedSandbox(clock=clock, idempotency=request.param)

    @pytest.mark.parametrize("action", SURVIVED.values(), ids=SURVIVED)
    async def test_an_error_leaves_one_run_and_its_client_gets_the_result(
        self, server: Server, sandbox: ScriptedSandbox, action: Action
    ) -> None:
        sandbox.script.add(Route.CREATE, action)
        answer = await server.generate(accept=BOTH, token=1)
        [run] = sandbox.runs
        assert answer.structured["status"] == "succeeded"
        assert answer.structured["run_id"] == run.id
        assert answer.structured["client_ref"] == run.request.client_ref

    @pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 409, 413, 422, 451])
    async def test_a_run_behind_a_false_refusal_is_found_by_its_client_ref(
        self, server: Server, sandbox: ScriptedSandbox, status: int
    ) -> None:
        sandbox.script.add(Route.CREATE, Respond(status, PAGE, created=True))
        answer = await server.generate(wait=False)
        [run] = sandbox.runs
        if status == 409:
            assert answer.structured["run_id"] == run.id
            return
        assert answer.tool_error["details"]["client_ref"] == run.request.client_ref
        again = await server.generate(client_ref=run.request.client_ref)
        assert again.structured["run_id"] == run.id
        assert len(sandbox.runs) == 1

    @pytest.mark.parametrize(
        ("action", "code"),
        [
            (Reset(created=True), "generate_failed"),
            (Respond(500, b'{"code":"INTERNAL"}', created=True), "generate_failed"),
            (Respond(503, created=True), "generate_failed"),
            (Respond(503, b'{"code":"MODEL_UNAVAILABLE"}', created=True), "model_unavailable"),
            (Respond(429, b'{"code":"RATE_LIMITED"}', created=True), "rate_limited"),
        ],
        ids=repr,
    )
    async def test_a_dispatch_of_unknown_outcome_names_its_client_ref(
        self, server: Server, sandbox: ScriptedSandbox, action: Action, code: str
    ) -> None:
        sandbox.script.add(Route.CREATE, action, times=None)
        sandbox.script.add(Route.LIST_RUNS, Respond(502, PAGE), times=None)
        answer = await server.generate()
        [run] = sandbox.runs
        error = tool_error_of(answer, code, upstream_status=getattr(action, "status", None))
        assert "it may exist under this client_ref" in error["message"]
        assert error["details"]["client_ref"] == run.request.client_ref
        assert str(run.request.client_ref) in answer.result["content"][0]["text"]
        sandbox.script.clear()
        again = await server.generate(client_ref=run.request.client_ref)
        assert again.structured["run_id"] == run.id
        assert len(sandbox.runs) == 1


@pytest.mark.parametrize("rule", list(Idempotency), ids=lambda rule: rule.value)
@pytest.mark.parametrize("seconds", [0.2, 1.0])
def test_an_upstream_that_is_down_for_a_moment_gets_one_run(rule: Idempotency, seconds: float) -> None:
    world = World(rule)
    world.upstream_down(seconds)
    call = world.call(0, CallArguments(KEY, MODEL, None, "stream", INPUTS[0]))
    world.advance(30)
    assert call.answer is not None
    assert call.answer.structured["status"] == "succeeded"
    assert len(world.sandbox.runs) == 1
    world.end()


@pytest.mark.parametrize("rule", [Idempotency.HEADER, Idempotency.CLIENT_REF], ids=lambda rule: rule.value)
def test_two_replicas_called_at_once_create_one_run(rule: Idempotency) -> None:
    world = World(rule)
    for number in (0, 1):
        world.call(number, CallArguments(KEY, MODEL, "both", "stream", INPUTS[number]))
    world.advance(30)
    assert len({call.answer.structured["run_id"] for call in world.calls if call.answer}) == 1
    assert len(world.sandbox.runs) == 1
    world.end()


@pytest.mark.parametrize("first", [429, 502, 503])
@pytest.mark.parametrize("second", [429, 502, 503])
async def test_a_dispatch_stays_within_its_budget_when_answers_are_late(
    server: Server, sandbox: ScriptedSandbox, first: int, second: int
) -> None:
    """Each attempt is answered just before its timeout, and each look-up hangs."""
    sandbox.script.add(Route.CREATE, Respond(first, after=27.0))
    sandbox.script.add(Route.CREATE, Respond(second, after=11.0), times=None)
    sandbox.script.add(Route.LIST_RUNS, Hang(100), times=None)
    answer = await server.generate(wait=False)
    assert answer.tool_error["details"]["client_ref"]
    assert server.services.clock.monotonic() <= BUDGET + ROUNDING
    assert len(dispatches(sandbox)) <= 3


async def test_a_look_up_prefers_the_run_whose_model_is_known_to_match(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    """A newer run under the same client_ref, whose metadata upstream left out, does not match better."""
    first = await server.generate(client_ref="shared")
    silent = {"id": "of-any-model", "client_ref": "shared", "metadata": None}
    right = {"id": first.structured["run_id"], "client_ref": "shared", "metadata": {"mcp_model": MODEL}}
    sandbox.script.add(Route.LIST_RUNS, Respond(200, orjson.dumps({"items": [silent, right]})))
    again = await server.generate(client_ref="shared", wait=False)
    assert again.structured["run_id"] == first.structured["run_id"]


async def test_a_call_rejected_before_its_dispatch_names_its_client_ref_in_text_and_details(server: Server) -> None:
    server.services.inflight.drain(server.services.clock.monotonic())
    answer = await server.generate(client_ref="refused")
    error = answer.tool_error
    assert error["code"] == "server_draining"
    assert error["details"]["client_ref"] == "refused"
    assert "client_ref: refused" in answer.result["content"][0]["text"]
