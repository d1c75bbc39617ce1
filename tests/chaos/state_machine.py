"""The state machine of the chaos tests: its rules, and when each may be played."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import structlog
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.chaos import random_failures
from tests.chaos.chaos_world import BUDGET, INPUTS, ROUNDING, CallArguments, World
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
#: A file of the clients' machines, and the model that takes it.
FILE = b"a file of some bytes"
PATH, FILE_MODEL = f"./shoe.png#bytes={len(FILE)}", "runflow/background-removal"
#: Statuses below 500 that may come with a run.
MAY_HIDE = (303, 408, 409, 429)
#: Counts of everything played in this process, for the report of a long run.
PLAYED: Counter[str] = Counter()

call_arguments = st.builds(
    CallArguments,
    st.sampled_from(KEYS),
    st.sampled_from(MODELS),
    st.sampled_from([None, None, *REFS]),
    st.sampled_from(["stream", "stream", "json", "no_wait", "task"]),
    st.sampled_from(INPUTS),
)


#: The documented upstream, and others that store, list and timestamp runs differently.
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
    """Everything that can happen to two replicas between clients and Runflow."""

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
    def without_idempotency(self) -> bool:
        """Whether upstream has no idempotency."""
        return self.world.rule is Idempotency.NONE

    # Clients

    def place(
        self, arguments: CallArguments, number: int, script: Sequence[Action] = (), blind: Sequence[Action] = ()
    ) -> None:
        """Send a call whose dispatch meets ``script`` and whose look-ups meet ``blind``."""
        world = self.world
        PLAYED["calls"] += 1
        ref = arguments.ref
        if self.without_idempotency and world.quirks.list_lag:
            # A refusal of a run that was created shows only in the list, and the list lags.
            script = [_honest(action) for action in script]
        if self.without_idempotency and ref is not None:
            dispatched = world.dispatched.get((arguments.key, arguments.model, ref))
            # By the documents, a first look-up that fails does not stop a dispatch, and only calls of one process
            # share one: without idempotency a client_ref that is in use needs a look-up that works and one replica.
            world.sandbox.script.clear(matching=ref)
            if dispatched is not None:
                at, replica = dispatched
                blind = ()
                # What a process that has gone dispatched a moment ago is in no memory, and not yet in a list that lags.
                running = replica.state in ("up", "draining") or world.quirks.list_lag > 0
                elsewhere = replica is not world.replicas[number] and running
                if world.upstream is None or (elsewhere and world.now < at + BUDGET + ROUNDING):
                    return
        elif self.without_idempotency:
            # Without a client_ref, the failures could hit the look-up of another call's client_ref.
            blind = ()
        for action in script:
            world.sandbox.script.add(Route.CREATE, action, matching=ref or "")
        for action in blind:
            world.sandbox.script.add(Route.LIST_RUNS, action, matching=ref or "")
        world.call(number, arguments)

    @rule(number=st.integers(0, 1), arguments=call_arguments)
    def call(self, number: int, arguments: CallArguments) -> None:
        quirks = self.world.quirks
        model_unknown = arguments.model == "sandbox/odd" or quirks.summaries or not quirks.keep_metadata
        if arguments.ref is not None and model_unknown:
            # Such runs do not show their model: as documented, a look-up accepts them for any model.
            arguments = attrs.evolve(arguments, ref=f"{arguments.model}/{arguments.ref}")
        self.place(arguments, number)

    @rule(
        number=st.integers(0, 1),
        mode=st.sampled_from(["stream", "json", "no_wait", "task"]),
        own=st.sampled_from([True, True, False]),
        data=st.data(),
    )
    def call_with_failures(self, number: int, mode: str, data: st.DataObject, *, own: bool) -> None:
        """A call under a new client_ref whose dispatch fails up to three times, and whose look-ups may fail."""
        self.fresh += 1
        create = (
            random_failures.for_create_without_idempotency if self.without_idempotency else random_failures.for_create
        )
        script = data.draw(st.lists(create, min_size=1, max_size=3), "failures of the dispatch")
        look_ups = random_failures.for_reading if self.without_idempotency else random_failures.for_look_ups
        blind = data.draw(st.lists(look_ups, max_size=3), "failures of the look-ups")
        refs = [f"failing-{self.fresh}", f"Failing-{self.fresh}/" + "x" * 70]
        ref = data.draw(st.sampled_from(refs), "client_ref") if own else None
        model = data.draw(st.sampled_from(MODELS[1:3]), "model")
        self.place(CallArguments(KEYS[0], model, ref, mode, INPUTS[0]), number, script, blind)

    @precondition(lambda self: self.own_calls())
    @rule(number=st.integers(0, 1), data=st.data(), mode=st.sampled_from(["stream", "json", "no_wait", "task"]))
    def come_again(self, number: int, data: st.DataObject, mode: str) -> None:
        """The same client_ref once more, from the same caller or another."""
        arguments = data.draw(st.sampled_from(self.own_calls()), "call")
        key = data.draw(st.sampled_from([arguments.key, arguments.key, arguments.key, *KEYS]), "key")
        self.place(CallArguments(key, arguments.model, arguments.ref, mode, arguments.input), number)

    def own_calls(self) -> list[CallArguments]:
        return [call.arguments for call in self.world.calls if call.arguments.ref is not None and call.task_id is None]

    @rule(
        number=st.integers(0, 1),
        key=st.sampled_from(KEYS),
        ref=st.sampled_from([None, "file-a", "file-b"]),
        mode=st.sampled_from(["stream", "json", "no_wait", "task"]),
        measured=st.sampled_from([True, True, True, False]),
    )
    def name_a_file(self, number: int, key: str, ref: str | None, mode: str, *, measured: bool) -> None:
        """A path of the client's machine, with the file's size or without, whatever was uploaded or run before."""
        image = PATH if measured else PATH.partition("#")[0]
        self.place(CallArguments(key, FILE_MODEL, ref, mode, {"image_url": image}), number)

    @precondition(lambda self: self.world.offered_uploads())
    @rule(data=st.data(), fate=st.sampled_from(["sent", "sent", "sent", "twice", "lost", "wrong"]))
    def send_the_file(self, data: st.DataObject, fate: str) -> None:
        """A client carries a command out, not at all, or wrongly."""
        PLAYED["uploads"] += 1
        offered = data.draw(st.sampled_from(self.world.offered_uploads()), "upload")
        for _ in range({"sent": 1, "twice": 2, "lost": 0, "wrong": 1}[fate]):
            self.world.send_file(offered, FILE + (b"x" if fate == "wrong" else b""))

    @precondition(lambda self: self.world.offered_uploads())
    @rule(
        number=st.integers(0, 1),
        data=st.data(),
        mode=st.sampled_from(["stream", "json", "no_wait", "task"]),
        own=st.sampled_from([True, True, True, False]),
    )
    def use_an_upload(self, number: int, data: st.DataObject, mode: str, *, own: bool) -> None:
        """A reference to an upload, whether it has arrived or not, under the client_ref of its call."""
        offered = data.draw(st.sampled_from(self.world.offered_uploads()), "upload")
        key = offered.key if own else data.draw(st.sampled_from(KEYS), "key")
        value = {"image_url": offered.reference}
        self.place(CallArguments(key, FILE_MODEL, offered.ref, mode, value), number)

    @precondition(lambda self: len(self.world.sandbox.runs) > 0)
    @rule(number=st.integers(0, 1), key=st.sampled_from(KEYS), data=st.data())
    def ask_for_a_task(self, number: int, key: str, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from([run.id for run in self.world.sandbox.runs]), "task")
        PLAYED["calls"] += 1
        self.world.tasks_get(number, CallArguments(key, "", None, "task", {}), run)

    @precondition(lambda self: self.pending())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        pending = self.pending()
        PLAYED["disconnects"] += 1
        self.world.leave(pending[data.draw(st.integers(0, len(pending) - 1), "who")])

    def pending(self) -> list[Any]:
        return [call for call in self.world.calls if call.ended is None]

    # Failures

    @rule(data=st.data(), times=st.integers(1, 6))
    def fail_polls(self, data: st.DataObject, times: int) -> None:
        action = data.draw(random_failures.for_polls, "action")
        self.world.sandbox.script.add(Route.GET_RUN, action, times)

    @rule(data=st.data(), confirmations=st.booleans(), times=st.integers(1, 4))
    def fail_uploads(self, data: st.DataObject, times: int, *, confirmations: bool) -> None:
        action = data.draw(random_failures.for_uploads, "action")
        self.world.sandbox.script.add(Route.CONFIRM_UPLOAD if confirmations else Route.CREATE_UPLOAD, action, times)

    @precondition(lambda self: not self.without_idempotency)
    @rule(data=st.data(), dispatches=st.booleans(), times=st.integers(1, 4))
    def fail_any_call(self, data: st.DataObject, times: int, *, dispatches: bool) -> None:
        action = data.draw(random_failures.for_create if dispatches else random_failures.for_look_ups, "action")
        self.world.sandbox.script.add(Route.CREATE if dispatches else Route.LIST_RUNS, action, times)

    @precondition(lambda self: self.pending())
    @rule(number=st.integers(0, 1), what=st.sampled_from(["drain", "drain", "kill", "outage", "long outage", "calm"]))
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

    # Invariants

    @invariant()
    def invariants_hold(self) -> None:
        PLAYED["steps"] += 1
        self.broken = True
        self.world.check()
        self.no_error_was_logged()
        self.broken = False

    def no_error_was_logged(self) -> None:
        errors = [line for line in self.logs.entries if line["log_level"] in ("error", "critical")]
        assert not errors, errors

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if self.broken:  # whose error is being reported
                self.world.close()
            else:
                self.world.end()
                self.no_error_was_logged()
        finally:
            structlog.configure(processors=self.processors)


def _honest(action: Action) -> Action:
    refusal = isinstance(action, Respond) and action.status // 100 in (3, 4) and action.status not in MAY_HIDE
    return attrs.evolve(action, created=False) if refusal else action
