"""Writes log lines: a bounded queue, and one thread that writes it to a file descriptor.

Code that logs never waits for the descriptor and never sees it fail: a full disk, a pipe whose reader is gone or
stalled, and a closed descriptor only cost log lines. Lines arrive rendered.
"""

import os
import select
import threading
from collections.abc import Callable

from runflow_mcp.clock import Clock, SystemClock
from runflow_mcp.json_types import JSON
from runflow_mcp.observability.json_lines import JSONLines

#: Lines and bytes that are queued while nothing can be written; beyond either, new lines are dropped and counted.
#: At 300 bytes a line that is about 14,000 lines: some seconds of a busy server.
MAX_LINES = 20_000
MAX_BYTES = 4 * 1024 * 1024
#: Seconds of pause after a write, so that the thread wakes up once for many lines.
GATHER_TIME = 0.02
#: Seconds between two attempts while writing fails. Lines that failed twice are dropped and counted: when writing
#: works again, it does not begin with old lines.
RETRY_INTERVAL = 0.5
#: Seconds that one write may take before the sink counts as failing, because the reader of a pipe has stalled.
STALL_TIME = 1.0
#: Bytes of one write. A pipe accepts a larger one in parts, and the call returns only after the last part.
CHUNK_SIZE = 64 * 1024
#: The same where other processes write to the same pipe: up to this size, writes do not mix.
SHARED_CHUNK_SIZE = select.PIPE_BUF
_LINE_FEED = b"\n"


def no_notice(_dropped: int) -> bytes:
    return b""


class Sink:
    """Writes lines, in order, to a copy of ``descriptor``; with None they are dropped.

    ``notice`` renders the line that reports, once writing works again, how many lines were dropped.
    ``lines``: renders JSON lines without structlog, for code that writes many; None where lines are not JSON.
    ``shared``: other processes write there too; lines up to ``SHARED_CHUNK_SIZE`` do not mix.
    """

    def __init__(
        self,
        descriptor: int | None,
        *,
        notice: Callable[[int], bytes] = no_notice,
        lines: JSONLines | None = None,
        shared: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.lines = lines
        # A copy: if the number were closed and reused for a socket, log lines would go to a client.
        self._descriptor = None if descriptor is None else os.dup(descriptor)
        self._notice = notice
        self._shared = shared
        self._clock = clock or SystemClock()
        # Guards everything below. Reentrant: a finalizer that runs inside may log. Entering the lock takes 0.1 µs, and
        # the condition 0.5 µs.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._queue: list[bytes] = []  # each one line or more
        self._count = self._size = 0  # lines and bytes that are not written yet
        self._asleep = False
        self._closing = threading.Event()
        self._dropped = self._unreported = 0
        self._failed = False
        self._torn = False  # the last write ended inside a line
        self._writing_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def write(self, lines: bytes) -> None:
        """Queue lines with their line feeds. Never blocks, never raises, and may be called from any thread."""
        count = lines.count(_LINE_FEED)
        with self._lock:
            full = self._count + count > MAX_LINES or self._size + len(lines) > MAX_BYTES
            if full or self._descriptor is None:
                self._dropped += count
                self._unreported += count
                return
            self._queue.append(lines)
            self._count += count
            self._size += len(lines)
            if self._asleep:
                self._asleep = False
                self._changed.notify_all()

    def state(self) -> dict[str, JSON]:
        """The state for the readiness probe."""
        with self._changed:
            since = self._writing_since
            stalled = since is not None and self._clock.monotonic() - since > STALL_TIME
            failing = self._failed or stalled or self._unreported > 0
            return {"state": "failing" if failing else "ok", "dropped": self._dropped, "queued": self._count}

    def flush(self, seconds: float) -> bool:
        """Wait until all queued lines are written, at most so many seconds; returns whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._count, seconds)

    def close(self, seconds: float) -> None:
        """Write what is queued, within so many seconds, and end the thread; a blocked thread ends with the process."""
        self.flush(seconds)
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(seconds if not self._count else 0)

    def _run(self) -> None:
        while lines := self._next_lines():
            count = lines.count(_LINE_FEED)
            lost = count - self._deliver(lines)
            with self._changed:
                self._count -= count
                self._size -= len(lines)
                self._dropped += lost
                self._unreported += lost
                if self._unreported and not lost:
                    notice = self._notice(self._unreported)
                    self._unreported = 0
                    self._queue.append(notice)
                    self._count += notice.count(_LINE_FEED)
                    self._size += len(notice)
                self._changed.notify_all()
            self._report_once_writable()
            # After the write, not before it: the first line after a pause is written at once.
            self._closing.wait(GATHER_TIME)
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _report_once_writable(self) -> None:
        """While no line is queued, try to write the report itself, until that works."""
        while self._failed and self._unreported and not self._queue and not self._closing.is_set():
            count = self._unreported
            if self._deliver(self._notice(count)):
                with self._changed:
                    self._unreported -= count

    def _deliver(self, lines: bytes) -> int:
        """Write lines; returns how many were written completely. After two failures in a row it gives up."""
        begun = int(self._torn)
        data = _LINE_FEED * begun + lines  # after an incomplete line, begin a new one
        view = memoryview(data)
        written, failures = 0, int(self._failed)
        while written < len(data) and failures <= 1:
            done = self._write(view[written : self._end_of_write(data, written)])
            written += done
            failures = 0 if done else failures + 1
            if self._closing.is_set() and not done:
                break
        if not written:
            return 0
        self._torn = not data.endswith(_LINE_FEED, 0, written)
        return data.count(_LINE_FEED, begun, written)

    def _end_of_write(self, data: bytes, start: int) -> int:
        """Where a write that begins at ``start`` ends: with a line, where other processes write too."""
        if not self._shared:
            return start + CHUNK_SIZE
        limit = start + SHARED_CHUNK_SIZE
        return data.rfind(_LINE_FEED, start, limit) + 1 or limit

    def _next_lines(self) -> bytes:
        """Wait for lines and return all that are queued; none when the sink closes."""
        with self._changed:
            while not self._queue and not self._closing.is_set():
                self._asleep = True
                self._changed.wait()
            queue, self._queue = self._queue, []
        return b"".join(queue)

    def _write(self, data: memoryview) -> int:
        """Write once; returns the number of bytes written, after a pause where it is 0."""
        if self._descriptor is None:
            return len(data)
        with self._changed:
            self._writing_since = self._writing_since or self._clock.monotonic()
        try:
            written = os.write(self._descriptor, data)
        except BlockingIOError:  # another process made the pipe non-blocking, and it is full
            select.select([], [self._descriptor], [], RETRY_INTERVAL)
            return 0
        except OSError:
            written = 0
        with self._changed:
            self._writing_since = None
            self._failed = not written
        if not written:
            self._closing.wait(RETRY_INTERVAL)
        return written
