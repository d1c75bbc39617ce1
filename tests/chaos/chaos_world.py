"""Two replicas, one simulated Runflow and any number of clients in virtual time, and their invariants.

The world records every call. ``check`` examines the calls that ended since the last check; ``end`` stops all failures,
lets every wait end, resumes every run and looks for tasks, connections and polls that remain.
"""

import asyncio
import gc
import shlex
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import attrs
import orjson
from aiohttp import web

from runflow_mcp.methods.context import Services
from runflow_mcp.sandbox import RunningSandbox, start
from runflow_mcp.sandbox.credentials import fingerprint
from runflow_mcp.sandbox.runs import Run
from runflow_mcp.serve import SHUTDOWN_TIMEOUT, drain
from runflow_mcp.web.app_keys import SERVICES
from runflow_mcp.web.connection import Runner
from tests.scripted_sandbox import Idempotency, Quirks, ScriptedSandbox
from tests.server_process import NO_RATE_LIMITS
from tests.serving import BOTH, TASKS, Answer, ServedApp, free_port, modern, upstream_settings
from tests.virtual_time import VirtualClock, VirtualTimeLoop

#: Seconds: the ceiling of a wait, one upstream request, a drain, and the documented budget of a dispatch.
CEILING, UPSTREAM, GRACE, BUDGET = 60.0, 10.0, 10.0, 45.0
#: aiohttp rounds timeouts of more than five seconds up to whole ones, and a turn of the loop takes time.
ROUNDING, TURN = 1.0, 0.05
#: Three attempts of ``tasks/get`` and the pauses that upstream may ask for between them.
TASK_PATIENCE = 3 * (UPSTREAM + ROUNDING) + 2 * 60.0
SETTINGS = {
    "MCP_POLL_TIMEOUT_MS": str(int(CEILING * 1000)),
    "MCP_SHUTDOWN_GRACE_MS": str(int(GRACE * 1000)),
    "MCP_MAX_WAITS": "6",
    "RUNFLOW_TIMEOUT_MS": str(int(UPSTREAM * 1000)),
    **NO_RATE_LIMITS,
}
INPUTS = ({"prompt": "a lighthouse"}, {"prompt": "a harbour"})
WAITING = frozenset({"stream", "json"})
#: Upstream statuses of a poll that end the wait.
FINAL = (401, 403, 404)
#: Codes of tool errors which report that nothing was started.
NOT_BEGUN = frozenset({"server_busy", "server_draining"})
INVALID_PARAMS, INTERNAL_ERROR = -32602, -32603


def open_files() -> int:
    """How many files and sockets this process holds open."""
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


@attrs.frozen
class CallArguments:
    """The arguments of a client's call. ``mode``: stream, json, no_wait or task. ``ref`` None: the server makes one."""

    key: str
    model: str
    ref: str | None
    mode: str
    input: dict[str, str]

    @property
    def waits(self) -> bool:
        return self.mode in WAITING


@attrs.frozen
class OfferedUpload:
    """An upload that a client was offered. ``ref``: the client_ref of the call."""

    key: str
    ref: str
    url: str
    reference: str


@attrs.define(eq=False)
class Replica:
    """One process of the server, from its start to its end."""

    number: int
    port: int
    app: web.Application
    runner: Runner
    #: up, draining, gone (it closed by itself) or killed.
    state: str = "up"
    drained_at: float | None = None

    @property
    def services(self) -> Services:
        return self.app[SERVICES]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"


@attrs.define(eq=False)
class SentCall:
    """One request of one client, and its outcome."""

    replica: Replica
    arguments: CallArguments
    began: float
    #: Whether the replica was draining when it was sent.
    late: bool
    #: The task id, for a ``tasks/get``.
    task_id: str | None = None
    job: "asyncio.Task[None] | None" = None
    ended: float | None = None
    answer: Answer | None = None
    broken: Exception | None = None
    left: bool = False
    checked: bool = False

    @property
    def waiting(self) -> bool:
        return self.arguments.waits and self.task_id is None

    @property
    def may_stay_unanswered(self) -> bool:
        """Whether the client left, the process was killed, or it had drained and no longer listened."""
        refused = self.late and isinstance(self.broken, aiohttp.ClientConnectorError)
        return self.left or refused or self.replica.state == "killed"


