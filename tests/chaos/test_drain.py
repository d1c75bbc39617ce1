"""A process that is stopped under load: every client gets a complete answer within the grace time."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest

from runflow_mcp.clock import SystemClock
from runflow_mcp.sandbox import RunningSandbox, start
from tests.eventually import eventually_async
from tests.scripted_sandbox import Delay, Hang, Route, ScriptedSandbox
from tests.server_process import NO_RATE_LIMITS, ServerProcess
from tests.serving import BOTH, KEY, MODEL, TASKS, modern, upstream_settings

pytestmark = pytest.mark.real_time

SLOW = "sandbox/slow"
GRACE = 1.5
#: Seconds in which a process ends "at once" on a busy machine; its waits would have lasted for a minute.
SOON = 10.0


@attrs.frozen
class RawAnswer:
    """The bytes of a connection until the server closed it."""

    data: bytes

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """The body, once its length or its chunked encoding has been found to be complete."""
        head, _, rest = self.data.partition(b"\r\n\r\n")
        if (length := re.search(rb"(?im)^content-length: (\d+)", head)) is not None:
            assert len(rest) == int(length[1]), "the body is not complete"
            return rest
        assert re.search(rb"(?im)^transfer-encoding: chunked", head), head
        body = b""
        while True:
            size, found, rest = rest.partition(b"\r\n")
            assert found, "the last chunk is missing"
            count = int(size, 16)
            assert rest[count : count + 2] == b"\r\n", "a chunk was cut off"
            body += rest[:count]
            rest = rest[count + 2 :]
            if count == 0:
                assert rest == b"", "there are bytes after the last chunk"
                return body

    @property
    def message(self) -> Any:
        """The final response, the only one, after complete frames."""
        body = self.body
        if b"text/event-stream" not in self.head:
            return orjson.loads(body)
        frames = body.decode().split("\n\n")
        assert frames.pop() == "", "the last frame was cut off"
        messages = []
        for frame in frames:
            if frame != ": keepalive":
                assert frame.startswith("event: message\ndata: "), frame
                messages.append(orjson.loads(frame.removeprefix("event: message\ndata: ")))
        finals = [message for message in messages if "id" in message]
        assert finals == messages[-1:], "the response is not the last message, or not the only one"
        return finals[0]

    @property
    def error(self) -> Any:
        return self.message["result"]["structuredContent"]["error"]


Run = Callable[..., Awaitable[ServerProcess]]


@pytest.fixture
async def upstream(sandbox: ScriptedSandbox) -> AsyncIterator[RunningSandbox]:
    running = await start(sandbox)
    yield running
    await running.close()


@pytest.fixture
def sandbox() -> ScriptedSandbox:
    return ScriptedSandbox(clock=SystemClock(), speed=4)


@pytest.fixture
async def run(upstream: RunningSandbox, tmp_path: Path) -> AsyncIterator[Run]:
    """Start a server process in front of the simulated Runflow of this process."""
    with ExitStack() as stack:

        async def started(**settings: str) -> ServerProcess:
            grace = {"MCP_SHUTDOWN_GRACE_MS": str(int(GRACE * 1000))}
            every = {**upstream_settings(upstream.url), **NO_RATE_LIMITS, **grace, **settings}
            server = stack.enter_context(ServerProcess.of(tmp_path, settings=every))
            await asyncio.to_thread(server.wait_until_ready)
            return server

        yield started


def request(server: ServerProcess, data: bytes, **headers: str) -> bytes:
    lines = {
        "Host": f"127.0.0.1:{server.port}",
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Content-Length": str(len(data)),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + data


async def call(
    server: ServerProcess,
    arguments: dict[str, Any],
    *,
    accept: str | None = BOTH,
    body: Any = None,
    headers: Any = None,
) -> RawAnswer:
    """Send a call on a connection of its own and read all that comes until its end."""
    params = {"name": "generate", "arguments": {"input": {"prompt": "x"}, **arguments}}
    params |= {"_meta": {"progressToken": 1}}
    data = orjson.dumps(body or {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    lines = {"Connection": "close", **({"Accept": accept} if accept else {}), **(headers or {})}
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server, data, **lines))
    try:
        return RawAnswer(await reader.read())
    finally:
        writer.close()


async def ended(server: ServerProcess) -> int:
    return await asyncio.to_thread(server.wait)


async def draining(server: ServerProcess) -> None:
    """Return once the readiness probe reports the drain."""
    await asyncio.to_thread(server.wait_for_status, 503, "/readyz")


async def created(sandbox: ScriptedSandbox, count: int) -> None:
    """Return once the simulated Runflow has created so many runs."""
    await eventually_async(lambda: len(sandbox.runs) == count, f"{count} runs")


async def test_two_hundred_waiting_calls_are_all_answered_within_the_grace_time(
    run: Run, sandbox: ScriptedSandbox
) -> None:
    """Although one more client does not read its answers."""
    server = await run()
    calls = [
        asyncio.create_task(
            call(server, {"model": SLOW, "client_ref": f"call-{number}"}, accept=BOTH if number % 2 else None)
        )
        for number in range(200)
    ]
    await created(sandbox, 200)
    unread = await asyncio.open_connection("127.0.0.1", server.port)
    # Thousands of answers fill every buffer on the way.
    unread[1].write(request(server, orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})) * 2000)
    await asyncio.sleep(0.5)
    began = time.monotonic()
    server.send_signal()
    answers = await asyncio.gather(*calls)
    assert await ended(server) == 0
    assert time.monotonic() - began < GRACE + SOON
    unread[1].transport.abort()
    by_ref = {run.request.client_ref: run.id for run in sandbox.runs}
    for number, answer in enumerate(answers):
        error = answer.error
        assert error["code"] == "server_draining"
        assert error["details"]["client_ref"] == f"call-{number}"
        assert error["details"]["run_id"] == by_ref[f"call-{number}"]
        assert error["details"]["run"]["id"] == by_ref[f"call-{number}"]


async def test_a_draining_server_returns_results_and_answers_probes_and_short_calls(
    run: Run, sandbox: ScriptedSandbox
) -> None:
    server = await run(MCP_SHUTDOWN_GRACE_MS="120000")
    calls = [
        asyncio.create_task(call(server, {"model": "sandbox/inline"}, accept=BOTH if number % 2 else None))
        for number in range(50)
    ]
    cut = asyncio.create_task(call(server, {"model": SLOW}))  # keeps the server up until the second signal
    await created(sandbox, 51)
    server.send_signal()
    await draining(server)
    for _ in range(3):
        assert await asyncio.to_thread(server.status, "/healthz") == 200
        ping = await call(server, {}, body={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert ping.message["result"] == {}
        started = await call(server, {"model": MODEL, "wait": False})
        assert started.message["result"]["structuredContent"]["status"] == "queued"
        refused = await call(server, {"model": SLOW})
        assert "nothing was started" in refused.error["message"]
    answers = await asyncio.gather(*calls)
    assert {answer.message["result"]["structuredContent"]["status"] for answer in answers} == {"succeeded"}
    server.send_signal()
    assert await ended(server) == 0
    await asyncio.gather(cut, return_exceptions=True)
    assert len(sandbox.runs) == 54


async def test_a_dispatch_under_way_ends_within_the_grace_time_or_names_its_client_ref(
    run: Run, sandbox: ScriptedSandbox
) -> None:
    """Also where nobody waits: without an answer, nobody could find a run whose client_ref the server made."""
    server = await run(MCP_SHUTDOWN_GRACE_MS="2000")
    order = {"name": "generate", "arguments": {"model": "sandbox/inline", "input": {}}}
    body, headers = modern("tools/call", order, extensions=(TASKS,))

    def every_kind() -> list[asyncio.Task[RawAnswer]]:
        return [
            asyncio.create_task(call(server, {"model": SLOW})),
            asyncio.create_task(call(server, {"model": SLOW}, accept=None)),
            asyncio.create_task(call(server, {"model": SLOW, "wait": False})),
            asyncio.create_task(call(server, {}, body=body, headers=headers)),
        ]

    sandbox.script.add(Route.CREATE, Delay(0.8, created=True), times=4)
    in_time = every_kind()
    await created(sandbox, 4)
    sandbox.script.add(Route.CREATE, Delay(10, created=True), times=4)
    too_late = every_kind()
    await created(sandbox, 8)
    server.send_signal()
    answers = await asyncio.gather(*in_time, *too_late)
    assert await ended(server) == 0
    assert all(answer.data for answer in answers), "a connection was closed without an answer"
    ids, refs = zip(*((run.id, run.request.client_ref) for run in sandbox.runs), strict=True)
    for answer in answers[:2]:
        assert answer.error["details"]["run_id"] in ids
    assert answers[2].message["result"]["structuredContent"]["run_id"] in ids
    assert answers[3].message["result"]["taskId"] in ids
    for answer in answers[4:]:
        assert answer.error["code"] == "server_draining"
        assert answer.error["details"]["client_ref"] in refs
        assert "run_id" not in answer.error["details"]


async def test_a_second_signal_stops_at_once(run: Run, sandbox: ScriptedSandbox) -> None:
    server = await run(MCP_SHUTDOWN_GRACE_MS="60000")
    calls = [asyncio.create_task(call(server, {"model": SLOW, "client_ref": f"cut-{number}"})) for number in range(20)]
    await created(sandbox, 20)
    server.send_signal()
    await draining(server)
    began = time.monotonic()
    server.send_signal(signal.SIGINT)
    assert await ended(server) == 0
    assert time.monotonic() - began < SOON
    await asyncio.gather(*calls, return_exceptions=True)


async def test_endless_signals_still_end_with_exit_code_zero(run: Run) -> None:
    """Also while the interpreter is being torn down."""
    server = await run()
    while server.exit_code is None:
        for name in (signal.SIGTERM, signal.SIGINT):
            server.send_signal(name)
        await asyncio.sleep(0.002)
    assert server.exit_code == 0


async def test_no_pipelined_answer_is_cut_in_half(run: Run) -> None:
    server = await run(MCP_SHUTDOWN_GRACE_MS="10000")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    params = {"name": "list_models", "arguments": {"limit": 200}}
    message = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    writer.write(request(server, message) * 200)
    await asyncio.sleep(0.5)
    server.send_signal()
    await asyncio.sleep(1)  # every buffer on the way is full, and nobody reads
    data = await reader.read()
    writer.close()
    assert await ended(server) == 0
    whole = 0
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: (\d+)", head)
        assert length is not None
        body, data = data[: int(length[1])], data[int(length[1]) :]
        assert orjson.loads(body)["result"]["isError"] is False
        whole += 1
    assert whole > 10


async def test_after_a_kill_another_replica_finds_the_runs_and_continues(run: Run, sandbox: ScriptedSandbox) -> None:
    server, replacement = await asyncio.gather(run(), run())
    cut = [asyncio.create_task(call(server, {"model": "sandbox/inline", "client_ref": "waiting"}))]
    await created(sandbox, 1)
    sandbox.script.add(Route.CREATE, Hang(10, created=True))
    cut.append(asyncio.create_task(call(server, {"model": "sandbox/inline", "client_ref": "dispatching"})))
    await created(sandbox, 2)
    server.send_signal(signal.SIGKILL)
    await asyncio.wait(cut)
    with pytest.raises(AssertionError, match="last chunk"):
        _ = cut[0].result().message
    await asyncio.sleep(1)  # the runs end meanwhile
    for ref in ("waiting", "dispatching"):
        again = await call(replacement, {"model": "sandbox/inline", "client_ref": ref})
        result = again.message["result"]["structuredContent"]
        [made] = sandbox.runs.with_client_ref(ref)
        assert (result["status"], result["run_id"]) == ("succeeded", made.id)
