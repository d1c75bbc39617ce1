"""Starts runs: at most one per client_ref, whatever the network does.

Owns the steps of a dispatch, its sharing among equal calls of this process, and the comparison of a found run with a
call (model and input). Whether a POST may go out is decided in ``attempts``; the body and the Idempotency-Key never
change between attempts.
"""

import asyncio
from collections.abc import Generator
from itertools import count
from random import Random

import attrs

from runflow_mcp.clock import Clock
from runflow_mcp.observability.run_log import RunLog
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError, meaning_of
from runflow_mcp.runflow.api.paths import LIST_PATH, run_path, runs_path
from runflow_mcp.runflow.dispatch.attempts import (
    BACKOFF,
    MAX_ATTEMPTS,
    Effect,
    LookUpResult,
    effect_of,
    failed_look_up,
    may_post,
)
from runflow_mcp.runflow.dispatch.errors import DispatchFailed, FilesNeeded, NotUploaded, model_conflict
from runflow_mcp.runflow.dispatch.inputs import is_other_input
from runflow_mcp.runflow.dispatch.lookup import Finder, Found, OtherModel
from runflow_mcp.runflow.dispatch.order import Dispatched, Order, RunRef
from runflow_mcp.runflow.dispatch.recent import RecentDispatches
from runflow_mcp.runflow.dispatch.run_list import is_same_model, is_same_ref
from runflow_mcp.runflow.dispatch.slots import DispatchSlots, Slot
from runflow_mcp.runflow.dispatch.uploads import Uploads
from runflow_mcp.runflow.runs.run import SUCCEEDED, Run

#: Seconds that all attempts and look-ups of one dispatch may take together.
BUDGET = 45.0
#: Seconds that the look-up before the first attempt may take, and the part of the budget kept for the last look-up.
FIRST_LOOK_UP, LOOK_UP_RESERVE = 10.0, 5.0
#: Seconds between an attempt that may have made a run and its look-up: it may be in progress, and lists lag.
SETTLE = 2.0
#: Seconds. A run that upstream created longer ago than this when the request was sent is not new: it was found.
FOUND_AGE = 5.0
#: Seconds of looking for a run after upstream has answered that it exists.
EXISTING_RUN_TIMEOUT = 10.0


@attrs.frozen
class _Result:
    """The result of a dispatch for every call that shares it. ``found``, ``read``: as in ``Dispatched``.

    ``sent_digest``: the digest of the input that this process sent to start the run; None if it did not.
    """

    run: Run
    found: bool
    read: bool
    sent_digest: str | None


@attrs.frozen
class _Flight:
    """A dispatch under way, and the slot that it holds."""

    task: asyncio.Task[_Result]
    order: Order
    slot: Slot


@attrs.define(eq=False)
class JoinedDispatch:
    """One call's share in a dispatch; await it for the run.

    Raises ``DispatchFailed``, and ``FilesNeeded`` or ``NotUploaded`` before anything was sent. It keeps the call's
    order, which holds the whole input, until the run has been compared with it.
    """

    task: asyncio.Task[_Result]
    _order: Order | None
    _slot: Slot
    #: For a call that joined the dispatch of another one; the first call's event is the dispatch's own.
    _runs: RunLog | None = None

    def __await__(self) -> Generator[object, None, Dispatched]:
        return self._dispatched().__await__()

    async def _dispatched(self) -> Dispatched:
        try:
            result = await asyncio.shield(self.task)
        except (FilesNeeded, NotUploaded):
            # The error is about the files of the call that began the dispatch; this one may name others.
            if self._order is not None and self._order.files.local:
                raise FilesNeeded(self._order.files.local) from None
            raise
        ref = self._ref(result.run, result.sent_digest)
        if self._runs is not None:
            self._runs.found(result.run.id, ref.model, result.run.status)
        if result.read:
            self.leave()
        return Dispatched(result.run, ref, result.found, result.read)

    def identify(self, run: Run) -> RunRef:
        """The ref of the run, which could not be read until now. Raises ``DispatchFailed`` for another model's run."""
        ref = self._ref(run, self.task.result().sent_digest)
        self.leave()
        return ref

    def leave(self) -> None:
        """Release the order. The dispatch goes on by itself."""
        if self._order is not None:
            self._order = None
            self._slot.release()

    def _ref(self, run: Run, sent_digest: str | None) -> RunRef:
        order = self._order
        if order is None:
            raise RuntimeError("this call has left its dispatch")
        if run.model is not None and not is_same_model(run.model, order.model):
            raise model_conflict(run.model, run_path(run.id))
        ignored = order.caller_chose_ref and is_other_input(
            order.input_digest, order.input, run, sent_digest, names_files=bool(order.files.local)
        )
        return attrs.evolve(order.run_ref, input_ignored=ignored)


