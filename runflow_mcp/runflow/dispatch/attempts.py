"""Whether another POST may be sent for an order: the one place where that is decided.

Pure: the state of earlier attempts and of the last look-up in, yes or no out. ``dispatcher`` acts on it.
"""

from enum import Enum, IntEnum, auto
from typing import assert_never

from runflow_mcp.runflow.api.errors import Outcome, UpstreamError, is_success, meaning_of
from runflow_mcp.runflow.backoff import Backoff

MAX_ATTEMPTS = 3
#: Between attempts, and between the requests of a look-up.
BACKOFF = Backoff(first=0.5, jitter=0.5)


class Effect(IntEnum):
    """The most that any attempt so far may have done upstream. It never decreases."""

    #: No attempt was sent, or each was refused.
    NONE = 0
    #: An attempt may have created a run: no answer, a 5xx, or a 429 or 503 that may hide a run.
    POSSIBLE = 1
    #: Upstream answered that there is a run: any 2xx, readable or not, a 303 or a 409.
    CERTAIN = 2


class LookUpResult(Enum):
    """The result of the last look-up by client_ref, if it did not find the run."""

    NOT_MADE = auto()
    #: The whole list was read; the run is not in it.
    NO_RUN = auto()
    #: No answer, or a refusal: upstream's lists are unavailable.
    FAILED = auto()
    #: An answer that does not show whether the run exists.
    UNCLEAR = auto()


def may_post(effect: Effect, look_up: LookUpResult) -> bool:
    """Whether a POST may be sent now.

    1. Never after upstream answered that there is a run.
    2. After an attempt that may have created a run, only if a look-up since then showed that there is none.
    3. Otherwise (nothing has been sent), unless a look-up's answer leaves open whether the run exists. A look-up that
       failed does not stop the first attempt, and a minted client_ref needs no look-up: nobody can have used it.
    """
    if effect is Effect.CERTAIN or look_up is LookUpResult.UNCLEAR:
        return False
    return look_up is LookUpResult.NO_RUN or effect is Effect.NONE


def effect_of(error: UpstreamError) -> Effect:
    """What an attempt that failed with this error may have done."""
    if error.answered or is_success(error.status) or meaning_of(error.status).exists:
        return Effect.CERTAIN
    match error.outcome:
        case Outcome.UNKNOWN | Outcome.BUSY:
            return Effect.POSSIBLE
        case Outcome.NOT_SENT | Outcome.REFUSED:
            return Effect.NONE
        case _:
            assert_never(error.outcome)


def failed_look_up(error: UpstreamError) -> LookUpResult:
    """The result of a look-up that failed with this error."""
    return LookUpResult.UNCLEAR if is_success(error.status) else LookUpResult.FAILED
