"""The parent of several workers: starts them, restarts one that has ended, passes a stop on, and ends last.

A worker is a new process of this program and not a fork, which would inherit the parent's event loop and threads.
"""

import asyncio
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import attrs
import structlog

from runflow_mcp import signals
from runflow_mcp.clock import Clock
from runflow_mcp.observability.metric_memory import MetricMemory
from runflow_mcp.runflow.backoff import Backoff
from runflow_mcp.signals import StopRequest
from runflow_mcp.workers.channel import Start, StopCommand, WorkerLink
from runflow_mcp.workers.errors import WorkersFailedError

log = structlog.get_logger(__name__)

#: Pauses before a worker is started again.
PAUSES = Backoff(first=0.25, limit=30.0)
#: Seconds; a worker that ends sooner counts as a failed start.
START_TIME = 5.0
#: Failed starts in a row of every worker after which the parent gives up, unless one of them serves.
MAX_FAILED_STARTS = 5
#: Seconds before a worker is killed: beyond the grace time, and after the command to stop at once.
DRAIN_MARGIN, STOP_MARGIN = 5.0, 2.0


class WorkerMetrics(Protocol):
    """Adds up what the workers count."""

    def worker_started(self, process_id: int, memory: MetricMemory) -> None:
        """A worker with this process id counts into this memory."""

    def worker_ended(self, process_id: int) -> None:
        """The worker has ended and was waited for."""


@attrs.define(eq=False)
class Worker:
    """A running worker process."""

    number: int
    process: subprocess.Popen[bytes]
    link: WorkerLink
    listening: bool = False
    waits: int | None = None


