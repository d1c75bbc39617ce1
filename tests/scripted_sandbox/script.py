"""Failures of an upstream as values, and the script that decides which request meets which.

Pure; ``playing`` carries the actions out.
"""

from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import attrs


class Route(StrEnum):
    """The routes that can be scripted; the values are the names of the sandbox's aiohttp routes."""

    CREATE = "create"
    GET_RUN = "get_run"
    LIST_RUNS = "list_runs"
    CATALOG = "catalog"
    SKILL = "skill"
    CREATE_UPLOAD = "create_upload"
    PUT_UPLOAD = "put_upload"
    CONFIRM_UPLOAD = "confirm_upload"
    BALANCE = "balance"


@attrs.frozen
class Respond:
    """Send this response instead of the ordinary one, ``after`` so many seconds.

    ``created``, here and in the other actions: the request takes effect all the same, and at once.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    created: bool = False
    after: float = 0.0


@attrs.frozen
class Reset:
    """Reset the connection without a response."""

    created: bool = False


@attrs.frozen
class Hang:
    """Send nothing for so many seconds, then reset the connection."""

    seconds: float
    created: bool = False


@attrs.frozen
class Truncate:
    """Send fewer bytes than the response's Content-Length promises, then close the connection."""

    created: bool = False


@attrs.frozen
class Delay:
    """Send the ordinary response so many seconds late; without ``created`` the request takes effect late, too."""

    seconds: float
    created: bool = False


Action: TypeAlias = Respond | Reset | Hang | Truncate | Delay


@attrs.define(eq=False)
class _Entry:
    action: Action
    remaining: int | None
    matching: str


class Script:
    """Per route a queue of actions, each for one or more of the next requests."""

    def __init__(self) -> None:
        self._entries: dict[Route, deque[_Entry]] = {route: deque() for route in Route}

    def add(self, route: str, action: Action, times: int | None = 1, *, matching: str = "") -> None:
        """Apply ``action`` to the next ``times`` requests of ``route``; with None, to all until ``clear``.

        ``matching``: only to requests whose path, query or body contains this text.
        """
        if times is not None and times < 1:
            raise ValueError("times must be a positive number, or None for no limit")
        self._entries[Route(route)].append(_Entry(action, times, matching))

    def clear(self, *, matching: str | None = None) -> None:
        """Remove all actions; ``matching``: only those that were added with exactly this text."""
        for entries in self._entries.values():
            kept = [] if matching is None else [entry for entry in entries if entry.matching != matching]
            entries.clear()
            entries.extend(kept)

    def is_scripted(self, route: str) -> bool:
        """Whether the route has actions left."""
        return bool(self._entries[Route(route)])

    def take(self, route: str, text: str = "") -> Action | None:
        """The action for a request of this route; ``text`` is its path, query and body."""
        entries = self._entries[Route(route)]
        for entry in entries:
            if entry.matching in text:
                if entry.remaining is not None:
                    entry.remaining -= 1
                    if not entry.remaining:
                        entries.remove(entry)
                return entry.action
        return None
