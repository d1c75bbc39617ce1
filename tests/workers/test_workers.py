"""Several processes on one port: started together, started again, and stopped as one."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from runflow_mcp.cli import main as cli
from tests.command_process import SLOW_CALL, Command, Run
from tests.eventually import eventually_async
from tests.server_process import HOST, NO_RATE_LIMITS, SERVE, ServerProcess
from tests.serving import BOTH, KEY, MODEL, free_port

pytestmark = pytest.mark.real_time

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
HEADERS = {"Authorization": f"Bearer {KEY}", "Accept": BOTH}
WORKERS = 2


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
    """A server of the test's own; returns once every worker can be connected to."""
    server = await run("serve", "--sandbox", **{"MCP_WORKERS": str(WORKERS), **settings})
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


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """One server for the tests after which it still serves; it may use two cores."""
    cores = os.sched_getaffinity(0)
    count = "0" if len(cores) >= WORKERS else str(WORKERS)
    settings = {"MCP_WORKERS": count, "MCP_METRICS_PORT": str(free_port()), **NO_RATE_LIMITS}
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("server")
        outputs = {name: stack.enter_context((folder / name).open("wb")).fileno() for name in ("stdout", "stderr")}
        server = ServerProcess.of(folder, *SERVE, "--sandbox", settings=settings, **outputs)
        os.sched_setaffinity(0, sorted(cores)[:WORKERS])  # what is started has the same
        try:
            stack.enter_context(server)
        finally:
            os.sched_setaffinity(0, cores)
        yield Command(server)
        assert server.stop() == 0


@pytest.fixture
async def server(process: Command) -> Command:
    """The same, once two workers serve."""
    await listening(process, WORKERS + len(events(process, "worker_ended")))
    assert len(children(process.server.process.pid)) == WORKERS
    return process


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


async def waiting_in_each(server: Command, sessions: AsyncExitStack) -> list[aiohttp.ClientResponse]:
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
            with suppress(OSError):
                if str(descriptor.readlink()) == f"socket:[{inode}]":
                    return worker
    raise AssertionError("no worker has this connection")


def ended(server: Command, worker: int) -> dict[str, Any]:
    """What the parent has logged of the end of a worker; empty until then."""
    return next((line for line in events(server, "worker_ended") if line["worker_pid"] == worker), {})


async def final_errors(responses: list[aiohttp.ClientResponse]) -> list[dict[str, Any]]:
    bodies = [await response.read() for response in responses]
    finals = [orjson.loads(body.strip().splitlines()[-1].removeprefix(b"data: ")) for body in bodies]
    return [final["result"]["structuredContent"]["error"] for final in finals]


# One server, which these leave as they found it.


async def test_every_worker_serves_and_what_is_printed_is_printed_once(server: Command) -> None:
    for _ in range(40):
        assert (await post(server, PING))["result"] == {}
    await server.prints("Ctrl-C stops the server.")
    workers = set(children(server.server.process.pid))
    await eventually_async(lambda: {line["pid"] for line in events(server, "request")} >= workers, "both have served")
    assert server.stdout.count("sandbox key") == 1
    [warning] = [line for line in events(server, "questionable_setting") if line["setting"] == "MCP_WORKERS"]
    assert "rate limits are per process" in warning["why"]
    assert all(line["pid"] for line in log(server))


async def test_zero_workers_means_one_for_each_core(server: Command) -> None:
    pid = server.server.process.pid
    if server.server.environ["MCP_WORKERS"] != "0":
        pytest.skip("with one core there is no parent")
    assert len(children(pid)) == len(os.sched_getaffinity(pid)) == WORKERS


