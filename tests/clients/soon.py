"""Waiting for something that another process brings about."""

import asyncio
from collections.abc import Callable


async def soon(condition: Callable[[], bool]) -> None:
    """Return once ``condition`` holds; it must within some seconds."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("what should have come about has not")
