"""What an HTTP status of Runflow's means, and the error that a failed request raises. Pure.

The one table of upstream statuses: the client, the key trials, the dispatch and the polls all read it.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Self

import attrs

from runflow_mcp.json_types import JSON


class Outcome(Enum):
    """What is known about the effect of a failed request."""

    #: Nothing reached the upstream.
    NOT_SENT = auto()
    #: Upstream refused; nothing was done.
    REFUSED = auto()
    #: Upstream asks to come back later (429, 503).
    BUSY = auto()
    #: It may have taken effect: reset, time-out, 5xx, an unreadable answer.
    UNKNOWN = auto()


@attrs.frozen(kw_only=True)
class Meaning:
    """What a status says about a request, its run and its API key."""

    outcome: Outcome
    #: In answer to a POST: the run exists already.
    exists: bool = False
    #: In answer to a read: a later read gets the same answer.
    final: bool = False
    #: Nothing was found. Soon after a run was created this may be read lag.
    missing: bool = False
    #: Whether Runflow accepts the key. None: a gateway or rate limiter may have answered before the key was checked.
    key_accepted: bool | None = True
    #: The tool error code that the status has whatever the body says.
    code: str | None = None


_MEANINGS: Mapping[int, Meaning] = {
    303: Meaning(outcome=Outcome.REFUSED, exists=True),
    401: Meaning(outcome=Outcome.REFUSED, final=True, key_accepted=False, code="unauthorized"),
    402: Meaning(outcome=Outcome.REFUSED, code="insufficient_credits"),
    403: Meaning(outcome=Outcome.REFUSED, final=True),
    404: Meaning(outcome=Outcome.REFUSED, final=True, missing=True),
    408: Meaning(outcome=Outcome.UNKNOWN, key_accepted=None),
    409: Meaning(outcome=Outcome.REFUSED, exists=True),
    429: Meaning(outcome=Outcome.BUSY, key_accepted=None),
    503: Meaning(outcome=Outcome.BUSY, key_accepted=None),
}
_REFUSED = Meaning(outcome=Outcome.REFUSED)
_SERVER_ERROR = Meaning(outcome=Outcome.UNKNOWN, key_accepted=None)
_UNREADABLE_SUCCESS = Meaning(outcome=Outcome.UNKNOWN)
_NO_ANSWER = Meaning(outcome=Outcome.UNKNOWN, key_accepted=None)


def meaning_of(status: int | None) -> Meaning:
    """What the status of an error says. None: no answer came. A 2xx is the status of an unreadable answer."""
    if status is None:
        return _NO_ANSWER
    if is_success(status):
        return _UNREADABLE_SUCCESS
    return _MEANINGS.get(status) or (_SERVER_ERROR if status >= 500 else _REFUSED)  # noqa: PLR2004 - any 5xx


def is_success(status: int | None) -> bool:
    return status is not None and status // 100 == 2  # noqa: PLR2004 - any 2xx


@attrs.define
class UpstreamError(Exception):
    """A request to the upstream that brought no usable answer.

    ``reason``: our own words, safe to show. ``code``, ``message``, ``errors``: upstream's, if any. ``problem``: the
    token of a connection error, None if there was an answer. ``answered``: a 2xx answer began, or arrived with
    content that cannot be used.
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

    def without_frames(self) -> Self:
        """A copy: an error that was raised keeps its frames alive, and with them answers of megabytes."""
        return attrs.evolve(self)


class ResponseTooLarge(UpstreamError):
    """An answer over the size that may be read; a request for less may succeed."""
