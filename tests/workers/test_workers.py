"""Several processes on one port: started together, started again, and stopped as one."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from runflow_mcp.clock import SystemClock
from runflow_mcp.sandbox import start as start_sandbox
from tests.command_process import SLOW_CALL, Command, Run
from tests.eventually import eventually_async
from tests.scripted_sandbox import ScriptedSandbox
from tests.server_process import HOST
from tests.serving import BOTH, KEY, MODEL, free_port, upstream_settings

pytestmark = pytest.mark.real_time

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
HEADERS = {"Authorization": f"Bearer {KEY}", "Accept": BOTH}
WORKERS = 2
NO_LIMITS = {"MCP_RATE_LIMIT_PER_IP": "100000", "MCP_RATE_LIMIT_PER_KEY": "100000"}


def children(process_id: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def runs(process_id: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def log(server: Command) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in server.stderr.splitlines() if line.startswith("{")]


def events(server: Command, name: str) -> list[dict[str, Any]]:
    return [line for line in log(server) if line["event"] == name]


async def start(run: Run, **settings: str) -> Command:
    """The server with the sandbox; returns once every worker can be connected to."""
    server = await run("serve", "--sandbox", **{"MCP_WORKERS": str(WORKERS), **NO_LIMITS, **settings})
    await listening(server, WORKERS)
    return server


async def listening(server: Command, count: int) -> None:
    """Return once so many workers in all have begun to listen. Each step has its own time, on a busy machine."""

    def have(event: str, times: int) -> bool:
        assert server.server.exit_code is None, server.stderr
        return len(events(server, event)) >= times

    await eventually_async(lambda: have("starting_workers", 1), "the parent has started")
    for number in range(1, count + 1):
        await eventually_async(partial(have, "listening", number), f"{number} workers listen")


async def post(server: Command, message: object) -> Any:
    """One call on a connection of its own, so that any worker may get it."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        session.post(f"{server.url}/mcp", json=message, headers={**HEADERS, "Accept": "application/json"}) as response,
    ):
        assert response.status == 200
        return orjson.loads(await response.read())


def call(model: str, ref: str) -> dict[str, Any]:
    """A ``generate`` that waits, and asks for progress."""
    arguments = {"model": model, "input": {"prompt": "x"}, "client_ref": ref}
    params = {"name": "generate", "arguments": arguments, "_meta": {"progressToken": 1}}
    return {**PING, "method": "tools/call", "params": params}


async def waiting_in_each(server: Command, sessions: contextlib.AsyncExitStack) -> list[aiohttp.ClientResponse]:
    """Calls that wait, at least one in every worker: the log says which process it was."""
    responses = []
    held: set[int] = set()
    while len(held) < WORKERS:
        session = await sessions.enter_async_context(aiohttp.ClientSession())
        response = await session.post(f"{server.url}/mcp", json=SLOW_CALL, headers=HEADERS)
        await response.content.readuntil(b"\n\n")
        responses.append(response)
        held.add(worker_of(server, response))
    return responses


