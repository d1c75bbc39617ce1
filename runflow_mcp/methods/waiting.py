"""One call's wait for its run: the dispatch, then polls with progress, until the run or the wait ends.

Retries of a dispatch are in ``runflow.dispatch``, the pace of polls in ``runflow.runs.polling``, messages in
``run_errors``.
"""

import asyncio

import attrs

from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.methods import run_errors
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.run_state import RunState, progress_message
from runflow_mcp.observability.record import CLIENT_GONE
from runflow_mcp.protocol.progress import METHOD, Progress
from runflow_mcp.runflow.api.errors import UpstreamError, meaning_of
from runflow_mcp.runflow.api.responses import Reading
from runflow_mcp.runflow.api.shared_reads import SharedRead
from runflow_mcp.runflow.dispatch.dispatcher import JoinedDispatch
from runflow_mcp.runflow.dispatch.errors import DispatchFailed
from runflow_mcp.runflow.dispatch.order import Dispatched, RunRef
from runflow_mcp.runflow.runs.polling import PollTimer
from runflow_mcp.runflow.runs.run import Run

#: Seconds of dispatching after which the stream is opened without a run: clients give up on a response whose headers
#: do not arrive.
OPEN_AFTER = 10.0


@attrs.define
class RunWait:
    """The state of the wait. There may be thousands at a time, so nothing large is kept between two polls.

    ``ref``: how the call identifies its run; provisional until the run has been read.
    """

    ctx: RequestContext
    ref: RunRef
    #: The dispatch, which equal calls share; None once the run has been read and compared with the call's order.
    _joined: JoinedDispatch | None
    #: The run as it was last read; None until the dispatch has brought one.
    latest: RunState | None = None
    _progress: Progress | None = attrs.field(init=False)

    @_progress.default
    def _make_progress(self) -> Progress | None:
        return None if self.ctx.progress_token is None else Progress(self.ctx.progress_token)

    @property
    def deadline(self) -> float:
        """The time limit of the call, on the clock's monotonic scale; it counts from the request's arrival."""
        return self.ctx.arrived + self.ctx.services.config.poll_timeout

    async def until_started(self) -> Run:
        """The run as soon as it exists. Raises ``ToolError`` when there is none."""
        return (await self._await_dispatch()).run

    async def until_ended(self) -> Run:
        """The run once it has ended. Raises ``ToolError``, at the deadline ``polling_timeout``."""
        services, started = self.ctx.services, self.ctx.services.clock.monotonic()
        ended, outcome = False, ToolErrorCode.GENERATE_FAILED.value
        try:
            run = await self._until_ended()
        except ToolError as error:
            outcome = str(error.code)
            raise
        except asyncio.CancelledError:
            outcome = ToolErrorCode.SERVER_DRAINING.value if services.inflight.interrupting else CLIENT_GONE
            raise
        else:
            ended, outcome = True, run.status
            return run
        finally:
            seconds = services.clock.monotonic() - started
            services.runs.wait_ended(self.ctx.record, outcome, seconds, run_ended=ended)

    async def _until_ended(self) -> Run:
        try:
            async with asyncio.timeout_at(self.deadline):
                await self._open_if_slow()
                dispatched = await self._await_dispatch()
                self.latest = RunState.of(dispatched.run)
                if dispatched.run.terminal:
                    return dispatched.run
                del dispatched
                return await self._poll_until_ended()
        except TimeoutError:
            raise self.interrupted_error(ToolErrorCode.POLLING_TIMEOUT) from None

    def interrupted_error(self, code: ToolErrorCode) -> ToolError:
        """The error of a wait that ends before its run."""
        return run_errors.wait_interrupted(code, self.latest, self.ref)

    def leave(self) -> None:
        """Leave the dispatch, which continues by itself, and release its result."""
        if self._joined is not None:
            self._joined.leave()
            self._joined = None

    async def _open_if_slow(self) -> None:
        if self._joined is not None:
            done, _ = await asyncio.wait({self._joined.task}, timeout=OPEN_AFTER)
            if not done:
                await self.ctx.channel.open()

    async def _await_dispatch(self) -> Dispatched:
        if self._joined is None:
            raise RuntimeError("this call has left its dispatch")
        try:
            dispatched = await self._joined
        except DispatchFailed as error:
            raise run_errors.dispatch_error(error, self.ref, self.ctx.services.catalog.current) from error
        self.ref = dispatched.ref
        self.ctx.record.run_id = dispatched.run.id
        if dispatched.read:
            self.leave()
        return dispatched

    async def _poll_until_ended(self) -> Run:
        services = self.ctx.services
        clock = services.clock
        await self.ctx.channel.open()
        unread = self._joined is not None
        timer = PollTimer.start(clock.monotonic(), self.deadline, services.random, at_once=unread)
        await self._send_progress(client_ref=self.ref.client_ref)
        with services.reads.of(self.ctx.bearer, self._state.id) as reads:
            while True:
                await clock.sleep(timer.delay(clock.monotonic()))
                if (ended := await self._poll(reads, timer)) is not None:
                    return ended

    async def _poll(self, reads: SharedRead, timer: PollTimer) -> Run | None:
        """Read the run once; None if it has not ended, or if the poll failed and is to be repeated."""
        clock, client = self.ctx.services.clock, self.ctx.services.client
        sent_at = clock.monotonic()
        self.ctx.record.polls += 1
        try:
            # The first read of a run that was found is for this call alone: its input is to be compared.
            reading = await reads.read(self.ctx.trace, self._state.digest, whole=self._joined is not None)
        except UpstreamError as error:
            meaning = meaning_of(error.status)
            if meaning.final and not (meaning.missing and timer.is_read_lag(sent_at)):
                client.failures.given_up("get_run", error, timer.failures + 1)
                raise run_errors.poll_error(error, self.latest, self.ref) from error
            now = clock.monotonic()
            timer.failed(now, error.retry_after)
            client.failures.retried("get_run", error, timer.failures, timer.delay(now))
            await self._send_progress()
            return None
        ended = None if reading is None else self._take(reading)
        del reading  # a slow client may delay the notification, and the reading may be large
        timer.answered(clock.monotonic(), len(self.ctx.services.reads))
        await self._send_progress(done=ended is not None)
        return ended

    def _take(self, reading: Reading) -> Run | None:
        """Note the state of the run; returns the run if it has ended."""
        run = reading.run
        self.latest = RunState.of(run, digest=reading.digest)
        self._identify(run)
        self.ctx.services.runs.seen(run)
        return run if run.terminal else None

    def _identify(self, run: Run) -> None:
        """Compare the run with the call's order, at its first read."""
        if self._joined is None:
            return
        try:
            self.ref = self._joined.identify(run)
        except DispatchFailed as error:
            raise run_errors.dispatch_error(error, self.ref, None) from error
        self.leave()

    @property
    def _state(self) -> RunState:
        if self.latest is None:
            raise RuntimeError("this call has no run yet")
        return self.latest

    async def _send_progress(self, *, client_ref: str | None = None, done: bool = False) -> None:
        """``client_ref``: for the first notification, which names the run."""
        if self._progress is None:
            return
        run = self._state
        elapsed = self.ctx.services.clock.monotonic() - self.ctx.arrived
        message = progress_message(run, elapsed, done=done)
        if client_ref is not None:
            message = f"{message} (run {run.id}, client_ref {client_ref})"
        params = self._progress.advance(
            completed=run.nodes_completed, total=run.nodes_total, elapsed=elapsed, done=done, message=message
        )
        await self.ctx.channel.notify(METHOD, params)
