"""The table of methods: which era knows which, and what a drain does to a handler that waits."""

import asyncio
from typing import Any

import pytest

from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.router import BOTH, TOOLS, Method, method_table
from runflow_mcp.methods.tools.registry import Tool
from runflow_mcp.protocol.jsonrpc import Request, Result
from runflow_mcp.protocol.revisions import Era
from runflow_mcp.web.app_keys import METHODS
from tests.serving import Answer, Server

NEVER_WAIT = {
    *("initialize", "ping", "server/discover", "tools/list", "subscriptions/listen"),
    *("resources/list", "resources/templates/list", "skills/list", "skills/get"),
}


async def wait_forever(_request: Request, _ctx: RequestContext) -> Result:
    await asyncio.Event().wait()
    raise AssertionError("the drain interrupts it")


def add(server: Server, method: Method) -> None:
    table = server.app[METHODS]
    assert isinstance(table, dict)
    table[method.name] = method


async def answer_of_a_drained_call(server: Server, method: str, params: dict[str, Any] | None = None) -> Answer:
    """Call a method that waits, and drain the server meanwhile."""
    call = asyncio.create_task(server.rpc(method, params or {}))
    await server.services.clock.sleep(1)
    assert server.services.inflight.pending_answers == 1
    server.services.inflight.drain(server.services.clock.monotonic() + 2)
    answer = await call
    assert server.services.clock.monotonic() == pytest.approx(3)
    await server.services.clock.sleep(0.01)
    assert server.services.inflight.pending_answers == 0
    return answer


def test_a_new_method_may_wait_and_is_known_to_both_eras() -> None:
    method = Method("new", wait_forever)
    assert (method.may_wait, method.eras) == (True, BOTH)


def test_only_methods_that_end_by_themselves_are_not_interrupted() -> None:
    assert {method.name for method in method_table(*TOOLS).values() if not method.may_wait} == NEVER_WAIT


async def test_a_drain_interrupts_a_handler_that_knows_nothing_of_drains(server: Server) -> None:
    add(server, Method("new", wait_forever))
    answer = await answer_of_a_drained_call(server, "new")
    assert answer.error["code"] == -32603
    assert "any replica" in answer.error["message"]


async def test_a_handler_can_set_its_answer_to_a_drain(server: Server) -> None:
    async def handler(request: Request, ctx: RequestContext) -> Result:
        ctx.answer_when_drained = lambda: {"drained": True}
        return await wait_forever(request, ctx)

    add(server, Method("new", handler))
    assert (await answer_of_a_drained_call(server, "new")).result == {"drained": True}


async def test_a_drain_interrupts_a_tool_and_renders_its_tool_error(server: Server) -> None:
    def give_up() -> Result:
        raise ToolError(ToolErrorCode.SERVER_DRAINING, "Stopping.")

    async def run(_arguments: JSONObject, ctx: RequestContext) -> Result:
        ctx.answer_when_drained = give_up
        await asyncio.Event().wait()
        raise AssertionError("the drain interrupts it")

    for method in method_table(Tool({"name": "own"}, run)).values():
        add(server, method)
    answer = await answer_of_a_drained_call(server, "tools/call", {"name": "own"})
    assert answer.tool_error["code"] == "server_draining"


async def test_a_timeout_error_of_a_handler_is_not_taken_for_a_drain(server: Server) -> None:
    async def handler(_request: Request, _ctx: RequestContext) -> Result:
        raise TimeoutError("a secret")

    add(server, Method("new", handler))
    answer = await server.rpc("new")
    assert answer.error["code"] == -32603
    assert "internal error" in answer.error["message"]
    assert b"a secret" not in answer.content


async def test_a_method_of_one_era_is_unknown_to_the_other(server: Server) -> None:
    async def handler(_request: Request, _ctx: RequestContext) -> Result:
        return {"seen": True}

    add(server, Method("new", handler, frozenset({Era.LEGACY})))
    assert (await server.rpc("new")).result == {"seen": True}
    assert (await server.modern("new")).error["code"] == -32601


async def test_handlers_record_what_they_learn_of_a_call(server: Server) -> None:
    records = []

    def recording(method: Method) -> Method:
        async def handler(request: Request, ctx: RequestContext) -> Result:
            records.append(ctx.record)
            return await method.handler(request, ctx)

        return Method(method.name, handler, method.eras, method.may_wait)

    for method in method_table(*TOOLS).values():
        add(server, recording(method))
    run_id = (await server.generate(client_ref="mine", wait=False)).structured["run_id"]
    arguments = {"model": "../../v1", "input": {}}
    await server.rpc("tools/call", {"name": "generate", "arguments": arguments})
    name = (await server.rpc("prompts/list")).result["prompts"][0]["name"]
    await server.rpc("prompts/get", {"name": name})
    started, refused, _, prompt = records
    assert (started.tool, started.client_ref, started.run_id) == ("generate", "mine", run_id)
    assert (started.model, started.error_code) == ("google/nano-banana-2", None)
    assert (refused.tool, refused.model, refused.error_code) == ("generate", None, "invalid_arguments")
    assert prompt.prompt == name
