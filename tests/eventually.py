"""Waiting for something that another process or a thread brings about; the clock here is the machine's."""

import asyncio
import time
from collections.abc import Callable

#: Seconds after which something that should happen is taken for something that does not. On a machine with twenty
#: busy processes a server needs more than twenty to start.
PATIENCE = 90.0
INTERVAL = 0.01


def eventually(condition: Callable[[], bool], what: str = "the condition") -> None:
    """Block until ``condition`` holds. Raises ``AssertionError`` with ``what`` when it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(INTERVAL)


async def eventually_async(condition: Callable[[], bool], what: str = "the condition") -> None:
    """``eventually`` for a test whose event loop must go on meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        await asyncio.sleep(INTERVAL)
