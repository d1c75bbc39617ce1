"""``generate``: start a run, wait for it with live progress, and answer with what it made.

Composes dispatch, polling and progress; retry policy lives in ``runflow.dispatch``, wording in ``outcomes``.
"""

import asyncio

import attrs
import structlog

from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.jsontypes import JSONObject
from runflow_mcp.methods import outcomes, tasks
from runflow_mcp.methods.arguments import GenerateArguments, read_arguments
from runflow_mcp.methods.call import Call
from runflow_mcp.methods.outcomes import Asked
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.protocol.progress import METHOD, Progress
from runflow_mcp.runflow.client import run_path
from runflow_mcp.runflow.dispatch import Dispatched, DispatchFailed, other_model
from runflow_mcp.runflow.http import UpstreamError
from runflow_mcp.runflow.inputs import is_other_input
from runflow_mcp.runflow.listing import is_same_model
from runflow_mcp.runflow.order import Order
from runflow_mcp.runflow.outputs import addresses
from runflow_mcp.runflow.runs import Run, poll_delay
from runflow_mcp.runflow.shared_reads import SharedRead

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


async def generate(arguments: JSONObject, call: Call) -> Result:
    """Run a model. Raises ``ToolError`` for every way in which that can fail."""
    wanted = read_arguments(GenerateArguments, arguments)
    order = Order.make(call.bearer, wanted.model, wanted.input, wanted.client_ref, call.trace)
    api_url = call.services.config.api_url
    wait = _Wait(call, order, Asked(order.model, order.client_ref, addresses(order.input)))
    try:
        if wanted.wait and not tasks.wanted(call.spoken):
            run = await wait.ended()
            return outcomes.ended(run, wait.asked, call.spoken.revision)
        run = await wait.begun()
        if not wanted.wait:
            return outcomes.started(run, wait.asked, api_url)
        if run.terminal:
            return outcomes.ended(run, wait.asked, call.spoken.revision)
        return tasks.created(run, wait.asked, call.services.clock.wall())
    except ToolError as refusal:
        if "client_ref" not in refusal.details:
            refusal.details["client_ref"] = order.client_ref
            refusal.hints += (f"client_ref: {order.client_ref}",)
        raise
    except TimeoutError:
        draining = call.services.waits.draining
        code = ToolErrorCode.SERVER_DRAINING if draining else ToolErrorCode.POLLING_TIMEOUT
        raise outcomes.given_up(code, wait.latest, wait.asked) from None
    except Exception as fault:
        log.exception("generate_failed", request_id=call.request_id, key=call.bearer.fingerprint)
        raise outcomes.broken(wait.latest, wait.asked) from fault


@attrs.define
class _Wait:
    """One call's wait for its run; ``latest`` is what is known of it when the wait is cut short."""

    call: Call
    order: Order
    asked: Asked
    latest: Run | None = None
    _progress: Progress | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        token = self.call.progress_token
        self._progress = None if token is None else Progress(token)

    @property
    def deadline(self) -> float:
        """When the wait ends, on the clock's monotonic scale; it counts from the request's arrival."""
        return self.call.arrived + self.call.services.config.poll_timeout_ms / 1000

    async def begun(self) -> Run:
        """The run as soon as it exists. Raises ``TimeoutError`` when this server stops first."""
        async with self.call.answering.until_drained():
            return (await self._dispatched(self.call.services.dispatcher.start(self.order))).run

    async def ended(self) -> Run:
        """The run once it has ended. Raises ``TimeoutError`` at the deadline."""
        self.call.answering.take_place()
        async with self.call.answering.until_drained(self.deadline):
            return await self._result()

    async def _result(self) -> Run:
        clock = self.call.services.clock
        flight = self.call.services.dispatcher.start(self.order)
        done, _ = await asyncio.wait({flight}, timeout=OPEN_AFTER)
        if not done:
            await self.call.channel.open()
        dispatched = await self._dispatched(flight)
        run = self.latest = dispatched.run
        if run.terminal:
            return run
        await self.call.channel.open()
        began = clock.monotonic()
        await self._tell(run, first=True)
        failures = 0
        # A run that was found has been read just now, and one that could not be read is asked for at once.
        read = dispatched.read
        delay = poll_delay(0.0) if read else 0.0
        with self.call.services.reads.of(self.call.bearer, run.id) as reads:
            while not run.terminal:
                left = self.deadline - clock.monotonic() - LAST_LOOK
                await clock.sleep(min(delay, left) if left > LAST_LOOK else delay)
                waited = clock.monotonic() - began
                try:
                    run = self.latest = await self._poll(reads, waited)
                    failures = 0
                    if not read:
                        read = True
                        self._judge(run, dispatched.made_from)
                except UpstreamError as fault:
                    failures += 1
                    delay = self._backoff(waited, failures, fault)
                else:
                    delay = self._jittered(poll_delay(clock.monotonic() - began))
                await self._tell(run)
        return run

    async def _dispatched(self, flight: asyncio.Task[Dispatched]) -> Dispatched:
        """What a dispatch brought; it goes on by itself when this call is cut short."""
        try:
            dispatched = await asyncio.shield(flight)
        except DispatchFailed as failed:
            raise outcomes.not_dispatched(failed, self.asked, self.call.services.catalog.current) from failed
        self._judge(dispatched.run, dispatched.made_from)
        return dispatched

    def _judge(self, run: Run, made_from: str | None) -> None:
        """Note whether a caller's client_ref belongs to a run of another input. Raises for one of another model."""
        if run.model is not None and not is_same_model(run.model, self.order.model):
            refused = DispatchFailed(other_model(run.model, run_path(run.id)), uncertain=False, sent=False)
            raise outcomes.not_dispatched(refused, self.asked, None)
        ignored = self.order.own_ref and is_other_input(self.order.input, run, made_from)
        self.asked = attrs.evolve(self.asked, input_ignored=ignored)

    async def _poll(self, reads: SharedRead, waited: float) -> Run:
        try:
            return await reads.read(self.call.trace)
        except UpstreamError as fault:
            lag = fault.status == NOT_FOUND and waited <= READ_LAG
            if fault.status in FINAL_POLL_STATUSES and not lag:
                raise outcomes.poll_refused(fault, self.latest, self.asked) from fault
            raise

    def _jittered(self, delay: float) -> float:
        """Up to a tenth less, so that runs that started together are not polled together for ever."""
        return delay * self.call.services.random.uniform(0.9, 1.0)

    def _backoff(self, waited: float, failures: int, fault: UpstreamError) -> float:
        backoff = min(poll_delay(waited) * 2.0 ** min(failures - 1, 8), MAX_BACKOFF)
        return max(self._jittered(backoff), fault.retry_after or 0.0)

    async def _tell(self, run: Run, *, first: bool = False) -> None:
        if self._progress is None:
            return
        elapsed = self.call.services.clock.monotonic() - self.call.arrived
        params = self._progress.params(
            completed=run.nodes_completed,
            total=run.nodes_total,
            elapsed=elapsed,
            done=run.terminal,
            message=outcomes.progress_message(run, elapsed, self.order.client_ref if first else None),
        )
        await self.call.channel.notify(METHOD, params)
