"""Where log lines go: a bounded queue, and one thread that writes it to a file descriptor.

Whoever logs never waits for the descriptor and never sees it fail. A full disk, a pipe whose reader has gone or
stands still, and a closed descriptor cost log lines and nothing else. Knows nothing of how a line is made.
"""

import os
import select
import threading
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate

from runflow_mcp.clock import Clock, SystemClock
from runflow_mcp.json_types import JSON

#: What is kept while nothing can be written; beyond either bound, new lines are dropped and counted. At
#: 300 bytes a line that is near 14,000 lines: some seconds of a busy server.
MAX_LINES = 20_000
MAX_BYTES = 4 * 1024 * 1024
#: Seconds in which lines gather after a write, so that the thread wakes once for many of them and not once for each.
GATHER = 0.02
#: Seconds between two attempts while writing fails. A line that fails twice is dropped, so that the count in the
#: probe tells what is lost, and what is written later is not old.
RETRY = 0.5
#: Seconds that one write may take before the sink counts as failing: the reader of a pipe stands still.
STALLED = 1.0
#: Bytes of one write. A pipe takes a large one in parts, and only the whole call returns.
CHUNK = 64 * 1024


def no_notice(_dropped: int) -> bytes:
    return b""


class Sink:
    """Writes lines to a copy of ``descriptor`` in the order in which they came; None: there is nowhere to write.

    ``notice`` renders the line that reports how many lines were dropped, once writing works again.
    """

    def __init__(
        self, descriptor: int | None, *, notice: Callable[[int], bytes] = no_notice, clock: Clock | None = None
    ) -> None:
        # A copy: were the number closed and given to a socket, log lines would go to a client.
        self._descriptor = None if descriptor is None else os.dup(descriptor)
        self._notice = notice
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()  # guards everything below
        self._lines: list[bytes] = []
        self._count = self._size = 0  # lines and bytes that are not written yet
        self._asleep = False
        self._closing = threading.Event()
        self._dropped = self._unreported = 0
        self._failed = False
        self._torn = False  # the last thing written is a part of a line
        self._writing_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue one line, its end included. Never blocks and never raises; safe from any thread."""
        with self._changed:
            if self._descriptor is None or self._count >= MAX_LINES or self._size + len(line) > MAX_BYTES:
                self._dropped += 1
                self._unreported += 1
                return
            self._lines.append(line)
            self._count += 1
            self._size += len(line)
            if self._asleep:
                self._asleep = False
                self._changed.notify_all()

    def state(self) -> dict[str, JSON]:
        """For the readiness probe."""
        with self._changed:
            since = self._writing_since
            stalled = since is not None and self._clock.monotonic() - since > STALLED
            failing = self._failed or stalled or self._unreported > 0
            return {"state": "failing" if failing else "ok", "dropped": self._dropped, "queued": self._count}

    def flush(self, seconds: float) -> bool:
        """Wait until everything queued is written, for so long at most; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._count, seconds)

    def close(self, seconds: float) -> None:
        """Write what is queued, for so long at most, and end the thread; one that is blocked ends with the process."""
        self.flush(seconds)
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(seconds if not self._count else 0)

    def _run(self) -> None:
        while batch := self._next():
            lost = len(batch) - self._deliver(batch)
            with self._changed:
                self._count -= len(batch)
                self._size -= sum(map(len, batch))
                self._dropped += lost
                self._unreported += lost
                if self._unreported and not lost:
                    notice = self._notice(self._unreported)
                    self._unreported = 0
                    self._lines.append(notice)
                    self._count += 1
                    self._size += len(notice)
                self._changed.notify_all()
            self._report_when_it_works()
            # Not before the write: the first line after a pause is written at once.
            self._closing.wait(GATHER)
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _report_when_it_works(self) -> None:
        """While nothing else is to be written, find out with the report itself when writing works again."""
        while self._failed and self._unreported and not self._lines and not self._closing.is_set():
            count = self._unreported
            if self._deliver([self._notice(count)]):
                with self._changed:
                    self._unreported -= count

    def _deliver(self, batch: list[bytes]) -> int:
        """How many of the lines were written, in full; after two failures in a row the rest is given up."""
        # After half a line the next one begins on a new one.
        data = memoryview(b"".join((b"\n" if self._torn else b"", *batch)))
        ends = list(accumulate(map(len, batch), initial=int(self._torn)))[1:]
        written, failures = 0, int(self._failed)
        while written < len(data) and failures <= 1:
            done = self._write(data[written : written + CHUNK])
            written += done
            failures = 0 if done else failures + 1
            if self._closing.is_set() and not done:
                break
        delivered = bisect_right(ends, written)
        if written:
            self._torn = written < len(data) and written != (ends[delivered - 1] if delivered else 0)
        return delivered

    def _next(self) -> list[bytes]:
        """Every line that waits; none when the sink closes."""
        with self._changed:
            while not self._lines and not self._closing.is_set():
                self._asleep = True
                self._changed.wait()
            batch, self._lines = self._lines, []
            return batch

    def _write(self, data: memoryview) -> int:
        """The number of bytes written, after a pause where it is 0."""
        if self._descriptor is None:
            return len(data)
        with self._changed:
            self._writing_since = self._writing_since or self._clock.monotonic()
        try:
            written = os.write(self._descriptor, data)
        except BlockingIOError:  # another process made the pipe non-blocking, and it is full
            select.select([], [self._descriptor], [], RETRY)
            return 0
        except OSError:
            written = 0
        with self._changed:
            self._writing_since = None
            self._failed = not written
        if not written:
            self._closing.wait(RETRY)
        return written
