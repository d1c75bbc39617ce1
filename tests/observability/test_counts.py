"""Exact counts of every metric after a known workload, over HTTP, with the sandbox as Runflow."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from runflow_mcp.observability.client_names import KNOWN_CLIENTS, client_label
from runflow_mcp.sandbox import RunningSandbox
from runflow_mcp.web.sampling import INTERVAL
from tests.observability.scrape import Metered, metered_server
from tests.scripted_sandbox import Hang, Reset, Respond, Route, ScriptedSandbox
from tests.serving import BOTH, INPUT, META, MODEL, TASKS, Server
from tests.virtual_time import VirtualClock

REVISION = {"MCP-Protocol-Version": "2025-11-25"}
CLIENT = {f"{META}clientInfo": {"name": "claude-code", "version": "2.1"}}
OPERATIONS = "mcp_server_operation_duration_seconds"


@pytest.fixture
def metered() -> Metered:
    return Metered()


@pytest.fixture
async def server(upstream: RunningSandbox, clock: VirtualClock, metered: Metered) -> AsyncIterator[Server]:
    async with metered_server(upstream.url, clock, metered, {}) as made:
        yield made


def operation(method: str, revision: str = "2025-11-25", *, tool: str = "", error: str = "") -> str:
    labels = {
        "error_type": error,
        "gen_ai_tool_name": tool,
        "mcp_method_name": method,
        "mcp_protocol_version": revision,
    }
    return OPERATIONS + "_count{" + ",".join(f'{name}="{value}"' for name, value in labels.items() if value) + "}"


# Requests


async def test_each_message_is_counted_by_method_tool_error_and_revision(server: Server, metered: Metered) -> None:
    for _ in range(3):
        await server.rpc("tools/list", headers=REVISION)
    await server.call("list_models", headers=REVISION, limit=1)
    await server.call("list_models", headers=REVISION, limit="many")
    await server.rpc("nothing", headers=REVISION)
    await server.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=REVISION)
    await server.post(b"{", headers=REVISION)
    await server.generate("sandbox/failing", headers=REVISION)
    await server.modern("tools/list")
    assert metered.counts(OPERATIONS) == {
        operation("tools/list"): 3,
        operation("tools/call", tool="list_models"): 1,
        operation("tools/call", tool="list_models", error="invalid_arguments"): 1,
        operation("unknown", error="jsonrpc_-32601"): 1,
        operation("notifications/initialized"): 1,
        operation("", "", error="jsonrpc_-32700"): 1,
        operation("tools/call", tool="generate", error="run_failed"): 1,
        operation("tools/list", "2026-07-28"): 1,
    }


async def test_each_entry_of_a_batch_is_counted_with_its_own_duration(server: Server, metered: Metered) -> None:
    slow = {"name": "generate", "arguments": {"model": MODEL, "input": INPUT}}
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": slow},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ]
    await server.post(batch)
    old = "2025-03-26"
    counts = {operation("ping", old): 1, operation("notifications/initialized", old): 1}
    assert metered.counts(OPERATIONS) == {**counts, operation("tools/call", old, tool="generate"): 1}
    sums = metered.samples(f"{OPERATIONS}_sum")
    assert sums.get(operation("ping", old).replace("_count", "_sum"), 0) < 1
    assert sums[operation("tools/call", old, tool="generate").replace("_count", "_sum")] > 2


async def test_a_code_of_runflow_has_no_label_of_its_own(
    server: Server, sandbox: ScriptedSandbox, metered: Metered
) -> None:
    for code in ("PERMISSION_DENIED", "SOMETHING_NEW"):
        sandbox.script.add(Route.CREATE, Respond(403, b'{"code": "%s"}' % code.encode()))
        await server.generate(headers=REVISION)
    assert metered.counts(OPERATIONS) == {operation("tools/call", tool="generate", error="other"): 2}


async def test_a_client_that_leaves_is_counted_as_such(server: Server, metered: Metered, clock: VirtualClock) -> None:
    call = asyncio.create_task(server.generate("sandbox/slow", headers=REVISION))
    await clock.sleep(5)
    call.cancel()
    await asyncio.wait([call])
    await clock.sleep(1)
    assert metered.counts(OPERATIONS) == {operation("tools/call", tool="generate", error="client_gone"): 1}


async def test_clients_are_counted_by_a_known_name_or_as_other(server: Server, metered: Metered) -> None:
    for name in ("claude-code", "Claude-Code (via mcp-remote 0.1.37)", "my own client", 7):
        await server.rpc("initialize", {"protocolVersion": "2025-11-25", "clientInfo": {"name": name}})
    await server.rpc("tools/list", headers=REVISION)
    await server.modern("tools/list", meta=CLIENT)
    name = "runflow_mcp_client_requests_total"
    assert metered.counts(name) == {
        f'{name}{{client="claude-code",mcp_protocol_version="2025-11-25"}}': 2,
        f'{name}{{client="other",mcp_protocol_version="2025-11-25"}}': 3,
        f'{name}{{client="claude-code",mcp_protocol_version="2026-07-28"}}': 1,
    }


@pytest.mark.parametrize("name", sorted(KNOWN_CLIENTS))
def test_a_known_client_is_labelled_by_its_name(name: str) -> None:
    assert client_label(name.upper()) == name


async def test_strangers_cannot_create_labels(server: Server, metered: Metered) -> None:
    for number in range(30):
        info = {"name": f"client-{number}", "version": "1"}
        await server.modern(f"method-{number}", meta={f"{META}clientInfo": info})
        await server.generate(f"vendor-{number}/model", headers=REVISION, wait=False)
    samples = metered.samples()
    assert not [key for key in samples if "client-" in key or "method-" in key or "vendor-" in key]
    assert samples['runflow_mcp_client_requests_total{client="other",mcp_protocol_version="2026-07-28"}'] == 30


async def test_each_rejection_is_counted_by_its_code(server: Server, metered: Metered) -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    await server.post(ping, key=None)
    await server.post(ping, headers={"Authorization": "Basic x"})
    await server.post(ping, headers={"Host": "evil.example.com"})
    await server.post(ping, headers={"Origin": "null"})
    await server.post(ping, headers={"Content-Type": "text/plain"})
    await server.post(b" " * 300_000)
    await server.post(ping, headers={"X": "y" * 20_000})
    await server.request("GET", "/nothing")
    await server.request("GET", "/healthz")
    name = "runflow_mcp_rejections_total"
    assert metered.counts(name) == {
        f'{name}{{code="{code}"}}': 1
        for code in (
            *("missing_authorization", "malformed_authorization", "host_rejected", "origin_rejected"),
            *("unsupported_media_type", "body_too_large", "head_too_large"),
        )
    }
    assert metered.counts(OPERATIONS) == {}


# Runs


def runs(**events: int) -> dict[str, float]:
    return {f'runflow_mcp_runs_total{{event="{event}",provider="google"}}': count for event, count in events.items()}


async def settled(server: Server) -> None:
    """The catalog has been fetched, so that its providers are known."""
    await server.services.catalog.snapshot()


async def test_a_run_is_counted_once_however_many_calls_wait_for_it(server: Server, metered: Metered) -> None:
    await settled(server)
    answers = await asyncio.gather(*(server.generate(client_ref="shared") for _ in range(4)))
    await server.generate(client_ref="shared")
    assert metered.counts("runflow_mcp_runs_total") == runs(started=1, found=4, succeeded=1)
    cost = float(answers[0].structured["cost"])
    samples = metered.samples("runflow_mcp_run_cost")
    assert cost > 0
    assert samples == {'runflow_mcp_run_cost_usd_total{provider="google"}': pytest.approx(cost)}


async def test_a_run_that_had_ended_before_counts_as_found_alone(
    server: Server, upstream: RunningSandbox, clock: VirtualClock
) -> None:
    await server.generate(client_ref="earlier")
    other = Metered()
    async with metered_server(upstream.url, clock, other, {}) as replica:
        await settled(replica)
        await replica.generate(client_ref="earlier")
    assert other.counts("runflow_mcp_run") == runs(found=1)


@pytest.mark.parametrize(("model", "event"), [("sandbox/failing", "failed"), ("sandbox/cancelled", "cancelled")])
async def test_the_end_of_a_run_is_counted_by_its_kind(
    server: Server, metered: Metered, model: str, event: str
) -> None:
    await settled(server)
    await server.generate(model)
    name = "runflow_mcp_runs_total"
    counts = {f'{name}{{event="{each}",provider="other"}}': 1.0 for each in ("started", event)}
    assert metered.counts("runflow_mcp_run") == counts


async def test_a_run_without_a_wait_is_counted_when_its_end_is_seen(server: Server, metered: Metered) -> None:
    await settled(server)
    await server.generate(wait=False, client_ref="later")
    assert metered.counts("runflow_mcp_runs_total") == runs(started=1)
    await server.services.clock.sleep(60)
    await server.generate(client_ref="later")
    assert metered.counts("runflow_mcp_runs_total") == runs(started=1, found=1, succeeded=1)


async def test_the_end_of_a_task_is_counted_once(server: Server, metered: Metered) -> None:
    await settled(server)
    params = {"name": "generate", "arguments": {"model": MODEL, "input": INPUT}}
    task = (await server.modern("tools/call", params, extensions=(TASKS,))).result["taskId"]
    await server.services.clock.sleep(60)
    for _ in range(3):
        await server.modern("tasks/get", {"taskId": task}, extensions=(TASKS,))
    assert metered.counts("runflow_mcp_runs_total") == runs(started=1, succeeded=1)


async def test_a_wait_that_ends_before_its_run_is_counted_as_left(
    upstream: RunningSandbox, clock: VirtualClock, metered: Metered
) -> None:
    async with metered_server(upstream.url, clock, metered, {"MCP_POLL_TIMEOUT_MS": "3000"}) as server:
        await settled(server)
        await server.generate("sandbox/slow")
    name = "runflow_mcp_runs_total"
    labels = {f'{name}{{event="{event}",provider="other"}}': 1.0 for event in ("started", "left")}
    assert metered.counts(name) == labels


async def test_a_dispatch_that_fails_leaves_no_run(server: Server, metered: Metered) -> None:
    await settled(server)
    await server.generate("google/no-such-model")
    assert metered.counts("runflow_mcp_run") == {}


# Runflow, the catalog, gauges


async def test_requests_to_runflow_are_counted_by_operation_and_outcome(
    server: Server, sandbox: ScriptedSandbox, metered: Metered
) -> None:
    await settled(server)
    sandbox.script.add(Route.CREATE, Respond(503))
    sandbox.script.add(Route.GET_RUN, Reset(), times=2)  # aiohttp repeats a GET whose connection is reset
    sandbox.script.add(Route.GET_RUN, Hang(90))
    await server.generate(client_ref="counted")
    name = "runflow_mcp_upstream_request_duration_seconds_count"
    counts = metered.counts(name)
    for operation_, outcome, count in (
        ("create_run", "5xx", 1),
        ("create_run", "2xx", 1),
        ("get_run", "connection", 1),
        ("get_run", "timeout", 1),
        ("catalog", "2xx", 1),
        ("skill", "2xx", 1),
    ):
        assert counts[f'{name}{{operation="{operation_}",outcome="{outcome}"}}'] == count
    retries = "runflow_mcp_upstream_retries_total"
    assert metered.counts(retries) == {
        f'{retries}{{operation="create_run"}}': 1,
        f'{retries}{{operation="get_run"}}': 2,
    }


async def test_the_catalog_is_measured_and_its_refreshes_are_counted(
    server: Server, sandbox: ScriptedSandbox, metered: Metered, clock: VirtualClock
) -> None:
    await settled(server)
    await clock.sleep(INTERVAL * 2)
    models = len((await server.services.catalog.snapshot()).models)
    assert metered.samples("runflow_mcp_catalog_models") == {"runflow_mcp_catalog_models": models}
    await clock.sleep(200)
    age = metered.samples("runflow_mcp_catalog_age")["runflow_mcp_catalog_age_seconds"]
    assert age == pytest.approx(200, abs=1)
    await clock.sleep(60)  # refreshed, and unchanged
    assert metered.samples("runflow_mcp_catalog_age")["runflow_mcp_catalog_age_seconds"] < 100
    sandbox.script.add(Route.CATALOG, Respond(500))
    await clock.sleep(300)
    name = "runflow_mcp_catalog_refreshes_total"
    counts = metered.counts(name)
    assert counts[f'{name}{{result="updated"}}'] == 1
    assert counts[f'{name}{{result="failed"}}'] == 1
    assert counts[f'{name}{{result="unchanged"}}'] == 2


async def test_gauges_follow_what_a_process_holds(server: Server, metered: Metered, clock: VirtualClock) -> None:
    calls = [asyncio.create_task(server.generate("sandbox/slow")) for _ in range(3)]
    params = {"notifications": {"promptsListChanged": True}}
    calls.append(asyncio.create_task(server.modern("subscriptions/listen", params, accept=BOTH)))
    await clock.sleep(5)
    gauges = ("runflow_mcp_waits", "runflow_mcp_subscriptions", "runflow_mcp_limit_store_up")
    assert metered.samples(*gauges) == dict(zip(gauges, (3, 1, 1), strict=True))
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    await clock.sleep(1)
    assert metered.samples(*gauges) == {"runflow_mcp_limit_store_up": 1}


async def test_the_lag_of_the_event_loop_is_measured_four_times_a_second(
    server: Server, metered: Metered, clock: VirtualClock
) -> None:
    name = "runflow_mcp_event_loop_lag_seconds_count"
    before = metered.samples(name).get(name, 0)
    assert server.services
    await clock.sleep(10)
    assert metered.samples(name)[name] - before == pytest.approx(40, abs=1)
