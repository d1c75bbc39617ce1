"""``generate``: start a run, wait for it with live progress, and answer with what it made.

Composes dispatch, polling and progress; retry policy lives in ``runflow.dispatch``, wording in ``outcomes``.
"""

import asyncio
from collections.abc import Awaitable
from enum import Enum, auto

import attrs
import structlog

from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods import run_results, tasks
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.run_results import Asked, Seen
from runflow_mcp.methods.tools.arguments import GenerateArguments, read_arguments
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.protocol.progress import METHOD, Progress
from runflow_mcp.runflow.api.errors import UpstreamError
from runflow_mcp.runflow.api.paths import run_path
from runflow_mcp.runflow.api.shared_reads import SharedRead
from runflow_mcp.runflow.dispatch.dispatcher import Dispatched, Joined
from runflow_mcp.runflow.dispatch.errors import DispatchFailed, other_model
from runflow_mcp.runflow.dispatch.inputs import is_other_input
from runflow_mcp.runflow.dispatch.order import Order
from runflow_mcp.runflow.dispatch.run_list import is_same_model
from runflow_mcp.runflow.dispatch.slots import NoPlace
from runflow_mcp.runflow.runs.polling import poll_delay
from runflow_mcp.runflow.runs.run import Run

log = structlog.get_logger(__name__)

#: Seconds of dispatching after which the stream is opened although there is no run yet: clients give up on
#: an answer whose headers do not come.
OPEN_AFTER = 10.0
#: A failed poll is repeated after the ordinary delay, doubled for each failure in a row up to this.
MAX_BACKOFF = 30.0
#: Seconds before the ceiling at which the run is looked at once more: a run that ended meanwhile is an answer.
LAST_LOOK = 0.5
#: A run that was just made may not be readable yet: a 404 this soon after dispatch is read lag.
READ_LAG = 10.0
#: Statuses on a poll that no later poll would change.
FINAL_POLL_STATUSES = frozenset({401, 403, 404})
NOT_FOUND = 404


def generate(arguments: JSONObject, ctx: RequestContext) -> Awaitable[Result]:
    """Run a model. Raises ``ToolError`` for every way in which that can fail."""
    wanted = read_arguments(GenerateArguments, arguments)
    order = Order.make(ctx.bearer, wanted.model, wanted.input, wanted.client_ref, ctx.trace)
    asked = Asked(order.model, order.client_ref, wanted.input.urls)
    mode = _Mode.NO_WAIT if not wanted.wait else _Mode.TASK if tasks.wanted(ctx.protocol) else _Mode.WAIT
    try:
        if mode is _Mode.WAIT:
            ctx.pending_answer.acquire_slot(ctx.bearer.digest)
        joined = ctx.services.dispatcher.start(order)
    except NoPlace as full:
        raise run_results.busy(full, asked) from None
    except ToolError as refusal:
        run_results.name_run(refusal, asked)
        raise
    # No frame of what is awaited keeps the arguments or the order.
    return _answer(_Wait(ctx, asked, joined), mode)


class _Mode(Enum):
    """What a call is answered with."""

    NO_WAIT = auto()
    TASK = auto()
    WAIT = auto()


async def _answer(wait: "_Wait", mode: _Mode) -> Result:
    ctx = wait.ctx
    api_url = ctx.services.config.api_url
    try:
        if mode is _Mode.WAIT:
            run = await wait.ended()
            return run_results.final_result(run, wait.asked, ctx.protocol.revision)
        run = await wait.begun()
        if mode is _Mode.NO_WAIT:
            return run_results.started_result(run, wait.asked, api_url)
        if run.terminal:
            return run_results.final_result(run, wait.asked, ctx.protocol.revision)
        return tasks.created(run, wait.asked, ctx.services.clock.wall())
    except ToolError as refusal:
        run_results.name_run(refusal, wait.asked)
        raise
    except TimeoutError:
        draining = ctx.services.inflight.draining
        code = ToolErrorCode.SERVER_DRAINING if draining else ToolErrorCode.POLLING_TIMEOUT
        raise run_results.wait_interrupted(code, wait.latest, wait.asked) from None
    except Exception as error:
        log.exception("generate_failed", request_id=ctx.request_id, key=ctx.bearer.fingerprint)
        raise run_results.internal_error(wait.latest, wait.asked) from error
    finally:
        wait.leave()


