"""Links that stay good by calling again, and what a run costs: as Runflow says it, never a guess."""

from datetime import datetime

import orjson
import pytest

from runflow_mcp.methods.tools.balance import parse_balance
from runflow_mcp.methods.tools.generate import TOOL
from tests.methods.recorded_requests import dispatches
from tests.methods.schema_check import fits
from tests.methods.tool_error_reader import tool_error_of
from tests.scripted_sandbox import Action, Hang, Reset, Respond, Route, ScriptedSandbox
from tests.serving import BOTH, Server
from tests.virtual_time import VirtualClock

NO_CREDIT = "rf_live_sandbox_no_credit"
FOUR = {"prompt": "a lighthouse", "num_images": 4}
MODEL = "openai/gpt-image-2"


async def status_of(server: Server, url: str) -> int:
    async with server.session.get(url) as response:
        return response.status


async def test_the_same_call_again_gives_fresh_links_and_no_new_run(
    server: Server, sandbox: ScriptedSandbox, clock: VirtualClock
) -> None:
    first = (await server.generate(MODEL, FOUR, client_ref="mine")).structured
    assert len(first["outputs"]) == 4
    assert {await status_of(server, output["url"]) for output in first["outputs"]} == {200}
    await clock.sleep(16 * 60)
    assert {await status_of(server, output["url"]) for output in first["outputs"]} == {403}
    again = (await server.generate(MODEL, FOUR, client_ref="mine")).structured
    assert {await status_of(server, output["url"]) for output in again["outputs"]} == {200}
    assert (again["run_id"], again["cost"]) == (first["run_id"], first["cost"])
    # The same files in the same order, under the same names.
    paths = [[output["url"].partition("?")[0] for output in result["outputs"]] for result in (first, again)]
    assert paths[0] == paths[1]
    assert len(dispatches(sandbox)) == len(list(sandbox.runs)) == 1


async def test_an_output_names_when_its_link_expires(server: Server, clock: VirtualClock) -> None:
    answer = await server.generate(MODEL, FOUR, client_ref="mine")
    assert fits(TOOL.definition["outputSchema"], answer.structured)
    assert orjson.loads(answer.result["content"][0]["text"]) == answer.structured
    for output in answer.structured["outputs"]:
        expires = datetime.fromisoformat(output["expires_at"]).timestamp()
        assert expires - clock.wall() == pytest.approx(15 * 60, abs=2)
        assert output["expires_at"].endswith("Z")


async def test_an_output_whose_link_does_not_say_has_no_expiry(server: Server, sandbox: ScriptedSandbox) -> None:
    run = {"id": "r-1", "status_code": "succeeded", "output": {"url": "https://example.com/a.png?token=1"}}
    sandbox.script.add(Route.CREATE, Respond(201, orjson.dumps(run)))
    [output] = (await server.generate()).structured["outputs"]
    assert output == {"url": "https://example.com/a.png?token=1", "mime_type": "image/png"}


async def test_the_last_progress_message_has_the_cost(server: Server) -> None:
    answer = await server.generate(token=1, accept=BOTH)
    messages = [progress["message"] for progress in answer.progress]
    assert messages[-1].endswith(f", cost {answer.structured['cost']}")
    assert not any("cost" in message for message in messages[:-1])


async def test_a_run_without_a_cost_has_none_in_its_progress(server: Server) -> None:
    answer = await server.generate("sandbox/odd", token=1, accept=BOTH)
    assert answer.structured["cost"] is None
    assert not any("cost" in progress["message"] for progress in answer.progress)


async def test_missing_credit_is_reported_with_the_balance(server: Server, sandbox: ScriptedSandbox) -> None:
    answer = await server.generate(key=NO_CREDIT)
    error = tool_error_of(answer, "insufficient_credits", upstream_status=402)
    assert error["details"]["balance"] == "0.00 USD"
    assert "balance: 0.00 USD" in answer.result["content"][0]["text"]
    assert {request.key for request in sandbox.requests if request.path == "/v1/billing/balance"} == {
        dispatches(sandbox)[0].key
    }


@pytest.mark.parametrize(
    "action",
    [
        Respond(403, b'{"code":"PERMISSION_DENIED","message":"no"}'),
        Respond(404),
        Respond(500),
        Respond(200, b"{}"),
        Respond(200, b"[1]"),
        Respond(200, b"<html>"),
        Reset(),
        Hang(60),
    ],
    ids=str,
)
async def test_a_balance_that_cannot_be_read_is_left_out(
    server: Server, sandbox: ScriptedSandbox, clock: VirtualClock, action: Action
) -> None:
    sandbox.script.add(Route.BALANCE, action, times=None)
    started = clock.monotonic()
    error = tool_error_of(await server.generate(key=NO_CREDIT), "insufficient_credits", upstream_status=402)
    assert "balance" not in error["details"]
    assert clock.monotonic() - started < 5


async def test_other_errors_ask_for_no_balance(server: Server, sandbox: ScriptedSandbox) -> None:
    await server.generate(key="rf_live_sandbox_forbidden")
    assert not [request for request in sandbox.requests if request.path == "/v1/billing/balance"]


@pytest.mark.parametrize(
    ("answer", "balance"),
    [
        ({"balance": "12.50", "currency": "usd"}, "12.50 USD"),
        ({"balance": 12.5}, "12.5"),
        ({"balance": "$3.00"}, "3.00"),
        ({"balance": "-0.40"}, "-0.40"),
        ({"data": {"available": 7}}, "7"),
        ({"balance": {"amount": "7.00", "currency": "EUR"}}, "7.00 EUR"),
        ({"balance_cents": 1250}, None),
        ({"balance": "lots"}, None),
        ({"balance": True}, None),
        ({"balance": None}, None),
        ({"balance": "1" * 40}, None),
        ([], None),
        (5, None),
    ],
    ids=str,
)
def test_a_balance_is_read_only_where_it_is_plain(answer: object, balance: str | None) -> None:
    assert parse_balance(answer) == balance
