"""The stages of a run, and the run's state at a time after its creation.

Pure. There are no background tasks: the state is computed whenever a client reads it.
"""

from enum import StrEnum

import attrs


class FinalStatus(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@attrs.frozen
class RunState:
    """``started`` and ``ended`` are seconds after the run's creation; None while not reached."""

    status: str
    nodes_completed: int
    started: float | None = None
    ended: float | None = None

    @property
    def succeeded(self) -> bool:
        return self.status == FinalStatus.SUCCEEDED


@attrs.frozen(kw_only=True)
class Timeline:
    """``queued``, ``dispatching`` and ``running`` are seconds in that status; ``nodes`` are the steps of running."""

    nodes: int
    running: float
    queued: float = 0.5
    dispatching: float = 0.5
    running_status: str = "running"
    final_status: FinalStatus = FinalStatus.SUCCEEDED

    @property
    def seconds(self) -> float:
        """From creation to the end."""
        return self.queued + self.dispatching + self.running

    @property
    def final_nodes(self) -> int:
        """Steps completed at the end: one less than all for a run that does not succeed."""
        return self.nodes if self.final_status is FinalStatus.SUCCEEDED else self.nodes - 1

    def at_speed(self, speed: float) -> "Timeline":
        """The same stages with every duration divided by ``speed``."""
        return attrs.evolve(
            self,
            queued=self.queued / speed,
            dispatching=self.dispatching / speed,
            running=self.running / speed,
        )

    def state_at(self, elapsed: float) -> RunState:
        """The state ``elapsed`` seconds after the run's creation."""
        start = self.queued + self.dispatching
        if elapsed < self.queued:
            return RunState("queued", 0)
        if elapsed < start:
            return RunState("dispatching", 0)
        if elapsed < self.seconds:
            share = (elapsed - start) / self.running
            return RunState(self.running_status, min(int(self.nodes * share), self.final_nodes), started=start)
        return RunState(self.final_status, self.final_nodes, started=start, ended=self.seconds)

    def node_started(self, node: int) -> float:
        """Seconds after creation at which step ``node``, counted from 0, starts."""
        return self.queued + self.dispatching + self.running * node / self.nodes
