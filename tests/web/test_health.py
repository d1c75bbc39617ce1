"""Liveness and readiness, as load balancers ask for them."""

import asyncio

import pytest

from runflow_mcp import __version__
from tests.scripted_sandbox import Hang, Respond, Route, ScriptedSandbox
from tests.serving import Serve, Server


@pytest.mark.parametrize("headers", [{}, {"Host": "10.0.0.1"}, {"Origin": "http://evil.example"}], ids=str)
async def test_healthz_answers_any_host_and_any_caller(server: Server, headers: dict[str, str]) -> None:
    answer = await server.request("GET", "/healthz", headers=headers)
    assert answer.status == 200
    assert answer.json == {"status": "ok", "version": __version__}
    assert answer.headers["X-Request-Id"]


async def test_healthz_asks_nothing_upstream(server: Server, sandbox: ScriptedSandbox) -> None:
    await server.services.clock.sleep(1)
    seen = len(sandbox.requests)
    for _ in range(5):
        await server.request("GET", "/healthz")
    assert len(sandbox.requests) == seen


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_are_not_limited(server: Server, path: str) -> None:
    await server.services.clock.sleep(1)  # the catalog arrives
    answers = [await server.request("GET", path) for _ in range(200)]
    assert {answer.status for answer in answers} == {200}


async def test_readyz_is_ready_once_the_catalog_has_arrived(server: Server) -> None:
    await server.services.clock.sleep(1)
    answer = await server.request("GET", "/readyz", headers={"Host": "10.0.0.1"})
    assert answer.status == 200
    assert answer.json["reasons"] == []
    assert answer.json["catalog"]["state"] == "fresh"
    assert answer.json["catalog"]["models"] == 45
    assert answer.json["limits"]["store"] == "memory"


async def test_readyz_waits_at_most_five_seconds_for_the_catalog(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Hang(20), times=None)
    server = await serve()
    starting = await server.request("GET", "/readyz")
    assert starting.status == 503
    assert any("starting" in reason for reason in starting.json["reasons"])
    await server.services.clock.sleep(4.9)
    assert (await server.request("GET", "/readyz")).status == 503
    await server.services.clock.sleep(0.2)
    ready = await server.request("GET", "/readyz")
    assert ready.status == 200
    assert ready.json["catalog"] == {"state": "missing"}


async def test_a_missing_catalog_does_not_make_a_server_unready(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Respond(500), times=None)
    server = await serve()
    await server.services.clock.sleep(0.1)
    answer = await server.request("GET", "/readyz")
    assert answer.status == 200
    assert answer.json["catalog"] == {"state": "missing"}
    assert (await server.generate()).structured["status"] == "succeeded"


async def test_readyz_reports_a_stale_catalog(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="10000")
    await server.services.clock.sleep(1)
    sandbox.script.add(Route.CATALOG, Respond(500), times=None)
    await server.services.clock.sleep(30)
    answer = await server.request("GET", "/readyz")
    assert answer.status == 200
    assert answer.json["catalog"]["state"] == "stale"
    assert answer.json["catalog"]["stale_seconds"] >= 19


async def test_a_draining_server_is_alive_but_not_ready(server: Server) -> None:
    await server.services.clock.sleep(1)
    server.services.inflight.drain(asyncio.get_running_loop().time() + 8)
    answer = await server.request("GET", "/readyz")
    assert answer.status == 503
    assert answer.json["reasons"] == ["draining"]
    assert (await server.request("GET", "/healthz")).status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_other_methods_on_a_probe_are_405(server: Server, path: str) -> None:
    answer = await server.request("POST", path)
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]
