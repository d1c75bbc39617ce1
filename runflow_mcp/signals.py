"""SIGTERM and SIGINT, which stop a process: none is lost while it starts, and none changes its exit code."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@attrs.define
class StopRequest:
    """A request to stop: by a drain, or at once. Either can be set without a signal."""

    drain: asyncio.Event = attrs.field(factory=asyncio.Event)
    now: asyncio.Event = attrs.field(factory=asyncio.Event)
    _signals: int = 0

    def add_signal(self) -> None:
        """The first signal asks for a drain, each further one for a stop at once."""
        self._signals += 1
        (self.drain if self._signals == 1 else self.now).set()


def on_signal(handle: Callable[[], None]) -> None:
    """Call ``handle`` in the running event loop for each signal, also for those held back until now."""
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def ignore() -> None:
    """Ignore the signals from now on: one during the exit must not change the exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def held() -> Iterator[None]:
    """Hold back signals to this thread; a process started in the block holds them until it calls ``on_signal``."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
