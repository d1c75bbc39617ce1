"""Reads of one run, shared by every call of this process that waits for it with the same key.

A run that several calls wait for is read about once a second, however many calls there are. A run that a single call
waits for, as nearly always, is read directly.
"""

import asyncio
from collections.abc import Mapping
from typing import Self

import attrs

from runflow_mcp.clock import Clock
from runflow_mcp.credentials import Bearer
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.errors import UpstreamError
from runflow_mcp.runflow.api.read_slots import ReadSlots
from runflow_mcp.runflow.api.responses import Reading
from runflow_mcp.runflow.reading.trimming import trimmed

#: Seconds for which a read is shared with the other waiting calls; less than the shortest delay between two polls.
MAX_AGE = 1.0
#: Bytes of JSON kept of a run that has not ended, exceeded by at most one text; an error shows no more.
MAX_SHOWN = 4096


#: The runs that calls wait for: by the digest of the key and the run's id.
Shared = dict[tuple[str, str], "SharedRead"]


@attrs.define(eq=False)
class SharedRead:
    """The reads of one run with one key."""

    client: RunflowClient
    clock: Clock
    bearer: Bearer
    run_id: str
    slots: ReadSlots
    _shared: "Shared" = attrs.field(repr=False)
    waiting: int = 0
    _flight: asyncio.Task[Reading | UpstreamError | None] | None = None
    _started: float = 0.0
    #: What the last shared read brought.
    _last: Reading | None = None
    _failed: bool = False

    async def read(self, trace: Mapping[str, str], seen: int | None, *, whole: bool) -> Reading | None:
        """The run as it was within the last second, perhaps without its input. Raises ``UpstreamError``.

        ``seen``: the digest of the answer that the caller has seen last; None is returned while it is repeated.
        ``whole``: with its input, as a read for this caller alone.
        """
        if whole or self.waiting == 1:
            return await self._get(trace, seen)
        now = self.clock.monotonic()
        if self._flight is None or (self._flight.done() and now - self._started >= MAX_AGE):
            self._started = now
            self._flight = asyncio.create_task(self._read(trace), name="shared read")
        # A call that leaves must not cancel the read of the others.
        result = await asyncio.shield(self._flight)
        if isinstance(result, UpstreamError):
            # Each caller raises its own copy: a raised exception collects the frames that it passes.
            raise result.without_frames()
        return None if result is None or result.digest == seen else result

    async def _read(self, trace: Mapping[str, str]) -> Reading | UpstreamError | None:
        last = self._last
        try:
            reading = await self._get(trace, None if last is None else last.digest)
        except UpstreamError as error:
            return error.without_frames()  # one of the frames holds this read
        if reading is not None:
            self._last = _without_bulk(reading)
        return self._last

    async def _get(self, trace: Mapping[str, str], seen: int | None) -> Reading | None:
        if self._failed:
            self.client.metrics.upstream_retry("get_run")
        try:
            async with self.slots:
                reading = await self.client.poll_run(self.bearer, self.run_id, trace, seen=seen)
        except UpstreamError:
            self._failed = True
            raise
        self._failed = False
        return reading

    def __enter__(self) -> Self:
        """Count a call that waits for the run."""
        self._shared[self.bearer.digest, self.run_id] = self
        self.waiting += 1
        return self

    def __exit__(self, *_error: object) -> None:
        """The call does not wait any more. After the last one, a read under way is cancelled."""
        self.waiting -= 1
        if not self.waiting:
            del self._shared[self.bearer.digest, self.run_id]
            if self._flight is not None:
                self._flight.cancel()


def _without_bulk(reading: Reading) -> Reading:
    """What is kept of a reading for the other calls: a run may repeat its input, as large as a request."""
    run = reading.run
    if run.terminal:
        return reading
    raw = trimmed(run.raw, MAX_SHOWN)
    return Reading(attrs.evolve(run, input=None, output=None, outputs=(), metadata={}, raw=raw), reading.digest)


@attrs.frozen
class SharedReads:
    """The runs that calls of this process wait for."""

    client: RunflowClient
    clock: Clock = attrs.field(repr=False)
    _shared: Shared = attrs.field(factory=dict, repr=False)
    _slots: ReadSlots = attrs.field(factory=ReadSlots, repr=False)

    def __len__(self) -> int:
        """How many runs are waited for."""
        return len(self._shared)

    def of(self, bearer: Bearer, run_id: str) -> SharedRead:
        """The reads of a run, to be entered for as long as a call waits for it."""
        shared = self._shared.get((bearer.digest, run_id))
        return shared or SharedRead(self.client, self.clock, bearer, run_id, self._slots, self._shared)
