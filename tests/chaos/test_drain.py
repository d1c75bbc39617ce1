"""A process that is told to stop, with its hands full: every client gets a whole answer within the grace time."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import orjson
import pytest

from runflow_mcp.clock import SystemClock
from runflow_mcp.sandbox import RunningSandbox, start
from tests.scripted_sandbox import Delay, Hang, Route, ScriptedSandbox
from tests.serving import BOTH, KEY, MODEL, TASKS, free_port, modern

pytestmark = pytest.mark.real_time

SLOW = "sandbox/slow"
GRACE = 1.5
#: Seconds after which something that should happen does not.
PATIENCE = 20.0
#: Seconds that a process may take to end "at once" on a busy machine; its waits would have lasted for a minute.
SOON = 10.0
UNLIMITED = {f"MCP_RATE_LIMIT_{name}": "1000000000" for name in ("PRE_AUTH_PER_IP", "PER_IP", "PER_KEY")}


@attrs.frozen
class Raw:
    """What came over a connection until the server closed it, as it came."""

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
                assert rest == b"", "something comes after the end"
                return body

    @property
    def message(self) -> Any:
        """The one final response in it, after nothing but whole frames."""
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
        finals = [one for one in messages if "id" in one]
        assert finals == messages[-1:], "the answer is not the last, or not the only one"
        return finals[0]

    @property
    def error(self) -> Any:
        return self.message["result"]["structuredContent"]["error"]


@attrs.frozen
class Process:
    """The server as a process of its own, before a simulated Runflow in this one."""

    process: asyncio.subprocess.Process
    port: int
    log: Path

    async def ready(self, path: str = "/readyz", status: int = 200) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self.probe(path) != status:
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)

    async def probe(self, path: str) -> int | None:
        """The status of a GET; None when nobody listens."""
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"http://127.0.0.1:{self.port}{path}") as response:
                    return response.status
            except aiohttp.ClientConnectorError:
                return None

    async def call(
        self, arguments: dict[str, Any], *, accept: str | None = BOTH, body: Any = None, headers: Any = None
    ) -> Raw:
        """Send a call on a connection of its own and read all that comes until its end."""
        params = {"name": "generate", "arguments": {"input": {"prompt": "x"}, **arguments}}
        params |= {"_meta": {"progressToken": 1}}
        data = orjson.dumps(body or {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        lines = {"Connection": "close", **({"Accept": accept} if accept else {}), **(headers or {})}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(self.request(data, **lines))
        try:
            return Raw(await reader.read())
        finally:
            writer.close()

    def request(self, data: bytes, **headers: str) -> bytes:
        lines = {
            "Host": f"127.0.0.1:{self.port}",
            "Authorization": f"Bearer {KEY}",
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + data

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


Run = Callable[..., Awaitable[Process]]


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
    async with AsyncExitStack() as stack:

        async def started(**settings: str) -> Process:
            port = free_port()
            log = tmp_path / f"log-{port}"
            environ = {name: value for name, value in os.environ.items() if not name.startswith(("MCP_", "RUNFLOW_"))}
            environ |= {
                "MCP_PORT": str(port),
                "MCP_SHUTDOWN_GRACE_MS": str(int(GRACE * 1000)),
                "RUNFLOW_API_URL": upstream.url,
                "RUNFLOW_CATALOG_URL": f"{upstream.url}/models-catalog.json",
                "RUNFLOW_SKILL_URL": "",
                **UNLIMITED,
                **settings,
            }
            output = stack.enter_context(log.open("w"))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "runflow_mcp", "serve"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=tmp_path,
                env=environ,
            )
            stack.push_async_callback(gone, process)
            server = Process(process, port, log)
            await server.ready()
            return server

        yield started


async def gone(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


async def test_two_hundred_waiting_calls_are_all_answered_within_the_grace_time(
    run: Run, sandbox: ScriptedSandbox
) -> None:
    """Although one client more does not read what it asked for."""
    server = await run()
    calls = [
        asyncio.create_task(
            server.call({"model": SLOW, "client_ref": f"call-{number}"}, accept=BOTH if number % 2 else None)
        )
        for number in range(200)
    ]
    await until(lambda: len(sandbox.runs) == 200)
    deaf = await asyncio.open_connection("127.0.0.1", server.port)
    # Thousands of answers fill every buffer on the way.
    deaf[1].write(server.request(orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})) * 2000)
    await asyncio.sleep(0.5)
    began = time.monotonic()
    server.signal()
    answers = await asyncio.gather(*calls)
    assert time.monotonic() - began < GRACE + 0.5
    assert await server.ended() == 0
    assert time.monotonic() - began < GRACE + 2.5
    deaf[1].transport.abort()
    by_ref = {run.request.client_ref: run.id for run in sandbox.runs}
    for number, answer in enumerate(answers):
        error = answer.error
        assert error["code"] == "server_draining"
        assert error["details"]["client_ref"] == f"call-{number}"
        assert error["details"]["run_id"] == by_ref[f"call-{number}"]
        assert error["details"]["run"]["id"] == by_ref[f"call-{number}"]


async def test_while_it_drains_results_arrive_and_probes_and_short_calls_are_answered(
    run: Run, sandbox: ScriptedSandbox
) -> None:
    server = await run(MCP_SHUTDOWN_GRACE_MS="4000")
    calls = [
        asyncio.create_task(server.call({"model": "sandbox/inline"}, accept=BOTH if number % 2 else None))
        for number in range(50)
    ]
    cut = asyncio.create_task(server.call({"model": SLOW}))  # keeps the server up until the grace time is over
    await until(lambda: len(sandbox.runs) == 51)
    server.signal()
    await server.ready("/readyz", 503)
    for _ in range(3):
        assert await server.probe("/healthz") == 200
        ping = await server.call({}, body={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert ping.message["result"] == {}
        started = await server.call({"model": MODEL, "wait": False})
        assert started.message["result"]["structuredContent"]["status"] == "queued"
        refused = await server.call({"model": SLOW})
        assert "nothing was started" in refused.error["message"]
    answers = await asyncio.gather(*calls)
    assert await server.ended() == 0
    assert {answer.message["result"]["structuredContent"]["status"] for answer in answers} == {"succeeded"}
    assert (await cut).error["code"] == "server_draining"
    assert len(sandbox.runs) == 54


async def test_a_dispatch_under_way_ends_within_the_grace_time_or_names_its_client_ref(
    run: Run, sandbox: ScriptedSandbox
) -> None:
    """Also where nobody waits: the client_ref is minted, and without an answer nobody could ever find the run."""
    server = await run(MCP_SHUTDOWN_GRACE_MS="2000")
    order = {"name": "generate", "arguments": {"model": "sandbox/inline", "input": {}}}
    body, headers = modern("tools/call", order, extensions=(TASKS,))

    def every_kind() -> list[asyncio.Task[Raw]]:
        return [
            asyncio.create_task(server.call({"model": SLOW})),
            asyncio.create_task(server.call({"model": SLOW}, accept=None)),
            asyncio.create_task(server.call({"model": SLOW, "wait": False})),
            asyncio.create_task(server.call({}, body=body, headers=headers)),
        ]

    sandbox.script.add(Route.CREATE, Delay(0.8, created=True), times=4)
    in_time = every_kind()
    await until(lambda: len(sandbox.runs) == 4)
    sandbox.script.add(Route.CREATE, Delay(10, created=True), times=4)
    too_late = every_kind()
    await until(lambda: len(sandbox.runs) == 8)
    server.signal()
    answers = await asyncio.gather(*in_time, *too_late)
    assert await server.ended() == 0
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
    calls = [asyncio.create_task(server.call({"model": SLOW, "client_ref": f"cut-{number}"})) for number in range(20)]
    await until(lambda: len(sandbox.runs) == 20)
    server.signal()
    await server.ready("/readyz", 503)
    began = time.monotonic()
    server.signal(signal.SIGINT)
    assert await server.ended() == 0
    assert time.monotonic() - began < SOON
    await asyncio.gather(*calls, return_exceptions=True)


async def test_signals_without_end_still_end_in_zero(run: Run) -> None:
    """Also while the interpreter is being torn down."""
    server = await run()
    while server.process.returncode is None:
        for name in (signal.SIGTERM, signal.SIGINT):
            with suppress(ProcessLookupError):
                os.kill(server.process.pid, name)  # asyncio's way would see the process end before asyncio does
        await asyncio.sleep(0.002)
    assert server.process.returncode == 0


async def test_of_answers_that_were_asked_for_all_at_once_none_is_cut_in_half(run: Run) -> None:
    server = await run(MCP_SHUTDOWN_GRACE_MS="10000")
    await server.ready()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    call = {"name": "list_models", "arguments": {"limit": 200}}
    asked = server.request(orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}))
    writer.write(asked * 200)
    await asyncio.sleep(0.5)
    server.signal()
    await asyncio.sleep(3)  # every buffer on the way is full, and nobody reads
    data = await reader.read()
    writer.close()
    assert await server.ended() == 0
    whole = 0
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: (\d+)", head)
        assert length is not None
        body, data = data[: int(length[1])], data[int(length[1]) :]
        assert orjson.loads(body)["result"]["isError"] is False
        whole += 1
    assert whole > 10


async def test_after_a_kill_another_replica_finds_the_runs_and_goes_on(run: Run, sandbox: ScriptedSandbox) -> None:
    server, other = await asyncio.gather(run(), run())
    cut = [asyncio.create_task(server.call({"model": "sandbox/inline", "client_ref": "waiting"}))]
    await until(lambda: len(sandbox.runs) == 1)
    sandbox.script.add(Route.CREATE, Hang(10, created=True))
    cut.append(asyncio.create_task(server.call({"model": "sandbox/inline", "client_ref": "dispatching"})))
    await until(lambda: len(sandbox.runs) == 2)
    server.signal(signal.SIGKILL)
    await asyncio.wait(cut)
    with pytest.raises(AssertionError, match="last chunk"):
        _ = cut[0].result().message
    await asyncio.sleep(1)  # the runs end meanwhile
    for ref in ("waiting", "dispatching"):
        again = await other.call({"model": "sandbox/inline", "client_ref": ref})
        result = again.message["result"]["structuredContent"]
        [made] = sandbox.runs.with_client_ref(ref)
        assert (result["status"], result["run_id"]) == ("succeeded", made.id)
