"""The way a run goes: a table of stages, and where in it a run stands after so many seconds.

Pure: nothing ever runs in the background, the state of a run is computed when somebody asks.
"""

from enum import StrEnum

import attrs


class Ending(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@attrs.frozen
class Moment:
    """Where a run stands: its status, its steps, and when it started and ended (seconds after creation)."""

    status: str
    nodes_completed: int
    started: float | None = None
    ended: float | None = None

    @property
    def succeeded(self) -> bool:
        return self.status == Ending.SUCCEEDED


@attrs.frozen(kw_only=True)
class Course:
    """Seconds spent queued, dispatching and running, the steps of the running part, and how it ends."""

    nodes: int
    running: float
    queued: float = 0.5
    dispatching: float = 0.5
    running_status: str = "running"
    ending: Ending = Ending.SUCCEEDED

    @property
    def seconds(self) -> float:
        return self.queued + self.dispatching + self.running

    @property
    def reach(self) -> int:
        """How many steps are done in the end: one is missing where the run does not succeed."""
        return self.nodes if self.ending is Ending.SUCCEEDED else self.nodes - 1

    def at_speed(self, speed: float) -> "Course":
        return attrs.evolve(
            self,
            queued=self.queued / speed,
            dispatching=self.dispatching / speed,
            running=self.running / speed,
        )

    def at(self, elapsed: float) -> Moment:
        """The state of a run that was created ``elapsed`` seconds ago."""
        start = self.queued + self.dispatching
        if elapsed < self.queued:
            return Moment("queued", 0)
        if elapsed < start:
            return Moment("dispatching", 0)
        if elapsed < self.seconds:
            share = (elapsed - start) / self.running
            return Moment(self.running_status, min(int(self.nodes * share), self.reach), started=start)
        return Moment(self.ending, self.reach, started=start, ended=self.seconds)

    def node_started(self, node: int) -> float:
        """Seconds after creation at which step ``node``, counted from 0, begins."""
        return self.queued + self.dispatching + self.running * node / self.nodes
