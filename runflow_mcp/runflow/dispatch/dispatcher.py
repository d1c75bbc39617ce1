"""Starting a run so that at most one exists per client_ref, whatever the network does.

Owns the course of a dispatch and the sharing of one dispatch among equal calls of this process; whether a POST may
go out is decided in ``attempts``. Body and Idempotency-Key never change between attempts.
"""

import asyncio
from collections.abc import Generator
from itertools import count
from random import Random

import attrs

from runflow_mcp.clock import Clock
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.api.paths import LIST_PATH, runs_path
from runflow_mcp.runflow.dispatch.attempts import (
    EXISTS,
    MAX_ATTEMPTS,
    Reached,
    Shown,
    backoff,
    may_post,
    pause,
    reached_by,
    shown_by,
)
from runflow_mcp.runflow.dispatch.errors import DispatchFailed, other_model
from runflow_mcp.runflow.dispatch.lookup import Finder, Found, OtherModel
from runflow_mcp.runflow.dispatch.order import Order
from runflow_mcp.runflow.dispatch.recent import Recent
from runflow_mcp.runflow.dispatch.run_list import is_same_model, is_same_ref
from runflow_mcp.runflow.dispatch.slots import DispatchSlots, Slot
from runflow_mcp.runflow.runs.run import SUCCEEDED, Run

#: Seconds that all attempts and look-ups of one dispatch may take together.
BUDGET = 45.0
#: Seconds that the look-up before the first attempt may take, and what is kept of the budget for the last one.
FIRST_LOOK_UP, LOOK_UP_RESERVE = 10.0, 5.0
#: Seconds between an attempt that may have made a run and its look-up: it may still be at work, and lists lag.
SETTLE = 2.0
#: A run that upstream stamped earlier than this before it was asked for was found, not made, by the request.
FOUND_AGE = 5.0
#: Seconds for which a run that upstream has answered with is looked for.
CLAIM_PATIENCE = 10.0


@attrs.frozen
class Dispatched:
    """A run that exists upstream.

    ``found``: it existed before. ``read``: it has been read by its id since; a found run that has not been is known
    by its id alone. ``made_from``: the digest of the input, where this dispatch made the run.
    """

    run: Run
    found: bool
    read: bool
    made_from: str | None = None


@attrs.frozen
class _Flight:
    """A dispatch under way, and the slot that it holds."""

    task: asyncio.Task[Dispatched]
    order: Order
    slot: Slot


@attrs.define(eq=False)
class Joined:
    """One call's part in a dispatch; await it for what the dispatch brought.

    ``order``: kept until ``leave``, so that a found run's input can be compared with the call's.
    """

    task: asyncio.Task[Dispatched]
    order: Order | None
    _slot: Slot

    def __await__(self) -> Generator[None, None, Dispatched]:
        return asyncio.shield(self.task).__await__()

    def leave(self) -> None:
        """Let go of the order; the dispatch goes on by itself."""
        if self.order is not None:
            self.order = None
            self._slot.release()


