"""What ``make bench`` has measured, as data; ``report`` prints it."""

import attrs

from tests.bench.rounds import Measured, Spread
from tests.bench.stream_load import WaveFigures


@attrs.frozen
class RowResult:
    """One request in one revision. ``size``: bytes of the product's answer. ``measured``: by the server's name."""

    revision: str
    row: str
    size: int
    measured: dict[str, Measured]


@attrs.frozen
class StreamResult:
    """The waves that one process has served, one after the other."""

    server: str
    waves: list[WaveFigures]


@attrs.frozen
class WorkersResult:
    """Requests/s of two worker processes ÷ those of one."""

    row: str
    ratio: Spread


@attrs.frozen
class StartResult:
    """Seconds from the start of the process to the first answer, its processor time until then, and its resident memory
    a moment later.
    """

    server: str
    ready: Spread
    cpu_ms: Spread
    idle_mib: float


@attrs.define
class Results:
    """One run of the bench. ``skipped``: what was not measured, and why."""

    date: str
    commit: str
    python: str
    machine: str
    rows: list[RowResult] = attrs.field(factory=list)
    streams: list[StreamResult] = attrs.field(factory=list)
    workers: list[WorkersResult] = attrs.field(factory=list)
    #: ``machine.two_cores_over_one`` in the rounds of ``workers``.
    two_cores: Spread | None = None
    starts: list[StartResult] = attrs.field(factory=list)
    skipped: list[str] = attrs.field(factory=list)
    seconds: float = 0.0
