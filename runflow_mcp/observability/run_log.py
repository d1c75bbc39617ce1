"""The events of runs, each as one log line and in the metrics: started or found, ended, and the end of a wait.

Does no I/O but the log lines.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

import attrs
import structlog

from runflow_mcp.observability.metrics import Metrics, RunEvent
from runflow_mcp.observability.record import CLIENT_GONE, CallRecord, current_identity

log = structlog.get_logger(__name__)

#: Runs that are remembered as running, more than there can be waits; beyond that the oldest are forgotten.
MAX_RUNNING = 50_000
_ENDS: Mapping[str, RunEvent] = {"succeeded": "succeeded", "failed": "failed", "cancelled": "cancelled"}
#: Outcomes of a wait after which a run may exist although its id is unknown.
_INTERRUPTIONS = frozenset({CLIENT_GONE, "polling_timeout", "server_draining"})


class SeenRun(Protocol):
    """A run as it was read. ``cost``: US dollars, as upstream writes them."""

    @property
    def id(self) -> str: ...
    @property
    def model(self) -> str | None: ...
    @property
    def status(self) -> str: ...
    @property
    def cost(self) -> str | None: ...
    @property
    def duration_ms(self) -> int | float | None: ...


@attrs.define
class RunLog:
    """The end of a run is reported once, and only if this process has seen the run before its end."""

    metrics: Metrics = attrs.field(factory=Metrics, repr=False)
    #: run id → model.
    _running: OrderedDict[str, str | None] = attrs.field(factory=OrderedDict, repr=False)

    def started(self, run_id: str, model: str) -> None:
        """This process made the run."""
        log.info("run_started", **_line(run_id, model))
        self.metrics.run("started", model)
        self._remember(run_id, model)

    def found(self, run_id: str, model: str | None, status: str) -> None:
        """The run already existed: from an earlier call, or from an equal call at the same time."""
        log.info("run_found", **_line(run_id, model), status=status)
        self.metrics.run("found", model)

    def seen(self, run: SeenRun) -> None:
        """The run was read."""
        if run.status not in _ENDS:
            if run.id not in self._running:
                self._remember(run.id, run.model)
        elif run.id in self._running:
            model = self._running.pop(run.id)
            usd = _usd(run.cost)
            line = _line(run.id, model)
            log.info("run_ended", **line, status=run.status, cost=usd, duration_ms=run.duration_ms)
            self.metrics.run(_ENDS[run.status], model, cost=usd or 0.0)

    def wait_ended(self, record: CallRecord, outcome: str, seconds: float, *, run_ended: bool) -> None:
        """A call has stopped waiting. ``outcome``: the run's status, or why the wait ended before the run."""
        if record.run_id is None and outcome not in _INTERRUPTIONS:
            return  # the dispatch failed, so there was no run to wait for
        ms = round(seconds * 1000, 1)
        log.info("wait_ended", **record.identity(), outcome=outcome, ms=ms, polls=record.polls)
        if not run_ended:
            self.metrics.run("left", record.model)

    def _remember(self, run_id: str, model: str | None) -> None:
        self._running[run_id] = model
        if len(self._running) > MAX_RUNNING:
            self._running.popitem(last=False)


def _line(run_id: str, model: str | None) -> dict[str, str | None]:
    identity = current_identity()
    return {**identity, "run_id": run_id, "model": identity.get("model", model)}


def _usd(cost: str | None) -> float | None:
    try:
        value = float(cost or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