def worker_of(server: Command, response: aiohttp.ClientResponse) -> int:
    """The worker that has the connection of a response: the one with the socket whose other end is the client's."""
    assert response.connection is not None
    assert response.connection.transport is not None
    port = response.connection.transport.get_extra_info("sockname")[1]
    fields = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # Not another connection from that port, and none that is over and has no socket any more.
    ends = (f":{int(server.url.rpartition(':')[2]):04X}", f":{port:04X}")
    [inode] = [field[9] for field in fields if (field[1][-5:], field[2][-5:]) == ends and field[9] != "0"]
    for worker in children(server.server.process.pid):
        for descriptor in Path(f"/proc/{worker}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) == f"socket:[{inode}]":
                    return worker
    raise AssertionError("no worker has this connection")


async def final_errors(responses: list[aiohttp.ClientResponse]) -> list[dict[str, Any]]:
    bodies = [await response.read() for response in responses]
    finals = [orjson.loads(body.strip().splitlines()[-1].removeprefix(b"data: ")) for body in bodies]
    return [final["result"]["structuredContent"]["error"] for final in finals]


async def test_every_worker_serves_and_what_is_printed_is_printed_once(run: Run) -> None:
    server = await start(run)
    for _ in range(40):
        assert (await post(server, PING))["result"] == {}
    await server.prints("Ctrl-C stops the server.")
    workers = set(children(server.server.process.pid))
    assert len(workers) == WORKERS
    await eventually_async(lambda: {line["pid"] for line in events(server, "request")} == workers, "both have served")
    assert server.stdout.count("sandbox key") == 1
    [warning] = [line for line in events(server, "questionable_setting") if line["setting"] == "MCP_WORKERS"]
    assert "rate limits are per process" in warning["why"]
    server.signal()
    assert await server.ended() == 0
    assert all(line["pid"] for line in log(server))
    assert not any(map(runs, workers))


async def test_a_killed_worker_is_replaced_and_its_run_is_found_again(run: Run) -> None:
    sandbox = ScriptedSandbox(clock=SystemClock(), speed=4)
    upstream = await start_sandbox(sandbox)
    server = await run("serve", **upstream_settings(upstream.url), MCP_WORKERS=str(WORKERS))
    await listening(server, WORKERS)
    async with aiohttp.ClientSession() as session:
        response = await session.post(f"{server.url}/mcp", json=call(MODEL, "killed"), headers=HEADERS)
        await response.content.readuntil(b"\n\n")
        killed = worker_of(server, response)
        os.kill(killed, signal.SIGKILL)
        # The kernel of a killed process ends its connections, or resets those that have unread bytes.
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    # Until the process is gone, its listener may still get a connection, which is then reset.
    await eventually_async(lambda: not runs(killed), "the killed worker has ended")
    # Any worker may answer: the other one at once, or the new one later.
    result = (await post(server, call(MODEL, "killed")))["result"]["structuredContent"]
    [made] = sandbox.runs.with_client_ref("killed")
    assert (result["status"], result["run_id"]) == ("succeeded", made.id)
    await listening(server, WORKERS + 1)
    [ended] = events(server, "worker_ended")
    assert (ended["worker_pid"], ended["cause"]) == (killed, "signal SIGKILL")
    assert len(children(server.server.process.pid)) == WORKERS
    server.signal()
    assert await server.ended() == 0
    await upstream.close()


@pytest.mark.parametrize("everyone", [False, True], ids=["the parent", "every process"])
async def test_one_signal_drains_all_workers_and_every_wait_is_answered(run: Run, *, everyone: bool) -> None:
    """As Ctrl-C in a terminal and ``KillMode=control-group`` of systemd send it."""
    server = await start(run, MCP_SHUTDOWN_GRACE_MS="2000")
    parent = server.server.process.pid
    async with contextlib.AsyncExitStack() as sessions:
        responses = await waiting_in_each(server, sessions)
        for process_id in [parent, *(children(parent) if everyone else ())]:
            os.kill(process_id, signal.SIGINT)
        errors = await final_errors(responses)
    assert {error["code"] for error in errors} == {"server_draining"}
    assert all(error["details"]["run_id"] for error in errors)
    assert await server.ended() == 0
    assert len(events(server, "draining")) == WORKERS


@pytest.mark.parametrize("everyone", [False, True], ids=["the parent", "every process"])
async def test_a_second_signal_stops_all_workers_at_once(run: Run, *, everyone: bool) -> None:
    server = await start(run, MCP_SHUTDOWN_GRACE_MS="600000")
    parent = server.server.process.pid
    workers = children(parent)
    async with contextlib.AsyncExitStack() as sessions:
        responses = await waiting_in_each(server, sessions)
        for number in (signal.SIGTERM, signal.SIGINT):
            for process_id in [parent, *(workers if everyone else ())]:
                os.kill(process_id, number)
            await eventually_async(lambda: len(events(server, "draining")) == WORKERS, "all drain")
        assert await server.ended() == 0
        await asyncio.gather(*(response.read() for response in responses), return_exceptions=True)
    assert not any(map(runs, workers))


async def test_a_stop_while_the_workers_start_is_not_lost(run: Run) -> None:
    server = await run("serve", "--sandbox", MCP_WORKERS=str(WORKERS), MCP_SHUTDOWN_GRACE_MS="600000")
    await eventually_async(lambda: bool(events(server, "starting_workers")), "the parent has started")
    server.signal()
    assert await server.ended() == 0


async def test_workers_end_when_the_parent_is_killed(run: Run) -> None:
    server = await start(run, MCP_SHUTDOWN_GRACE_MS="1000")
    workers = children(server.server.process.pid)
    async with contextlib.AsyncExitStack() as sessions:
        responses = await waiting_in_each(server, sessions)
        server.signal(signal.SIGKILL)
        errors = await final_errors(responses)
    assert {error["code"] for error in errors} == {"server_draining"}
    await eventually_async(lambda: not any(map(runs, workers)), "the workers have ended")


async def test_a_worker_that_is_stopped_alone_drains_and_is_replaced_while_the_others_serve(run: Run) -> None:
    server = await start(run)
    [stopped, other] = children(server.server.process.pid)
    os.kill(stopped, signal.SIGTERM)
    while runs(stopped):
        assert (await post(server, PING))["result"] == {}
    await listening(server, WORKERS + 1)
    assert other in children(server.server.process.pid)
    assert [line["level"] for line in events(server, "worker_ended")] == ["info"]
    server.signal()
    assert await server.ended() == 0


async def test_a_port_that_others_share_is_refused(run: Run) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        server = await run("serve", "--sandbox", MCP_WORKERS="2", MCP_PORT=str(port))
        assert await server.ended() == 1
    [line] = [line for line in server.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith(f"Cannot listen on {HOST}:{port}: Address already in use.")
    assert server.stdout == ""


async def test_one_port_shows_the_metrics_of_all_workers_also_of_one_that_was_killed(run: Run) -> None:
    port = free_port()
    server = await start(run, MCP_METRICS_PORT=str(port))
    for _ in range(20):
        await post(server, PING)
    counted = re.compile(r'^mcp_server_operation_duration_seconds_count\{[^}]*"ping"[^}]*\} (\d+)', re.MULTILINE)

    async def pings() -> int:
        async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{port}/metrics") as response:
            return sum(map(int, counted.findall(await response.text())))

    assert await pings() == 20
    os.kill(children(server.server.process.pid)[0], signal.SIGKILL)
    await listening(server, WORKERS + 1)
    for _ in range(5):
        await post(server, PING)
    assert await pings() == 25


async def test_zero_workers_means_one_for_each_core(run: Run) -> None:
    cores = len(os.sched_getaffinity(0))
    if cores == 1:
        pytest.skip("with one core there is no parent")
    server = await run("serve", "--sandbox", MCP_WORKERS="0")
    await listening(server, cores)
    assert len(children(server.server.process.pid)) == cores
    server.signal()
    assert await server.ended() == 0


def test_the_option_of_workers_is_hidden() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "runflow_mcp", "serve", "--help"], capture_output=True, text=True, check=True, timeout=30
    )
    assert "--worker" not in shown.stdout
    used = subprocess.run(
        [sys.executable, "-m", "runflow_mcp", "serve", "--worker"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (used.returncode, used.stderr.count("\n")) == (2, 1)
    assert "--worker is for the server itself" in used.stderr