async def test_a_killed_worker_is_replaced_and_its_run_is_found_again(server: Command) -> None:
    async with aiohttp.ClientSession() as session:
        response = await session.post(f"{server.url}/mcp", json=call(MODEL, "killed"), headers=HEADERS)
        progress = await response.content.readuntil(b"\n\n")
        killed = worker_of(server, response)
        os.kill(killed, signal.SIGKILL)
        # The kernel of a killed process ends its connections, or resets those that have unread bytes.
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    # Until its last thread has ended, its listener may still get a connection, which is then reset.
    await eventually_async(
        lambda: ended(server, killed).get("cause") == "signal SIGKILL", "the parent has logged its end"
    )
    # Any worker may answer: the other one at once, or the new one later.
    result = (await post(server, call(MODEL, "killed")))["result"]["structuredContent"]
    assert result["status"] == "succeeded"
    assert f"run {result['run_id']}," in progress.decode(), "no second run was started"
    await listening(server, WORKERS + len(events(server, "worker_ended")))
    assert len(children(server.server.process.pid)) == WORKERS


async def test_a_worker_that_is_stopped_alone_drains_and_is_replaced_while_the_others_serve(server: Command) -> None:
    [stopped, other] = children(server.server.process.pid)
    os.kill(stopped, signal.SIGTERM)
    while runs(stopped):
        assert (await post(server, PING))["result"] == {}
    await eventually_async(lambda: ended(server, stopped).get("level") == "info", "it is logged")
    await listening(server, WORKERS + len(events(server, "worker_ended")))
    assert other in children(server.server.process.pid)


async def test_one_port_shows_the_metrics_of_all_workers_also_of_one_that_was_killed(server: Command) -> None:
    url = f"http://{HOST}:{server.server.environ['MCP_METRICS_PORT']}/metrics"
    counted = re.compile(r'^mcp_server_operation_duration_seconds_count\{[^}]*"ping"[^}]*\} (\d+)', re.MULTILINE)

    async def pings() -> int:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return sum(map(int, counted.findall(await response.text())))

    before = await pings()
    for _ in range(20):
        await post(server, PING)
    assert await pings() == before + 20
    killed = children(server.server.process.pid)[0]
    os.kill(killed, signal.SIGKILL)
    await eventually_async(lambda: ended(server, killed).get("cause") == "signal SIGKILL", "it is logged")
    await listening(server, WORKERS + len(events(server, "worker_ended")))
    for _ in range(5):
        await post(server, PING)
    assert await pings() == before + 25


# Servers that end.


async def test_a_signal_to_every_process_drains_them_and_every_wait_is_answered(run: Run) -> None:
    """As Ctrl-C in a terminal and ``KillMode=control-group`` of systemd send it."""
    server = await start(run, MCP_SHUTDOWN_GRACE_MS="2000")
    parent = server.server.process.pid
    workers = children(parent)
    async with AsyncExitStack() as sessions:
        responses = await waiting_in_each(server, sessions)
        for process_id in [parent, *workers]:
            os.kill(process_id, signal.SIGINT)
        errors = await final_errors(responses)
    assert {error["code"] for error in errors} == {"server_draining"}
    assert all(error["details"]["run_id"] for error in errors)
    assert await server.ended() == 0
    assert len(events(server, "draining")) == WORKERS
    assert not any(map(runs, workers))


@pytest.mark.parametrize("everyone", [False, True], ids=["the parent", "every process"])
async def test_a_second_signal_stops_all_workers_at_once(run: Run, *, everyone: bool) -> None:
    server = await start(run, MCP_SHUTDOWN_GRACE_MS="600000")
    parent = server.server.process.pid
    workers = children(parent)
    async with AsyncExitStack() as sessions:
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
    async with AsyncExitStack() as sessions:
        responses = await waiting_in_each(server, sessions)
        server.signal(signal.SIGKILL)
        errors = await final_errors(responses)
    assert {error["code"] for error in errors} == {"server_draining"}
    await eventually_async(lambda: not any(map(runs, workers)), "the workers have ended")


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


def test_the_option_of_workers_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    assert "--worker" not in capsys.readouterr().out
    assert cli.main(["serve", "--worker"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "--worker is for the server itself" in line
