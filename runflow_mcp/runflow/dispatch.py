"""Starting a run so that at most one exists per client_ref, whatever the network does.

Owns the retry policy of dispatch and the sharing of one dispatch among equal calls of this process. The
rules: a caller's client_ref is looked up before the first attempt; an attempt that reached upstream and was
not refused is looked up before it is repeated; body and Idempotency-Key never change between attempts.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from itertools import count
from random import Random

import attrs
import orjson

from runflow_mcp.clock import Clock
from runflow_mcp.credentials import Bearer
from runflow_mcp.jsontypes import JSONObject
from runflow_mcp.runflow.client import RunflowClient, runs_path
from runflow_mcp.runflow.http import Outcome, TooLong, UpstreamError
from runflow_mcp.runflow.runs import Run, input_digest

MAX_ATTEMPTS = 3
#: Seconds that all attempts and look-ups of one dispatch may take together.
BUDGET = 45.0
#: Seconds that one look-up may take (all of those before the first attempt together), and what is kept of the
#: budget for the last one.
LOOK_UP_TIMEOUT, LOOK_UP_RESERVE = 10.0, 5.0
#: How many runs a look-up asks for: many, since a client_ref may have runs of many models; and how many when these
#: are more than an answer may hold, as with inline media.
LOOK_UP_LIMIT, FEWER = 50, 5
#: Seconds before an attempt is repeated, doubled each time, when upstream names no time.
FIRST_BACKOFF = 0.5
#: Seconds before a look-up after a lost answer: what was cut off may still be at work, and lists may lag.
SETTLE = 1.0
#: A run that upstream stamped earlier than this before its answer was found, not made, by the request.
FOUND_AGE = 5.0
#: Answers which say that the run exists, elsewhere: See Other, Conflict.
EXISTS = frozenset({303, 409})
#: Seconds for which such a run is looked for.
CLAIM_PATIENCE = 10.0


@attrs.frozen
class Order:
    """What to run, for whom. ``own_ref``: the caller chose the client_ref, so the run may exist."""

    bearer: Bearer
    model: str
    input: JSONObject
    client_ref: str
    own_ref: bool
    trace: Mapping[str, str]

    @classmethod
    def make(
        cls,
        bearer: Bearer,
        model: str,
        run_input: JSONObject,
        client_ref: str | None,
        trace: Mapping[str, str],
    ) -> "Order":
        """An order under the caller's client_ref, or a minted one: every run can be found again."""
        ref = client_ref or f"mcp-{secrets.token_hex(16)}"
        return cls(bearer, model, run_input, ref, client_ref is not None, trace)

    @property
    def key(self) -> str:
        """The Idempotency-Key: one for each caller, model and client_ref."""
        text = f"{self.bearer.digest}\n{self.model}\n{self.client_ref}"
        return hashlib.sha256(text.encode()).hexdigest()

    def body(self) -> bytes:
        metadata = {"mcp_model": self.model, "mcp_input_sha256": input_digest(self.input)}
        return orjson.dumps({"input": self.input, "client_ref": self.client_ref, "metadata": metadata})


@attrs.frozen
class Dispatched:
    """A run that exists upstream. ``made_from``: the input, where this dispatch made the run; else it was found."""

    run: Run
    made_from: JSONObject | None = None

    @property
    def found(self) -> bool:
        """Whether the run existed before."""
        return self.made_from is None


@attrs.define
class DispatchFailed(Exception):
    """No run could be had. ``uncertain``: one may exist all the same, under the order's client_ref."""

    cause: UpstreamError
    uncertain: bool


