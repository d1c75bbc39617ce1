"""Whether another POST may go out for an order: the one place where that is decided.

Pure: what is known of earlier attempts and of the look-up in, yes or no out. ``dispatch`` does as it says.
"""

from enum import Enum, IntEnum, auto
from random import Random

from runflow_mcp.runflow.api.errors import Outcome, UpstreamError

MAX_ATTEMPTS = 3
#: Seconds before a request is repeated, doubled each time, when upstream names no time.
FIRST_BACKOFF = 0.5
#: Answers which say that the run exists, elsewhere: See Other, Conflict.
EXISTS = frozenset({303, 409})


class Reached(IntEnum):
    """The most that any attempt so far may have done upstream. It never goes back."""

    #: No attempt was sent, or each was refused.
    NOTHING = 0
    #: An attempt may have made a run: no answer, a 5xx, or a 429 or 503 that may hide one.
    MAYBE = 1
    #: Upstream answered that there is a run: any 2xx, readable or not, or one of ``EXISTS``.
    ANSWERED = 2


class Shown(Enum):
    """What the last look-up by client_ref showed, where it did not find the run."""

    NOT_ASKED = auto()
    #: The whole list was read; the run is not in it.
    NONE = auto()
    #: No answer, or a refusal: upstream's lists are unavailable.
    FAILED = auto()
    #: An answer that does not show whether the run exists.
    UNCLEAR = auto()


def may_post(reached: Reached, shown: Shown) -> bool:
    """Whether a POST may go out now.

    1. After an answer that there is a run, never again.
    2. After an attempt that may have made one, only when a look-up since then showed that there is none.
    3. Otherwise (nothing has been sent) unless a look-up's answer leaves open whether the run exists. A look-up that
       failed does not stop the first attempt, and a minted client_ref needs none: nobody can have used it.
    """
    if reached is Reached.ANSWERED or shown is Shown.UNCLEAR:
        return False
    return shown is Shown.NONE or reached is Reached.NOTHING


def reached_by(error: UpstreamError) -> Reached:
    """What an attempt that ended so may have done."""
    if error.answered or is_success(error.status) or error.status in EXISTS:
        return Reached.ANSWERED
    return Reached.MAYBE if error.outcome in (Outcome.UNKNOWN, Outcome.BUSY) else Reached.NOTHING


def shown_by(error: UpstreamError) -> Shown:
    """What a look-up that ended so showed."""
    return Shown.UNCLEAR if is_success(error.status) else Shown.FAILED


def is_success(status: int | None) -> bool:
    return status is not None and status // 100 == 2  # noqa: PLR2004 - any 2xx


def pause(attempt: int, error: UpstreamError, random: Random) -> float:
    """Seconds before the next request after the ``attempt``-th one failed: upstream's own time, else a backoff."""
    return error.retry_after if error.retry_after is not None else backoff(attempt, random)


def backoff(attempt: int, random: Random) -> float:
    return FIRST_BACKOFF * 2.0 ** (attempt - 1) * random.uniform(0.5, 1.0)
