"""What a failed request to Runflow leaves known, and the error that carries it. Pure."""

from collections.abc import Mapping
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


@attrs.frozen(kw_only=True)
class Meaning:
    """What an HTTP status of Runflow's says. ``code``: the tool error code that it has whatever the body says."""

    outcome: Outcome
    #: The answer of a POST: the run exists, elsewhere.
    exists: bool = False
    #: The answer of a read: no later one changes it.
    final: bool = False
    #: Nothing was found. Just after a run was made that may be read lag.
    missing: bool = False
    #: Whoever answered has looked at the key; a gateway or rate limiter may answer before that.
    judges_key: bool = True
    code: str | None = None


_MEANINGS: Mapping[int, Meaning] = {
    303: Meaning(outcome=Outcome.REFUSED, exists=True),
    401: Meaning(outcome=Outcome.REFUSED, final=True, code="unauthorized"),
    402: Meaning(outcome=Outcome.REFUSED, code="insufficient_credits"),
    403: Meaning(outcome=Outcome.REFUSED, final=True),
    404: Meaning(outcome=Outcome.REFUSED, final=True, missing=True),
    408: Meaning(outcome=Outcome.UNKNOWN, judges_key=False),
    409: Meaning(outcome=Outcome.REFUSED, exists=True),
    429: Meaning(outcome=Outcome.BUSY, judges_key=False),
    503: Meaning(outcome=Outcome.BUSY, judges_key=False),
}
_REFUSED = Meaning(outcome=Outcome.REFUSED)
_SERVER_ERROR = Meaning(outcome=Outcome.UNKNOWN, judges_key=False)


def meaning_of(status: int) -> Meaning:
    """The one table of upstream statuses that are no success: what each says about a request and its run."""
    return _MEANINGS.get(status) or (_SERVER_ERROR if status >= 500 else _REFUSED)  # noqa: PLR2004 - any 5xx


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
