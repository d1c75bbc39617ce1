"""Every request to Runflow that is repeated after a failure is counted under the name of what it is for."""

import asyncio

import pytest

from runflow_mcp.observability.metrics import Metrics, Operation
from tests.scripted_sandbox import Respond, Route, ScriptedSandbox
from tests.serving import TASKS, Serve, Server

CLIENT_REF = "retried"


@pytest.fixture
def retries(monkeypatch: pytest.MonkeyPatch) -> list[Operation]:
    """The operations of the retries so far."""
    counted: list[Operation] = []
    monkeypatch.setattr(Metrics, "upstream_retry", lambda _, operation: counted.append(operation))
    return counted


async def test_a_call_without_failures_has_no_retries(server: Server, retries: list[Operation]) -> None:
    await server.generate(client_ref=CLIENT_REF)
    await server.generate(client_ref=CLIENT_REF)
    assert retries == []


@pytest.mark.parametrize(
    ("route", "operation"),
    [(Route.CREATE, "create_run"), (Route.LIST_RUNS, "find_run"), (Route.GET_RUN, "get_run")],
)
async def test_each_repeated_request_of_a_call_is_counted(
    server: Server, sandbox: ScriptedSandbox, retries: list[Operation], route: Route, operation: str
) -> None:
    sandbox.script.add(route, Respond(503), times=2)
    answer = await server.generate(client_ref=CLIENT_REF)
    assert answer.structured["status"] == "succeeded"
    assert retries == [operation, operation]


async def test_a_failed_read_by_id_of_a_run_that_was_found_is_counted(
    serve: Serve, sandbox: ScriptedSandbox, retries: list[Operation]
) -> None:
    await (await serve()).generate(client_ref=CLIENT_REF)
    sandbox.script.add(Route.GET_RUN, Respond(503), times=4)  # three of the look-up, then one of the wait
    await (await serve()).generate(client_ref=CLIENT_REF)
    assert retries == ["get_run"] * 3


async def test_a_failed_read_that_calls_share_is_repeated_and_counted_once(
    server: Server, sandbox: ScriptedSandbox, retries: list[Operation]
) -> None:
    sandbox.script.add(Route.GET_RUN, Respond(503))
    await asyncio.gather(*(server.generate(client_ref=CLIENT_REF) for _ in range(5)))
    assert retries == ["get_run"]


async def test_each_repeated_read_of_a_task_is_counted(
    server: Server, sandbox: ScriptedSandbox, retries: list[Operation]
) -> None:
    run_id = (await server.generate(wait=False)).structured["run_id"]
    sandbox.script.add(Route.GET_RUN, Respond(503), times=2)
    await server.modern("tasks/get", {"taskId": run_id}, extensions=(TASKS,))
    assert retries == ["get_run", "get_run"]


async def test_a_request_that_is_given_up_is_counted_for_each_repetition(
    server: Server, sandbox: ScriptedSandbox, retries: list[Operation]
) -> None:
    sandbox.script.add(Route.CREATE, Respond(503), times=None)
    assert (await server.generate(client_ref=CLIENT_REF)).tool_error["upstream_status"] == 503
    assert retries == ["create_run", "create_run"]


@pytest.mark.parametrize("route", [Route.CATALOG, Route.SKILL])
async def test_each_repeated_fetch_of_a_document_is_counted(
    serve: Serve, sandbox: ScriptedSandbox, retries: list[Operation], route: Route
) -> None:
    sandbox.script.add(route, Respond(503))
    server = await serve()
    await server.services.clock.sleep(120)
    assert retries == [route.value]
