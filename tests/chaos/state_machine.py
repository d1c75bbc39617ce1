"""The state machine: which rules there are, and which of them may be played when."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import structlog
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.chaos import random_failures
from tests.chaos.chaos_world import BUDGET, INPUTS, ROUNDING, Order, World
from tests.scripted_sandbox import Action, Idempotency, Quirks, Respond, Route

KEYS = ("rf_live_alice", "rf_live_bob")
MODELS = (
    "google/nano-banana-2",
    "google/nano-banana-2",
    "sandbox/slow",
    "sandbox/slow",
    "sandbox/odd",
    "sandbox/failing",
    "sandbox/cancelled",
    "sandbox/inline",
)
#: Client references that are used again and again; the second is one that an upstream may normalise.
REFS = ("ref-a", "Ref-B/" + "long-" * 16)
#: Statuses below 500 that may come with a run.
MAY_HIDE = (303, 408, 409, 429)
#: What was played in this process, for the report of a long run.
PLAYED: Counter[str] = Counter()

orders = st.builds(
    Order,
    st.sampled_from(KEYS),
    st.sampled_from(MODELS),
    st.sampled_from([None, None, *REFS]),
    st.sampled_from(["stream", "stream", "json", "no_wait", "task"]),
    st.sampled_from(INPUTS),
)


#: Upstreams as documented, and ones that keep, list and stamp runs otherwise.
quirks = st.one_of(
    st.just(Quirks()),
    st.builds(
        Quirks,
        lower_ref=st.booleans(),
        cut_ref=st.sampled_from([None, 64]),
        trim_input=st.booleans(),
        keep_metadata=st.booleans(),
        summaries=st.booleans(),
        page=st.sampled_from([None, 1, 2]),
        list_lag=st.sampled_from([0.0, 1.5]),
        clock_skew=st.sampled_from([0.0, -60.0, 60.0]),
    ),
)


class Chaos(RuleBasedStateMachine):
    """Everything that can happen to two replicas between their clients and Runflow."""

    world: World

    @initialize(idempotency=st.sampled_from(Idempotency), seed=st.integers(0, 3), quirks=quirks)
    def begin(self, idempotency: Idempotency, seed: int, quirks: Quirks) -> None:
        PLAYED["scenarios"] += 1
        PLAYED["scenarios of odd upstreams"] += quirks != Quirks()
        self.logs = structlog.testing.LogCapture()
        self.processors = structlog.get_config()["processors"]
        structlog.configure(processors=[self.logs])
        self.world = World(idempotency, seed, quirks)
        self.fresh = 0
        self.broken = False

    @property
    def forgetful(self) -> bool:
        """Whether upstream knows no idempotency whatever."""
        return self.world.rule is Idempotency.NONE

    # Clients

    def place(self, order: Order, number: int, script: Sequence[Action] = (), blind: Sequence[Action] = ()) -> None:
        """Send an order whose dispatch meets ``script`` and whose look-ups meet ``blind``."""
        world = self.world
        PLAYED["calls"] += 1
        ref = order.ref
        if self.forgetful and world.quirks.list_lag:
            # A refusal of what was done all the same is a lie that only the list shows, and that one lags.
            script = [_honest(action) for action in script]
        if self.forgetful and ref is not None:
            known = world.dispatched.get((order.key, order.model, ref))
            # By the documents, a first look-up that fails does not stop a dispatch, and only calls of one process
            # share one: without idempotency a client_ref that is in use needs a look-up that works and one replica.
            world.sandbox.script.clear(matching=ref)
            if known is not None:
                at, replica = known
                blind = ()
                # What a process that has gone dispatched a moment ago is in no memory, and not yet in a list that lags.
                running = replica.state in ("up", "draining") or world.quirks.list_lag > 0
                elsewhere = replica is not world.replicas[number] and running
                if world.upstream is None or (elsewhere and world.now < at + BUDGET + ROUNDING):
                    return
        elif self.forgetful:
            # The faults cannot be told to meet this call alone: they might meet the look-up of a client_ref in use.
            blind = ()
        for action in script:
            world.sandbox.script.add(Route.CREATE, action, matching=ref or "")
        for action in blind:
            world.sandbox.script.add(Route.LIST_RUNS, action, matching=ref or "")
        world.call(number, order)

    @rule(number=st.integers(0, 1), order=orders)
    def call(self, number: int, order: Order) -> None:
        quirks = self.world.quirks
        untold = order.model == "sandbox/odd" or quirks.summaries or not quirks.keep_metadata
        if order.ref is not None and untold:
            # Such runs do not tell their model: by the documents, a look-up takes them for any model's.
            order = attrs.evolve(order, ref=f"{order.model}/{order.ref}")
        self.place(order, number)

    @rule(
        number=st.integers(0, 1),
        mode=st.sampled_from(["stream", "json", "no_wait", "task"]),
        own=st.sampled_from([True, True, False]),
        data=st.data(),
    )
    def call_into_trouble(self, number: int, mode: str, data: st.DataObject, *, own: bool) -> None:
        """A call under a new client_ref whose dispatch meets up to three faults, and its look-ups some more."""
        self.fresh += 1
        create = random_failures.for_create_without_idempotency if self.forgetful else random_failures.for_create
        script = data.draw(st.lists(create, min_size=1, max_size=3), "faults of the dispatch")
        look_ups = random_failures.for_reading if self.forgetful else random_failures.for_look_ups
        blind = data.draw(st.lists(look_ups, max_size=3), "faults of the look-ups")
        refs = [f"trouble-{self.fresh}", f"Trouble-{self.fresh}/" + "x" * 70]
        ref = data.draw(st.sampled_from(refs), "client_ref") if own else None
        model = data.draw(st.sampled_from(MODELS[1:3]), "model")
        self.place(Order(KEYS[0], model, ref, mode, INPUTS[0]), number, script, blind)

    @precondition(lambda self: self.own_orders())
    @rule(number=st.integers(0, 1), data=st.data(), mode=st.sampled_from(["stream", "json", "no_wait", "task"]))
    def come_again(self, number: int, data: st.DataObject, mode: str) -> None:
        """The same client_ref once more, from the same caller or another."""
        order = data.draw(st.sampled_from(self.own_orders()), "order")
        key = data.draw(st.sampled_from([order.key, order.key, order.key, *KEYS]), "key")
        self.place(Order(key, order.model, order.ref, mode, order.input), number)

    def own_orders(self) -> list[Order]:
        return [call.order for call in self.world.calls if call.order.ref is not None and call.task_id is None]

    @precondition(lambda self: len(self.world.sandbox.runs) > 0)
    @rule(number=st.integers(0, 1), key=st.sampled_from(KEYS), data=st.data())
    def ask_for_a_task(self, number: int, key: str, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from([run.id for run in self.world.sandbox.runs]), "task")
        PLAYED["calls"] += 1
        self.world.tasks_get(number, Order(key, "", None, "task", {}), run)

    @precondition(lambda self: self.pending())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        pending = self.pending()
        PLAYED["disconnects"] += 1
        self.world.leave(pending[data.draw(st.integers(0, len(pending) - 1), "who")])

    def pending(self) -> list[Any]:
        return [call for call in self.world.calls if call.ended is None]

    # Trouble

    @rule(data=st.data(), times=st.integers(1, 6))
    def fault_of_the_polls(self, data: st.DataObject, times: int) -> None:
        action = data.draw(random_failures.for_polls, "action")
        self.world.sandbox.script.add(Route.GET_RUN, action, times)

    @precondition(lambda self: not self.forgetful)
    @rule(data=st.data(), dispatches=st.booleans(), times=st.integers(1, 4))
    def fault_for_whoever_comes(self, data: st.DataObject, times: int, *, dispatches: bool) -> None:
        action = data.draw(random_failures.for_create if dispatches else random_failures.for_look_ups, "action")
        self.world.sandbox.script.add(Route.CREATE if dispatches else Route.LIST_RUNS, action, times)

    @precondition(lambda self: self.pending())
    @rule(number=st.integers(0, 1), what=st.sampled_from(["drain", "drain", "kill", "outage", "long outage", "peace"]))
    def operations(self, number: int, what: str) -> None:
        PLAYED[f"{what}s"] += 1
        match what:
            case "drain":
                self.world.drain(number)
            case "kill":
                self.world.kill(number)
            case "outage":
                self.world.upstream_down(0.2 if number else 3.0)
            case "long outage":
                self.world.upstream_down(20.0)
            case _:
                self.world.sandbox.script.clear()

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 2.0, 5.0, 11.0, 30.0, 65.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    # What must hold

    @invariant()
    def all_is_well(self) -> None:
        PLAYED["steps"] += 1
        self.broken = True
        self.world.check()
        self.no_fault_was_logged()
        self.broken = False

    def no_fault_was_logged(self) -> None:
        faults = [line for line in self.logs.entries if line["log_level"] in ("error", "critical")]
        assert not faults, faults

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if self.broken:  # and that is what is to be told
                self.world.close()
            else:
                self.world.end()
                self.no_fault_was_logged()
        finally:
            structlog.configure(processors=self.processors)


def _honest(action: Action) -> Action:
    refusal = isinstance(action, Respond) and action.status // 100 in (3, 4) and action.status not in MAY_HIDE
    return attrs.evolve(action, created=False) if refusal else action
