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
    """These bytes instead of the ordinary answer, ``after`` so many seconds.

    ``created``: what the request asks for happens all the same, and at once.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    created: bool = False
    after: float = 0.0


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
    """The ordinary answer, so many seconds late.

    What the request asks for happens late, too; or, with ``created``, at once, and only the answer is late.
    """

    seconds: float
    created: bool = False


Fault = Answer | Reset | Hang | Truncate | Delay


@attrs.define(eq=False)
class _Scripted:
    fault: Fault
    left: int | None
    about: str


class Faults:
    """The script: per route, faults that the next requests meet one after the other."""

    def __init__(self) -> None:
        self._scripts: dict[Route, deque[_Scripted]] = {route: deque() for route in Route}

    def add(self, route: str, fault: Fault, times: int | None = 1, *, about: str = "") -> None:
        """Let ``fault`` meet the next ``times`` requests of ``route``, or, with None, all until ``clear``.

        ``about``: only those whose path, query or body contains this text.
        """
        if times is not None and times < 1:
            raise ValueError("times is a positive number, or None for good")
        self._scripts[Route(route)].append(_Scripted(fault, times, about))

    def clear(self, *, about: str | None = None) -> None:
        """Forget what has not happened yet; ``about``: only what was scripted for exactly this text."""
        for script in self._scripts.values():
            kept = [] if about is None else [entry for entry in script if entry.about != about]
            script.clear()
            script.extend(kept)

    def scripted(self, route: str) -> bool:
        """Whether some request of this route meets a fault."""
        return bool(self._scripts[Route(route)])

    def take(self, route: str, said: str = "") -> Fault | None:
        """The fault that a request of this route which says this meets now."""
        script = self._scripts[Route(route)]
        for entry in script:
            if entry.about in said:
                if entry.left is not None:
                    entry.left -= 1
                    if not entry.left:
                        script.remove(entry)
                return entry.fault
        return None
