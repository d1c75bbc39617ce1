"""Whether another POST may go out for an order: the one place where that is decided.

Pure: what is known of earlier attempts and of the look-up in, yes or no out. ``dispatch`` does as it says.
"""

from enum import Enum, IntEnum, auto
from typing import assert_never

from runflow_mcp.runflow.api.errors import Outcome, UpstreamError, is_success, meaning_of
from runflow_mcp.runflow.backoff import Backoff

MAX_ATTEMPTS = 3
#: Between attempts, and between the requests of a look-up.
BACKOFF = Backoff(first=0.5, jitter=0.5)


class Reached(IntEnum):
    """The most that any attempt so far may have done upstream. It never goes back."""

    #: No attempt was sent, or each was refused.
    NOTHING = 0
    #: An attempt may have made a run: no answer, a 5xx, or a 429 or 503 that may hide one.
    MAYBE = 1
    #: Upstream answered that there is a run: any 2xx, readable or not, a 303 or a 409.
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
    """What an attempt that failed with this error may have done."""
    if error.answered or is_success(error.status) or meaning_of(error.status).exists:
        return Reached.ANSWERED
    match error.outcome:
        case Outcome.UNKNOWN | Outcome.BUSY:
            return Reached.MAYBE
        case Outcome.NOT_SENT | Outcome.REFUSED:
            return Reached.NOTHING
        case _:
            assert_never(error.outcome)


def shown_by(error: UpstreamError) -> Shown:
    """What a look-up that failed with this error showed."""
    return Shown.UNCLEAR if is_success(error.status) else Shown.FAILED