class World:
    """Everything in one event loop; each method returns when nothing more happens at this moment."""

    def __init__(self, rule: Idempotency, seed: int = 0, quirks: Quirks | None = None) -> None:
        self.files = open_files()
        self.rule = rule
        self.unhandled_errors: list[str] = []
        self.clock = VirtualClock()
        self.loop = VirtualTimeLoop()
        self.loop.set_exception_handler(lambda _, context: self.unhandled_errors.append(repr(context)))
        self.random = Random(seed)
        self.quirks = quirks or Quirks()
        self.sandbox = ScriptedSandbox(clock=self.clock, idempotency=rule, seed=seed, quirks=self.quirks)
        self.calls: list[SentCall] = []
        self.ended_checked = 0
        #: When the last dispatch under a client_ref may have begun, and where.
        self.dispatched: dict[tuple[str, str, str], tuple[float, Replica]] = {}
        #: Every client_ref that a client learned.
        self.reported: set[str] = set()
        self.upstream: RunningSandbox | None = None
        self.background: set[asyncio.Task[None]] = set()
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self.upstream_port = free_port()
        await self._upstream_up()
        # One connection for each call, so that every loss of one is the loss of one call.
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        self.session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
        self.replicas = [await self._boot(number, free_port()) for number in range(2)]
        await self._settle()

    async def _upstream_up(self) -> None:
        self.upstream = await start(self.sandbox, port=self.upstream_port)

    async def _boot(self, number: int, port: int) -> Replica:
        upstream = upstream_settings(f"http://127.0.0.1:{self.upstream_port}")
        settings = {"MCP_PORT": str(port), **upstream, **SETTINGS}
        served = await ServedApp.start(settings, self.clock, self.random, shutdown_timeout=SHUTDOWN_TIMEOUT)
        return Replica(number, port, served.app, served.runner)

    async def _settle(self) -> None:
        """Let everything happen that can happen at this moment."""
        await asyncio.sleep(0.001)

    @property
    def now(self) -> float:
        return self.loop.time()

    # Actions

    def advance(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def call(self, number: int, arguments: CallArguments) -> SentCall:
        """Send a call, without waiting for its answer."""
        message = {"name": "generate", "arguments": self._tool_arguments(arguments), "_meta": {"progressToken": 1}}
        if arguments.mode == "task":
            body, headers = modern(
                "tools/call", {"name": "generate", "arguments": message["arguments"]}, extensions=(TASKS,)
            )
        else:
            body, headers = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": message}, {}
        if arguments.ref is not None:
            self.dispatched[arguments.key, arguments.model, arguments.ref] = self.now, self.replicas[number]
        return self._send(number, arguments, body, headers)

    def tasks_get(self, number: int, arguments: CallArguments, task_id: str) -> SentCall:
        body, headers = modern("tasks/get", {"taskId": task_id}, extensions=(TASKS,))
        return self._send(number, arguments, body, headers, task_id)

    def _tool_arguments(self, call: CallArguments) -> dict[str, Any]:
        passed: dict[str, Any] = {"model": call.model, "input": call.input}
        if call.ref is not None:
            passed["client_ref"] = call.ref
        if call.mode == "no_wait":
            passed["wait"] = False
        return passed

    def _send(
        self,
        number: int,
        arguments: CallArguments,
        body: dict[str, Any],
        headers: dict[str, str],
        task_id: str | None = None,
    ) -> SentCall:
        replica = self.replicas[number]
        call = SentCall(replica, arguments, self.now, replica.state == "draining", task_id)
        self.calls.append(call)
        sent = {"Authorization": f"Bearer {arguments.key}", "Content-Type": "application/json", **headers}
        if arguments.mode in ("stream", "task"):
            sent["Accept"] = BOTH
        call.job = self.loop.create_task(self._play(call, orjson.dumps(body), sent))
        self.loop.run_until_complete(self._settle())
        return call

    async def _play(self, call: SentCall, body: bytes, headers: dict[str, str]) -> None:
        try:
            async with self.session.post(call.replica.url, data=body, headers=headers) as response:
                content = await response.read()
                call.answer = Answer(response.status, response.headers.copy(), content)
        except aiohttp.ClientError as error:
            call.broken = error
        finally:
            call.ended = self.now

    def offered_uploads(self) -> list[OfferedUpload]:
        """Every upload that a client was offered so far, in the order of the calls."""
        offered = []
        for call in self.calls:
            if call.answer is None or call.task_id is not None or b"upload_needed" not in call.answer.content:
                continue
            details = call.answer.tool_error["details"]
            offered += [
                OfferedUpload(
                    call.arguments.key, details["client_ref"], shlex.split(each["command"])[-1], each["value"]
                )
                for each in details.get("uploads", ())
            ]
        return offered

    def send_file(self, offered: OfferedUpload, content: bytes) -> None:
        """What the client's curl does."""
        self.loop.run_until_complete(self._send_file(offered.url, content))

    async def _send_file(self, url: str, content: bytes) -> None:
        with suppress(aiohttp.ClientError):
            async with self.session.put(url, data=content, headers={"Content-Type": "image/png"}) as response:
                await response.read()

    def leave(self, call: SentCall) -> None:
        """The client of a call disconnects before its answer."""
        if call.ended is None and call.job is not None:
            call.left = True
            call.job.cancel()
            self.loop.run_until_complete(self._settle())

    def drain(self, number: int) -> None:
        """Drain, as at SIGTERM; a new process takes its place at the same address."""
        replica = self.replicas[number]
        if replica.state == "up":
            replica.state, replica.drained_at = "draining", self.now
            self._in_background(self._drained(replica))
            self.loop.run_until_complete(self._settle())

    async def _drained(self, replica: Replica) -> None:
        await drain(replica.runner, replica.app, replica.services.config, asyncio.Event())
        await replica.runner.cleanup()
        replica.state = "gone"
        self.replicas[replica.number] = await self._boot(replica.number, replica.port)

    def kill(self, number: int) -> None:
        """End the process, as SIGKILL does; a new one takes its place at the same address."""
        replica = self.replicas[number]
        if replica.state == "up":
            replica.state = "killed"
            self.loop.run_until_complete(self._killed(replica))

    async def _killed(self, replica: Replica) -> None:
        await replica.services.dispatcher.close()
        server = replica.runner.server
        assert server is not None
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await replica.runner.cleanup()
        self.replicas[replica.number] = await self._boot(replica.number, replica.port)
        await self._settle()

    def upstream_down(self, seconds: float) -> None:
        """Upstream accepts no connections for so long; those it has break."""
        if self.upstream is not None:
            self._in_background(self._outage(seconds))
            self.loop.run_until_complete(self._settle())

    async def _outage(self, seconds: float) -> None:
        upstream, self.upstream = self.upstream, None
        assert upstream is not None
        await upstream.close()
        await asyncio.sleep(seconds)
        await self._upstream_up()

    def _in_background(self, coroutine: Any) -> None:
        task = self.loop.create_task(coroutine)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    # Invariants

    def runs(self) -> Counter[tuple[str, str, str | None]]:
        """How many runs there are for each caller, model and client_ref."""
        return Counter((run.owner, run.request.model.name, run.request.client_ref) for run in self.sandbox.runs)

    def check(self) -> None:
        """Check everything that has happened so far."""
        assert not self.unhandled_errors, self.unhandled_errors
        twice = {key: count for key, count in self.runs().items() if count > 1}
        assert not twice, f"more than one run: {twice}"
        for call in self.calls:
            if call.ended is not None and not call.checked:
                call.checked = True
                self._check_call(call)
            elif call.ended is None:
                assert self.now <= call.began + self._patience(call), f"not answered in time: {call}"

    def _patience(self, call: SentCall) -> float:
        if call.task_id is not None:
            return TASK_PATIENCE
        patience = CEILING if call.waiting else BUDGET + ROUNDING
        if call.waiting and call.replica.drained_at is not None:
            patience = min(patience, max(0.0, call.replica.drained_at - call.began) + GRACE)
        return patience + TURN

    def _check_call(self, call: SentCall) -> None:
        if call.may_stay_unanswered:
            return
        assert call.broken is None, f"no answer: {call}"
        assert call.answer is not None, f"no answer: {call}"
        assert call.ended is not None
        assert call.ended - call.began <= self._patience(call), f"answered too late: {call}"
        assert call.answer.status == (200 if call.task_id is None else call.answer.status), call
        message = self._one_message(call.answer)
        if call.task_id is not None:
            self._check_task(call, message)
        elif call.arguments.mode == "task" and message["result"].get("resultType") == "task":
            self._owns(call.arguments, message["result"]["taskId"])
        else:
            self._check_result(call, message["result"])

    def _one_message(self, answer: Answer) -> Any:
        """The final response, which must be the only one in the answer."""
        if not answer.is_stream:
            assert answer.json["id"] == 1
            return answer.json
        assert answer.content.endswith(b"\n\n")
        finals = [event for event in answer.events if "id" in event]
        assert len(finals) == 1, finals
        assert finals[0] is answer.events[-1] or finals[0] == answer.events[-1]
        figures = [notification["progress"] for notification in answer.progress]
        assert figures == sorted(set(figures)), figures
        return finals[0]

    def _check_result(self, call: SentCall, result: Any) -> None:
        structured = result["structuredContent"]
        if not result["isError"]:
            self._owns(call.arguments, structured["run_id"])
            assert structured["client_ref"] == (call.arguments.ref or structured["client_ref"])
            self.reported.add(structured["client_ref"])
            return
        error, text = structured["error"], result["content"][0]["text"]
        details = error["details"]
        if "nothing was started" in error["message"]:
            assert error["code"] in NOT_BEGUN, error
            assert call.waiting
            assert error["code"] != "server_draining" or call.late
            return
        assert details["client_ref"] == (call.arguments.ref or details["client_ref"])
        assert details["client_ref"] in text
        self.reported.add(details["client_ref"])
        if "run_id" in details:
            run = self._owns(call.arguments, details["run_id"])
            assert details["run_id"] in text
            assert details["run"]["id"] == run.id
            # Upstream errors do not end a wait, except that the key is refused or the run does not exist.
            assert error["upstream_status"] in (None, *FINAL), error
        if error["code"] == "polling_timeout":
            assert call.ended is not None
            assert abs(call.ended - call.began - CEILING) <= TURN, f"the ceiling is not exact: {call}"
        if error["code"] == "server_draining":
            assert call.replica.drained_at is not None

    def _check_task(self, call: SentCall, message: Any) -> None:
        run = self.sandbox.runs.get(call.task_id or "")
        is_own = run is not None and run.owner == fingerprint(call.arguments.key)
        if "error" in message:
            assert message["error"]["code"] in (INVALID_PARAMS, INTERNAL_ERROR), message
        else:
            assert is_own, f"somebody else's run: {message}"
            assert message["result"]["taskId"] == call.task_id

    def _owns(self, arguments: CallArguments, run_id: str) -> Run:
        """The run of that id, which must be that of this call."""
        run = self.sandbox.runs.get(run_id)
        assert run is not None, f"there is no run {run_id}"
        assert run.owner == fingerprint(arguments.key), f"somebody else's run: {run}"
        assert run.request.model.name == arguments.model
        assert run.request.client_ref == (self.quirks.ref(arguments.ref) or run.request.client_ref)
        self.reported.add(run.request.client_ref or "")
        return run

    # End

    def end(self) -> None:
        """Let everything end, resume every run, and check that nothing remains."""
        try:
            self._rest()
            self._resume_all()
        finally:
            left = self.close()
        assert not left, left
        assert not self.unhandled_errors, self.unhandled_errors
        if open_files() > self.files:
            gc.collect()
        assert open_files() <= self.files, "sockets were left open"

    def close(self) -> list["asyncio.Task[Any]"]:
        """Stop everything at once. Returns the tasks that are still under way."""
        self.loop.run_until_complete(self._close())
        left = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        self.loop.close()
        return left

    def _rest(self) -> None:
        self.sandbox.script.clear()
        while self.background:
            self.advance(CEILING)
        self.advance(TASK_PATIENCE + CEILING)
        self.check()
        assert all(call.ended is not None for call in self.calls)
        for replica in self.replicas:
            assert replica.services.inflight.slots_used == 0
        names = Counter(task.get_name() for task in asyncio.all_tasks(self.loop))
        assert names["dispatch"] == 0
        seen = len(self.sandbox.requests)
        self.advance(30.0)
        new = [request for request in list(self.sandbox.requests)[seen:] if request.path.startswith("/v1/")]
        assert not new, "something still polls"

    def _resume_all(self) -> None:
        """Check that every run is found again by its client_ref, if a client knows it."""
        silenced = any(call.may_stay_unanswered for call in self.calls)
        keys = {fingerprint(call.arguments.key): call.arguments.key for call in self.calls}
        for run in list(self.sandbox.runs):
            ref = run.request.client_ref
            assert ref is not None
            if ref.startswith("mcp-") and ref not in self.reported:
                assert silenced, f"no client learned of {run}"
                continue
            arguments = CallArguments(keys[run.owner], run.request.model.name, ref, "no_wait", INPUTS[0])
            call = self.call(self.random.randrange(2), arguments)
            self.advance(0.1)
            assert call.answer is not None
            result = call.answer.result
            found = result["structuredContent"]
            assert found.get("run_id") == run.id, f"{run} is not found again: {found}"
        self.check()

    async def _close(self) -> None:
        for call in self.calls:
            if call.job is not None and not call.job.done():
                call.job.cancel()
                with suppress(asyncio.CancelledError):
                    await call.job
        for task in list(self.background):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.session.close()
        for replica in self.replicas:
            if replica.state in ("up", "draining"):
                await replica.runner.cleanup()
        if self.upstream is not None:
            await self.upstream.close()
        await asyncio.sleep(1.0)