@attrs.define
class _Wait:
    """One call's wait for its run; ``latest`` is what is known of it when the wait is cut short.

    It may last as long as the ceiling allows, and there may be thousands: nothing is kept but what a later poll
    or error needs.
    """

    ctx: RequestContext
    asked: Asked
    #: The part in the dispatch, until the run's model and input have been compared with what was asked for.
    _joined: Joined | None
    latest: Seen | None = None
    _progress: Progress | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        token = self.ctx.progress_token
        self._progress = None if token is None else Progress(token)

    @property
    def deadline(self) -> float:
        """When the wait ends, on the clock's monotonic scale; it counts from the request's arrival."""
        return self.ctx.arrived + self.ctx.services.config.poll_timeout

    async def begun(self) -> Run:
        """The run as soon as it exists. Raises ``TimeoutError`` when this server stops first."""
        async with self.ctx.pending_answer.stop_on_drain():
            return (await self._dispatched()).run

    async def ended(self) -> Run:
        """The run once it has ended. Raises ``TimeoutError`` at the deadline."""
        async with self.ctx.pending_answer.stop_on_drain(self.deadline):
            done, _ = await asyncio.wait({self._part.task}, timeout=OPEN_AFTER)
            if not done:
                await self.ctx.channel.open()
            del done, _
            return await self._result()

    def leave(self) -> None:
        """Let go of the order and of what the dispatch brought; the dispatch goes on by itself."""
        if self._joined is not None:
            self._joined.leave()
            self._joined = None

    @property
    def _part(self) -> Joined:
        if self._joined is None:
            raise RuntimeError("this call has left its dispatch")
        return self._joined

    async def _result(self) -> Run:
        dispatched = await self._dispatched()
        self.latest = Seen.of(dispatched.run)
        if dispatched.run.terminal:
            return dispatched.run
        poll = self._poll_until_ended(self.latest, dispatched.made_from, read=dispatched.read)
        del dispatched
        return await poll

    async def _poll_until_ended(self, seen: Seen, made_from: str | None, *, read: bool) -> Run:
        clock = self.ctx.services.clock
        await self.ctx.channel.open()
        began = clock.monotonic()
        await self._tell(seen, first=True)
        failures = 0
        # A run that was found has been read just now, and one that could not be read is asked for at once.
        delay = poll_delay(0.0) if read else 0.0
        with self.ctx.services.reads.of(self.ctx.bearer, seen.id) as reads:
            while True:
                left = self.deadline - clock.monotonic() - LAST_LOOK
                await clock.sleep(min(delay, left) if left > LAST_LOOK else delay)
                waited = clock.monotonic() - began
                try:
                    run = await self._poll(reads if read else None, seen.id, waited)
                except UpstreamError as error:
                    failures += 1
                    delay = self._backoff(waited, failures, error)
                else:
                    failures = 0
                    seen = self.latest = Seen.of(run)
                    if not read:
                        read = True
                        self._judge(run, made_from)
                    if run.terminal:
                        await self._tell(seen, done=True)
                        return run
                    del run
                    delay = self._jittered(poll_delay(clock.monotonic() - began))
                await self._tell(seen)

    async def _dispatched(self) -> Dispatched:
        """What a dispatch brought; it goes on by itself when this call is cut short."""
        try:
            dispatched = await self._part
        except DispatchFailed as failed:
            raise run_results.dispatch_error(failed, self.asked, self.ctx.services.catalog.current) from failed
        self._judge(dispatched.run, dispatched.made_from, final=dispatched.read)
        return dispatched

    def _judge(self, run: Run, made_from: str | None, *, final: bool = True) -> None:
        """Note whether a caller's client_ref belongs to a run of another input. Raises for one of another model.

        ``final``: the run has been read, so nothing is compared with the order again.
        """
        if run.model is not None and not is_same_model(run.model, self.asked.model):
            refused = DispatchFailed(other_model(run.model, run_path(run.id)), uncertain=False, sent=False)
            raise run_results.dispatch_error(refused, self.asked, None)
        order = self._part.order
        if order is not None and order.caller_chose_ref:
            ignored = is_other_input(order.input_digest, order.input, run, made_from)
            self.asked = attrs.evolve(self.asked, input_ignored=ignored)
        if final:
            self.leave()

    async def _poll(self, reads: SharedRead | None, run_id: str, waited: float) -> Run:
        """The run as it is now; None for ``reads``: with the input that it was made from."""
        try:
            if reads is not None:
                return await reads.read(self.ctx.trace)
            return await self.ctx.services.client.get_run(self.ctx.bearer, run_id, self.ctx.trace)
        except UpstreamError as error:
            lag = error.status == NOT_FOUND and waited <= READ_LAG
            if error.status in FINAL_POLL_STATUSES and not lag:
                raise run_results.poll_error(error, self.latest, self.asked) from error
            raise

    def _jittered(self, delay: float) -> float:
        """Up to a tenth less, so that runs that started together are not polled together for ever."""
        return delay * self.ctx.services.random.uniform(0.9, 1.0)

    def _backoff(self, waited: float, failures: int, error: UpstreamError) -> float:
        backoff = min(poll_delay(waited) * 2.0 ** min(failures - 1, 8), MAX_BACKOFF)
        return max(self._jittered(backoff), error.retry_after or 0.0)

    async def _tell(self, run: Seen, *, first: bool = False, done: bool = False) -> None:
        if self._progress is None:
            return
        elapsed = self.ctx.services.clock.monotonic() - self.ctx.arrived
        params = self._progress.advance(
            completed=run.nodes_completed,
            total=run.nodes_total,
            elapsed=elapsed,
            done=done,
            message=run_results.progress_message(run, elapsed, self.asked.client_ref if first else None),
        )
        await self.ctx.channel.notify(METHOD, params)
