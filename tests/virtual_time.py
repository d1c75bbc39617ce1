"""An event loop whose time stands still while anything can happen and jumps when nothing can.

Sockets are real; timers are not. When no callback is ready and no socket has data, the loop leaps to
its next timer, so a ten-minute wait takes milliseconds and always takes the same course.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

#: The threads of all loops of this process: starting two in each test takes longer than most tests do.
_THREADS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="virtual-time")

#: Loopback data normally arrives within the send call; this is the grace for a busy kernel.
SETTLE_SECONDS = 0.001
#: A loop with no timer and no traffic is a deadlocked test: fail rather than hang.
DEADLOCK_SECONDS = 20.0
#: The same for what a stopped clock waits for: a thread or the kernel, which have a processor to wait for.
STOPPED_SECONDS = 60.0
#: How long the loop stands still for what runs in a thread, which is mostly short.
THREAD_GRACE_SECONDS = 0.05
#: Background tasks would let a test that waits in vain leap for ever.
HORIZON_SECONDS = 7 * 86_400.0
#: Where virtual Unix time starts: 2026-11-23T12:00:00Z.
EPOCH = 1_795_435_200.0


class _SettlingSelector(selectors.BaseSelector):
    """A selector that never sleeps for a timer; it hands the time it should have slept to ``skip``."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self.skipped = 0.0
        #: How many threads and ``stopped`` blocks keep time from passing.
        self.stops = 0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.get_key(fileobj)

    def close(self) -> None:
        self._inner.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return self._inner.select(0)
        if timeout is None:
            events = self._inner.select(DEADLOCK_SECONDS)
            if not events:
                raise TimeoutError("the test waits for something that can never happen")
            return events
        if self.stops:
            # What runs in a thread or in the kernel takes real time, and its end comes as an event.
            events = self._inner.select(STOPPED_SECONDS)
            if not events:
                raise TimeoutError("a thread does not end, or what is awaited under a stopped clock does not happen")
            return events
        events = self._inner.select(SETTLE_SECONDS)
        if not events:
            self.skipped += timeout
            if self.skipped > HORIZON_SECONDS:
                raise TimeoutError("a virtual week has passed and the test still waits")
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop on virtual time, starting at zero."""

    def __init__(self) -> None:
        self._settling = _SettlingSelector()
        super().__init__(self._settling)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._settling.skipped

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        running = (executor or _THREADS).submit(func, *args)
        # What is done at once has been done before anything else happens, however the system schedules threads.
        wait([running], THREAD_GRACE_SECONDS)
        future = asyncio.wrap_future(running, loop=self)
        self._settling.stops += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: "asyncio.Future[Any]") -> None:
        self._settling.stops -= 1

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """No time passes meanwhile, however long the kernel takes."""
        self._settling.stops += 1
        try:
            yield
        finally:
            self._settling.stops -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none: the threads are shared, and go on when this loop ends."""


class VirtualClock:
    """The injected clock that goes with the loop above."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return EPOCH + self.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def stopped(self) -> AbstractContextManager[None]:
        """No time passes meanwhile: for a test that awaits what the kernel does, which takes real time."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        return loop.stopped()

    async def until(self, condition: Callable[[], bool], what: str = "the condition") -> None:
        """Return once ``condition`` holds; no time passes. Raises ``AssertionError`` with ``what`` if it never does."""
        deadline = time.monotonic() + STOPPED_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}"
            time.sleep(0.0005)  # noqa: ASYNC251 - leaves the processor to the kernel and to other processes
            await asyncio.sleep(0)  # what the kernel has brought is handled, and no timer


def real_seconds() -> float:
    """The machine's clock, for the rare test that must know how long it really took."""
    return time.perf_counter()