@attrs.frozen
class Dispatcher:
    """Starts runs; equal orders of this process share one dispatch, and find it again for a while."""

    client: RunflowClient
    clock: Clock = attrs.field(repr=False)
    random: Random = attrs.field(repr=False)
    slots: DispatchSlots = attrs.field(factory=DispatchSlots, repr=False)
    _flights: dict[str, _Flight] = attrs.field(factory=dict, repr=False)
    _recent: Recent = attrs.field(factory=Recent, repr=False)

    def start(self, order: Order) -> Joined:
        """A part in the dispatch of this order, which may be under way. Raises ``NoSlot``; nothing is started then.

        The task belongs to no caller: it ends by itself within the budget, even when every caller has
        gone, since a request cut off halfway is one whose outcome nobody knows.
        """
        key = order.key
        flight = self._flights.get(key)
        if flight is None:
            slot = self._acquire_slot(order)
            flight = _Flight(asyncio.create_task(self._dispatch(order), name="dispatch"), order, slot)
            self._flights[key] = flight
            flight.task.add_done_callback(lambda _: self._on_done(key))
        elif flight.order.input_digest != order.input_digest:
            # Another input under the same client_ref: its bytes are kept beside those of the dispatch.
            return Joined(flight.task, order, self._acquire_slot(order))
        flight.slot.retain()
        return Joined(flight.task, flight.order, flight.slot)

    def _acquire_slot(self, order: Order) -> Slot:
        return self.slots.acquire(order.bearer.digest, order.bearer.source.address, len(order.body))

    def _on_done(self, key: str) -> None:
        flight = self._flights.pop(key)
        flight.slot.release()
        if not flight.task.cancelled():
            flight.task.exception()  # seen, even if every caller has gone

    async def close(self) -> None:
        """Stop what is still under way; the process ends."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _dispatch(self, order: Order) -> Dispatched:
        now = self.clock.monotonic()
        finder = Finder(self.client, self.clock, self.random)
        known = self._recent.recall(order.key, now)
        if known is not None and known.run_id is not None:
            # Whatever the read says, this run was dispatched half a minute ago: nothing else is.
            found = await finder.read(order, known.run_id, now + FIRST_LOOK_UP)
            return Dispatched(found.run, found=True, read=found.read, made_from=known.made_from)
        dispatch = _Dispatch(order, finder, now + BUDGET, Reached.NOTHING if known is None else known.reached)
        try:
            dispatched = await dispatch.run()
        except DispatchFailed:
            if dispatch.reached:
                self._recent.remember(order.key, dispatch.reached, None, None, now=self.clock.monotonic())
            raise
        self._recent.remember(
            order.key, Reached.ANSWERED, dispatched.run.id, dispatched.made_from, now=self.clock.monotonic()
        )
        return dispatched


@attrs.define
class _Dispatch:
    """One dispatch from its first look-up to its end: look up, ask ``may_post``, send, and again."""

    order: Order
    finder: Finder
    deadline: float
    reached: Reached
    error: UpstreamError | None = None
    #: A run that upstream answered with and that is not this order's.
    named: Run | None = None

    async def run(self) -> Dispatched:
        if self.reached is Reached.ANSWERED:
            return await self._claim()
        shown = Shown.NOT_ASKED
        again = True
        for attempt in count(1):
            # Once anything was sent, whatever came of later attempts, each is preceded by a look-up.
            if self.reached or (attempt == 1 and self.order.caller_chose_ref):
                first = self.finder.clock.monotonic() + FIRST_LOOK_UP if attempt == 1 else self.deadline
                found, shown = await self._look_up(min(first, self.deadline))
                if isinstance(found, Found):
                    return self._found(found)
                if isinstance(found, OtherModel) and not self.reached:
                    raise DispatchFailed(other_model(found.model, LIST_PATH), uncertain=False, sent=False)
            again = again and self._remaining() > LOOK_UP_RESERVE
            if not again or not may_post(self.reached, shown):
                raise self._failed(shown)
            try:
                return await self._attempt(shown)
            except UpstreamError as error:
                self.error = error
                self.reached = max(self.reached, reached_by(error))
                wait, again = self._plan_retry(attempt, error)
            if self.reached is Reached.ANSWERED:
                return await self._claim()
            await self.finder.clock.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, shown: Shown) -> Dispatched:
        order, finder = self.order, self.finder
        asked_at = finder.clock.wall()
        run = await finder.client.create_run(
            order.bearer,
            order.model,
            order.body,
            idempotency_key=order.key,
            trace=order.trace,
            # The rest of the budget is for finding out what became of it.
            timeout=self._remaining() - LOOK_UP_RESERVE,
        )
        path = runs_path(order.model)
        if run.client_ref is not None and not is_same_ref(run.client_ref, order.client_ref):
            self.named = run
            reason = f"Runflow answered with another run ({run.id})"
            raise UpstreamError(Outcome.UNKNOWN, path, reason, answered=True)
        # Nobody can have used a minted client_ref, nor one of which the list showed no run: stamps are not asked then,
        # since clocks differ.
        fresh = not order.caller_chose_ref or shown is Shown.NONE or run.age(asked_at) <= FOUND_AGE
        found = Found(run, read=True)
        if not fresh or (run.terminal and not (run.status == SUCCEEDED and run.output)):
            read = await finder.read(order, run.id, self.deadline)
            # An end that the answer shows is known, although the run cannot be read.
            found = read if read.read or not run.terminal else found
        model = found.run.model or run.model
        if model is not None and not is_same_model(model, order.model):
            raise DispatchFailed(other_model(model, path), uncertain=False, sent=False)
        made_from = order.input_digest if fresh else None
        return Dispatched(found.run, found=not fresh, read=found.read, made_from=made_from)

    def _plan_retry(self, attempt: int, error: UpstreamError) -> tuple[float, bool]:
        """Seconds to wait before the look-up that follows an attempt, and whether another attempt may follow that."""
        if error.outcome is Outcome.REFUSED:
            return 0.0, False
        room = max(0.0, self._remaining() - LOOK_UP_RESERVE)
        wait = pause(attempt, error, self.finder.random)
        if self.reached:
            wait = max(wait, SETTLE) if error.retry_after is not None else SETTLE + wait
        return (wait, True) if attempt < MAX_ATTEMPTS and wait < room else (min(SETTLE, room), False)

    async def _claim(self) -> Dispatched:
        """The run that upstream says exists: it may be in the making, by another replica, and be listed later."""
        deadline = min(self.deadline, self.finder.clock.monotonic() + CLAIM_PATIENCE)
        other = None
        for look_up in count(1):
            found, shown = await self._look_up(deadline)
            if isinstance(found, Found):
                return self._found(found)
            other = found
            wait = backoff(look_up, self.finder.random)
            if shown is not Shown.NONE or wait >= deadline - self.finder.clock.monotonic():
                break
            await self.finder.clock.sleep(wait)
        if other is not None and self.error is not None and self.error.status in EXISTS:
            raise DispatchFailed(other_model(other.model, LIST_PATH), uncertain=False, sent=False)
        raise self._failed(Shown.UNCLEAR)

    async def _look_up(self, deadline: float) -> tuple[Found | OtherModel | None, Shown]:
        try:
            found = await self.finder.find(self.order, deadline)
        except UpstreamError as error:
            self.error = self.error or error
            return None, shown_by(error)
        return found, Shown.NONE

    def _found(self, found: Found) -> Dispatched:
        made_from = None if self.order.caller_chose_ref else self.order.input_digest
        return Dispatched(found.run, found=True, read=found.read, made_from=made_from)

    def _failed(self, shown: Shown) -> DispatchFailed:
        reason = "Runflow has answered with a run that its list does not show"
        cause = self.error or UpstreamError(Outcome.UNKNOWN, LIST_PATH, reason)
        open_ = shown is Shown.UNCLEAR or (self.reached is not Reached.NOTHING and shown is not Shown.NONE)
        return DispatchFailed(cause, uncertain=open_, sent=bool(self.reached), named=self.named)

    def _remaining(self) -> float:
        return self.deadline - self.finder.clock.monotonic()