@attrs.define
class Parent:
    """Keeps ``count`` workers running until ``stop``.

    ``command`` starts one. ``environ``: what each reads its settings from. ``grace``: seconds that a drain may take.
    ``fatal_code``: the exit code of a worker whose settings are wrong, which is not started again. ``on_listening`` is
    called once clients can connect, ``on_draining`` with the number of calls that wait in all workers.
    """

    command: Sequence[str]
    environ: Mapping[str, str]
    count: int
    grace: float
    fatal_code: int
    stop: StopRequest
    clock: Clock
    metrics: WorkerMetrics | None
    on_listening: Callable[[], None]
    on_draining: Callable[[int], None]
    _workers: dict[int, Worker] = attrs.field(factory=dict)
    _failed_starts: Counter[int] = attrs.field(factory=Counter)
    _has_listened: bool = False
    _failure: WorkersFailedError | None = None

    async def run(self) -> None:
        """Return once all workers have ended after a stop. Raises ``WorkersFailedError``."""
        log.info("starting_workers", workers=self.count)
        stopping = asyncio.create_task(self._stop_workers())
        await asyncio.gather(*(self._keep_running(number) for number in range(1, self.count + 1)))
        stopping.cancel()
        if self._failure is not None:
            raise self._failure
        log.info("stopped")

    async def _keep_running(self, number: int) -> None:
        while not self.stop.drain.is_set():
            pause = await self._run_once(number)
            if pause and not self.stop.drain.is_set():
                await _wait_for_first(self.stop.drain.wait(), self.clock.sleep(pause))

    async def _run_once(self, number: int) -> float:
        """Run one worker until it ends; returns the seconds to wait before the next start."""
        started_at = self.clock.monotonic()
        try:
            worker = await self._start(number)
        except OSError as error:
            log.error("worker_not_started", worker=number, error=str(error))  # noqa: TRY400 - the cause is the system's
            return self._pause_after(number, f"it could not be started: {error}", 0)
        self._workers[number] = worker
        if self.stop.drain.is_set():  # a stop was requested during the start
            worker.link.send("drain")
        while (report := await worker.link.report()) is not None:
            self._on_report(worker, listening=report.listening, waits=report.waits)
        code = await asyncio.to_thread(worker.process.wait)
        worker.link.close()
        if self.metrics is not None:
            self.metrics.worker_ended(worker.process.pid)
        del self._workers[number]
        self._report_waits()
        if self.stop.drain.is_set():
            return 0
        lived = self.clock.monotonic() - started_at
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if code == 0:  # only this worker was stopped, by a signal to it
            log.info("worker_ended", worker=number, worker_pid=worker.process.pid, seconds=round(lived, 3))
            return 0 if lived >= START_TIME else PAUSES.first
        pause = self._pause_after(number, cause, lived)
        log.error(
            "worker_ended",
            worker=number,
            worker_pid=worker.process.pid,
            seconds=round(lived, 3),
            cause=cause,
            pause=pause,
        )
        if code == self.fatal_code and not self._has_listened:
            self._give_up(WorkersFailedError(f"A worker ended with exit code {code}.", code))
        return pause

    async def _start(self, number: int) -> Worker:
        own, other = socket.socketpair()
        memory = MetricMemory.share() if self.metrics else None
        passed = () if memory is None else (memory.descriptor,)
        try:
            with other, signals.held():
                process = _spawn(self.command, other.fileno(), passed)
        except OSError:
            own.close()
            if memory is not None:
                memory.close()
            raise
        if self.metrics is not None and memory is not None:
            self.metrics.worker_started(process.pid, memory)
        link = await WorkerLink.open(own, Start(self.environ, *(passed or (None,))))
        return Worker(number, process, link)

    def _on_report(self, worker: Worker, *, listening: bool, waits: int | None) -> None:
        if listening:
            worker.listening = True
            if not self._has_listened:
                self._has_listened = True
                self.on_listening()
        if waits is not None:
            worker.waits = waits
            self._report_waits()

    def _report_waits(self) -> None:
        """Once every worker has reported its waiting calls, report their sum."""
        waits = [worker.waits for worker in self._workers.values()]
        if self.stop.drain.is_set() and waits and None not in waits:
            self.on_draining(sum(count or 0 for count in waits))
            self.on_draining = lambda _waits: None

    def _pause_after(self, number: int, cause: str, lived: float) -> float:
        failed = self._failed_starts[number] + 1 if lived < START_TIME else 1
        self._failed_starts[number] = failed
        serving = any(worker.listening for worker in self._workers.values())
        if not serving and all(self._failed_starts[each] >= MAX_FAILED_STARTS for each in range(1, self.count + 1)):
            self._give_up(
                WorkersFailedError(
                    f"Every worker ended right after its start, {MAX_FAILED_STARTS} times in a row; the last time: "
                    f"{cause}. The lines above say more. With MCP_WORKERS=1 the server runs in a single process."
                )
            )
        return PAUSES.after(failed)

    def _give_up(self, failure: WorkersFailedError) -> None:
        self._failure = self._failure or failure
        self.stop.drain.set()

    async def _stop_workers(self) -> None:
        await self.stop.drain.wait()
        self._send_all("drain")
        await _wait_for_first(self.stop.now.wait(), self.clock.sleep(self.grace + DRAIN_MARGIN))
        self._send_all("stop")
        await self.clock.sleep(STOP_MARGIN)
        for worker in self._workers.values():
            log.error("worker_killed", worker=worker.number, worker_pid=worker.process.pid)
            worker.process.kill()
            self._failure = self._failure or WorkersFailedError("A worker did not stop and was killed.")

    def _send_all(self, command: StopCommand) -> None:
        for worker in self._workers.values():
            worker.link.send(command)


def _spawn(command: Sequence[str], stdin: int, passed: tuple[int, ...]) -> subprocess.Popen[bytes]:
    # Not asyncio's: uvloop's clears the mask of held signals. It returns as soon as the program has begun.
    return subprocess.Popen(command, stdin=stdin, pass_fds=passed)  # noqa: S603 - this very program


async def _wait_for_first(*awaitables: Awaitable[object]) -> None:
    """Return once one of them is done, and cancel the others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