@attrs.frozen
class Dispatcher:
    """Starts runs. Equal orders of this process share one dispatch, and find its run without a look-up for a while."""

    client: RunflowClient
    clock: Clock = attrs.field(repr=False)
    random: Random = attrs.field(repr=False)
    runs: RunLog = attrs.field(factory=RunLog, repr=False)
    slots: DispatchSlots = attrs.field(factory=DispatchSlots, repr=False)
    _flights: dict[str, _Flight] = attrs.field(factory=dict, repr=False)
    _recent: RecentDispatches = attrs.field(factory=RecentDispatches, repr=False)

    def start(self, order: Order) -> JoinedDispatch:
        """Join the dispatch of this order, or begin it. Raises ``NoSlot`` when nothing may be started now.

        A caller that leaves does not cancel the task, which ends by itself within the budget: the outcome of a
        cancelled request would be unknown.
        """
        key = order.idempotency_key
        if order.files.local and key not in self._flights:
            key = f"{key} look-up"  # it starts nothing, so no call that may start the run must share it
        flight = self._flights.get(key)
        joined = None if flight is None else self.runs
        if flight is None:
            slot = self._acquire_slot(order)
            flight = _Flight(asyncio.create_task(self._dispatch(order), name="dispatch"), order, slot)
            self._flights[key] = flight
            flight.task.add_done_callback(lambda _: self._on_done(key))
        elif flight.order.input_digest != order.input_digest:
            # Another input under the same client_ref: its bytes are kept in addition to those of the dispatch.
            return JoinedDispatch(flight.task, order, self._acquire_slot(order), joined)
        flight.slot.retain()
        return JoinedDispatch(flight.task, flight.order, flight.slot, joined)

    def _acquire_slot(self, order: Order) -> Slot:
        return self.slots.acquire(order.bearer.digest, order.bearer.source.address, len(order.body))

    def _on_done(self, key: str) -> None:
        flight = self._flights.pop(key)
        flight.slot.release()
        if not flight.task.cancelled():
            flight.task.exception()  # retrieved, although every caller may have left

    async def close(self) -> None:
        """Cancel the dispatches under way: the process ends."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _dispatch(self, order: Order) -> _Result:
        result = await self._find_or_start(order)
        run = result.run
        if result.found:
            self.runs.found(run.id, order.model, run.status)
        else:
            self.runs.started(run.id, order.model)
        if result.read:
            self.runs.seen(run)
        return result

    async def _find_or_start(self, order: Order) -> _Result:
        now = self.clock.monotonic()
        finder = Finder(self.client, self.clock, self.random)
        entry = self._recent.recall(order.idempotency_key, now)
        if entry is not None and entry.run_id is not None:
            # This process made or found the run a moment ago: nothing is dispatched, whatever the read shows.
            found = await finder.read(order, entry.run_id, now + FIRST_LOOK_UP)
            return _Result(found.run, found=True, read=found.read, sent_digest=entry.sent_digest)
        dispatch = _Dispatch(order, finder, now + BUDGET, Effect.NONE if entry is None else entry.effect)
        try:
            result = await dispatch.run()
        except DispatchFailed:
            if dispatch.effect:
                self._recent.remember(order.idempotency_key, dispatch.effect, None, None, now=self.clock.monotonic())
            raise
        self._recent.remember(
            order.idempotency_key, Effect.CERTAIN, result.run.id, result.sent_digest, now=self.clock.monotonic()
        )
        return result


@attrs.define
class _Dispatch:
    """The steps of one dispatch: look up, ask ``may_post``, send, and again until a run or an error is final."""

    order: Order
    finder: Finder
    deadline: float
    effect: Effect
    error: UpstreamError | None = None
    #: A run that upstream answered with and that is not the order's.
    other_run: Run | None = None

    async def run(self) -> _Result:
        if self.effect is Effect.CERTAIN:
            return await self._find_existing()
        look_up = LookUpResult.NOT_MADE
        again = True
        for attempt in count(1):
            # Once an attempt may have had an effect, each later one is preceded by a look-up.
            if self.effect or (attempt == 1 and self.order.caller_chose_ref):
                limit = self.finder.clock.monotonic() + FIRST_LOOK_UP if attempt == 1 else self.deadline
                found, look_up = await self._look_up(min(limit, self.deadline))
                if isinstance(found, Found):
                    return self._found_result(found)
                if isinstance(found, OtherModel) and not self.effect:
                    raise model_conflict(found.model, LIST_PATH)
            again = again and self._remaining() > LOOK_UP_RESERVE
            if not again or not may_post(self.effect, look_up):
                raise self._failure(look_up)
            if self.order.files.local:
                raise FilesNeeded(self.order.files.local)
            if attempt == 1:
                await self._confirm_uploads()
            if attempt > 1:
                self.finder.client.metrics.upstream_retry("create_run")
            try:
                return await self._attempt(look_up)
            except UpstreamError as error:
                self.error = error.without_frames()
                self.effect = max(self.effect, effect_of(error))
                pause, again = self._plan_retry(attempt, error)
                if again and self.effect is not Effect.CERTAIN:
                    self.finder.client.failures.retried("create_run", error, attempt, pause)
                else:
                    self.finder.client.failures.given_up("create_run", error, attempt)
            if self.effect is Effect.CERTAIN:
                return await self._find_existing()
            await self.finder.clock.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _confirm_uploads(self) -> None:
        order, finder = self.order, self.finder
        uploads = Uploads(finder.client, finder.clock, finder.random, order.bearer, order.trace)
        for asset_id in order.files.uploads:
            await uploads.confirm(asset_id, self.deadline - LOOK_UP_RESERVE)

    async def _attempt(self, look_up: LookUpResult) -> _Result:
        order, finder = self.order, self.finder
        sent_at = finder.clock.wall()
        run = await finder.client.create_run(
            order.bearer,
            order.model,
            order.body,
            idempotency_key=order.idempotency_key,
            trace=order.trace,
            # The reserve is for looking the run up when this attempt's answer is lost.
            timeout=self._remaining() - LOOK_UP_RESERVE,
        )
        path = runs_path(order.model)
        if run.client_ref is not None and not is_same_ref(run.client_ref, order.client_ref):
            self.other_run = run
            reason = f"Runflow answered with another run ({run.id})"
            raise UpstreamError(Outcome.UNKNOWN, path, reason, answered=True)
        # A minted client_ref, and one without a run in the list, cannot have been used before: the run is new. Only
        # otherwise is its creation time compared, since clocks differ.
        fresh = not order.caller_chose_ref or look_up is LookUpResult.NO_RUN or run.age(sent_at) <= FOUND_AGE
        found = Found(run, read=True)
        if not fresh or (run.terminal and not (run.status == SUCCEEDED and run.output)):
            read = await finder.read(order, run.id, self.deadline)
            # A final state in the answer counts although the run cannot be read.
            found = read if read.read or not run.terminal else found
        model = found.run.model or run.model
        if model is not None and not is_same_model(model, order.model):
            raise model_conflict(model, path)
        sent_digest = order.input_digest if fresh else None
        return _Result(found.run, found=not fresh, read=found.read, sent_digest=sent_digest)

    def _plan_retry(self, attempt: int, error: UpstreamError) -> tuple[float, bool]:
        """After a failed attempt: (seconds before the next look-up, whether another attempt may follow it)."""
        if error.outcome is Outcome.REFUSED:
            return 0.0, False
        room = max(0.0, self._remaining() - LOOK_UP_RESERVE)
        pause = BACKOFF.after(attempt, self.finder.random, retry_after=error.retry_after)
        if self.effect:
            pause = max(pause, SETTLE) if error.retry_after is not None else SETTLE + pause
        return (pause, True) if attempt < MAX_ATTEMPTS and pause < room else (min(SETTLE, room), False)

    async def _find_existing(self) -> _Result:
        """Look for the run that upstream has answered with: another replica may be creating it, and lists lag."""
        deadline = min(self.deadline, self.finder.clock.monotonic() + EXISTING_RUN_TIMEOUT)
        other_model = None
        for attempt in count(1):
            found, look_up = await self._look_up(deadline)
            if isinstance(found, Found):
                return self._found_result(found)
            other_model = found
            pause = BACKOFF.after(attempt, self.finder.random)
            if look_up is not LookUpResult.NO_RUN or pause >= deadline - self.finder.clock.monotonic():
                break
            await self.finder.clock.sleep(pause)
        if other_model is not None and self.error is not None and meaning_of(self.error.status).exists:
            raise model_conflict(other_model.model, LIST_PATH)
        raise self._failure(LookUpResult.UNCLEAR)

    async def _look_up(self, deadline: float) -> tuple[Found | OtherModel | None, LookUpResult]:
        try:
            found = await self.finder.find(self.order, deadline)
        except UpstreamError as error:
            self.error = self.error or error.without_frames()
            return None, failed_look_up(error)
        return found, LookUpResult.NO_RUN

    def _found_result(self, found: Found) -> _Result:
        sent_digest = None if self.order.caller_chose_ref else self.order.input_digest
        return _Result(found.run, found=True, read=found.read, sent_digest=sent_digest)

    def _failure(self, look_up: LookUpResult) -> DispatchFailed:
        reason = "Runflow has answered with a run that its list does not show"
        cause = self.error or UpstreamError(Outcome.UNKNOWN, LIST_PATH, reason)
        uncertain = look_up is LookUpResult.UNCLEAR or (
            self.effect is not Effect.NONE and look_up is not LookUpResult.NO_RUN
        )
        return DispatchFailed(cause, uncertain=uncertain, sent=bool(self.effect), other_run=self.other_run)

    def _remaining(self) -> float:
        return self.deadline - self.finder.clock.monotonic()