@attrs.frozen
class Dispatcher:
    """Starts runs; equal orders of this process share one dispatch."""

    client: RunflowClient
    clock: Clock = attrs.field(repr=False)
    random: Random = attrs.field(repr=False)
    _flights: dict[str, asyncio.Task[Dispatched]] = attrs.field(factory=dict, repr=False)

    def start(self, order: Order) -> asyncio.Task[Dispatched]:
        """The dispatch of this order, joined if it is under way.

        The task belongs to no caller: it ends by itself within the budget, even when every caller has
        gone, since a request cut off halfway is one whose outcome nobody knows.
        """
        flight = self._flights.get(order.key)
        if flight is None:
            flight = asyncio.create_task(self._dispatch(order), name="dispatch")
            self._flights[order.key] = flight
            flight.add_done_callback(lambda done: self._landed(order.key, done))
        return flight

    def _landed(self, key: str, flight: asyncio.Task[Dispatched]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, even if every caller has gone

    async def close(self) -> None:
        """Stop what is still under way; the process ends."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _dispatch(self, order: Order) -> Dispatched:
        deadline = self.clock.monotonic() + BUDGET
        if order.own_ref and (run := await self._look_before(order)):
            return Dispatched(run)
        body = order.body()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return await self._attempt(order, body, deadline)
            except UpstreamError as caught:
                fault = caught
            if fault.status in EXISTS:
                return await self._existing(order, fault, deadline)
            if fault.outcome is Outcome.REFUSED:
                break
            pause, again = self._what_next(attempt, fault, deadline)
            await self.clock.sleep(pause)
            if fault.outcome is not Outcome.NOT_SENT and (run := await self._look_after(order, fault, deadline)):
                return Dispatched(run)
            if not again or self._left(deadline) <= LOOK_UP_RESERVE:
                break
        raise DispatchFailed(fault, uncertain=False) from fault

    async def _attempt(self, order: Order, body: bytes, deadline: float) -> Dispatched:
        run = await self.client.create_run(
            order.bearer,
            order.model,
            body,
            idempotency_key=order.key,
            trace=order.trace,
            # What is left must do for asking what became of it.
            timeout=self._left(deadline) - LOOK_UP_RESERVE,
        )
        path = runs_path(order.model)
        if run.client_ref not in (None, order.client_ref):
            raise UpstreamError(Outcome.UNKNOWN, path, "Runflow answered with another run")
        if run.model not in (None, order.model):
            message = f"This client_ref belongs to a run of {run.model}; nothing was started."
            raise UpstreamError(Outcome.REFUSED, path, message, code="conflict", message=message)
        found = run.age(self.clock.wall()) > FOUND_AGE
        return Dispatched(run, None if found else order.input)

    def _what_next(self, attempt: int, fault: UpstreamError, deadline: float) -> tuple[float, bool]:
        """Seconds to wait before asking what became of an attempt, and whether another one may follow."""
        room = max(0.0, self._left(deadline) - LOOK_UP_RESERVE)
        settle = SETTLE if fault.outcome is Outcome.UNKNOWN else 0.0
        pause = max(self._pause(attempt, fault), settle)
        return (pause, True) if attempt < MAX_ATTEMPTS and pause < room else (min(settle, room), False)

    async def _existing(self, order: Order, fault: UpstreamError, deadline: float) -> Dispatched:
        """The run that upstream says exists: it may be in the making, by another replica, and be listed later."""
        deadline = min(deadline, self.clock.monotonic() + CLAIM_PATIENCE)
        for look_up in count(1):
            if run := await self._look_after(order, fault, deadline):
                return Dispatched(run)
            pause = self._backoff(look_up)
            if pause >= self._left(deadline):
                break
            await self.clock.sleep(pause)
        raise DispatchFailed(fault, uncertain=True) from fault

    async def _look_before(self, order: Order) -> Run | None:
        """Whether a caller's client_ref has its run already; a look-up that cannot be had stops nothing."""
        try:
            return await self._look_up(order, self.clock.monotonic() + LOOK_UP_TIMEOUT)
        except UpstreamError:
            return None

    async def _look_after(self, order: Order, fault: UpstreamError, deadline: float) -> Run | None:
        """Whether an attempt made a run; when upstream does not say, a repeat might bill twice, so none is made.

        A 429 or 503 means "later", but a gateway's may hide that the request was passed on.
        """
        try:
            return await self._look_up(order, deadline)
        except UpstreamError:
            raise DispatchFailed(fault, uncertain=True) from fault

    async def _look_up(self, order: Order, deadline: float) -> Run | None:
        """The run of this order, if there is one; asked again when upstream does not say, then its last fault."""
        limit = LOOK_UP_LIMIT
        for look_up in range(1, MAX_ATTEMPTS):
            try:
                return await self._find(order, limit, deadline)
            except UpstreamError as fault:
                pause = self._pause(look_up, fault)
                if fault.outcome is Outcome.REFUSED or pause >= self._left(deadline):
                    raise
                if isinstance(fault, TooLong):
                    limit = FEWER
            await self.clock.sleep(pause)
        return await self._find(order, limit, deadline)

    async def _find(self, order: Order, limit: int, deadline: float) -> Run | None:
        return await self.client.find_run(
            order.bearer,
            order.model,
            order.client_ref,
            order.trace,
            limit=limit,
            timeout=min(LOOK_UP_TIMEOUT, self._left(deadline)),
        )

    def _left(self, deadline: float) -> float:
        return deadline - self.clock.monotonic()

    def _pause(self, attempt: int, fault: UpstreamError) -> float:
        return fault.retry_after if fault.retry_after is not None else self._backoff(attempt)

    def _backoff(self, attempt: int) -> float:
        return FIRST_BACKOFF * 2.0 ** (attempt - 1) * self.random.uniform(0.5, 1.0)
