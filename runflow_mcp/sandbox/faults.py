"""What can go wrong between a client and Runflow, as values, and the script that says when it does.

Pure: ``edge`` carries the faults out; this module knows neither aiohttp nor the clock.
"""

from collections import deque
from collections.abc import Mapping
from enum import StrEnum

import attrs


class Route(StrEnum):
    """The routes that can be made to fail; the values are also the names of the aiohttp routes."""

    CREATE = "create"
    GET_RUN = "get_run"
    LIST_RUNS = "list_runs"
    CATALOG = "catalog"
    SKILL = "skill"


@attrs.frozen
class Answer:
    """These bytes instead of the ordinary answer; ``created``: the run exists all the same."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    created: bool = False


@attrs.frozen
class Reset:
    """The connection is reset without an answer."""

    created: bool = False


@attrs.frozen
class Hang:
    """Silence for so many seconds, then a reset."""

    seconds: float
    created: bool = False


@attrs.frozen
class Truncate:
    """An answer that promises more bytes than it sends."""

    created: bool = False


@attrs.frozen
class Delay:
    """The ordinary answer, so many seconds late; what the request asks for happens late, too."""

    seconds: float


Fault = Answer | Reset | Hang | Truncate | Delay


@attrs.define
class _Scripted:
    fault: Fault
    left: int | None


class Faults:
    """The script: per route, faults that the next requests meet one after the other."""

    def __init__(self) -> None:
        self._scripts: dict[Route, deque[_Scripted]] = {route: deque() for route in Route}

    def add(self, route: str, fault: Fault, times: int | None = 1) -> None:
        """Let ``fault`` meet the next ``times`` requests of ``route``, or, with None, all until ``clear``."""
        if times is not None and times < 1:
            raise ValueError("times is a positive number, or None for good")
        self._scripts[Route(route)].append(_Scripted(fault, times))

    def clear(self) -> None:
        """Forget what has not happened yet."""
        for script in self._scripts.values():
            script.clear()

    def take(self, route: str) -> Fault | None:
        """The fault that a request of this route meets now."""
        script = self._scripts[Route(route)]
        if not script:
            return None
        entry = script[0]
        if entry.left is not None:
            entry.left -= 1
            if not entry.left:
                script.popleft()
        return entry.fault
