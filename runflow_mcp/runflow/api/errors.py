"""What a failed request to Runflow leaves known, and the error that carries it. Pure."""

from enum import Enum, auto

import attrs

from runflow_mcp.json_types import JSON


class Outcome(Enum):
    """What a failed request leaves known about its effect."""

    #: Nothing reached the upstream.
    NOT_SENT = auto()
    #: Upstream said no, and meant it.
    REFUSED = auto()
    #: Upstream said later (429, 503).
    BUSY = auto()
    #: It may have happened or not: reset, time-out, 5xx, an unreadable answer.
    UNKNOWN = auto()


@attrs.define
class UpstreamError(Exception):
    """A request to the upstream that brought no usable answer.

    ``reason`` is ours and safe to show; ``code``, ``message`` and ``errors`` are upstream's own, if any. ``problem``:
    the token of what went wrong below HTTP, None where there was an answer. ``answered``: upstream began a 2xx answer,
    or sent one that is not what it should be.
    """

    outcome: Outcome
    path: str
    reason: str
    status: int | None = None
    code: str | None = None
    message: str | None = None
    errors: list[JSON] = attrs.field(factory=list)
    retry_after: float | None = None
    answered: bool = False
    problem: str | None = None


class ResponseTooLarge(UpstreamError):
    """An answer past the cap: asking for less may help."""
