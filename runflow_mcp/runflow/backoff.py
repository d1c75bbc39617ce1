"""Pauses between attempts: the one rule for every request that is repeated. Pure."""

from random import Random

import attrs


@attrs.frozen
class Backoff:
    """A pause that doubles with each failure.

    ``first``: seconds after the first failure. ``limit``: the longest pause in seconds. ``jitter``: the share of a
    pause that is random, so that callers that failed together do not retry together.
    """

    first: float
    limit: float = float("inf")
    jitter: float = 0.0

    def after(self, failures: int, random: Random | None = None, *, retry_after: float | None = None) -> float:
        """Seconds to wait after this many failures in a row (at least one).

        ``random``: None for a pause without jitter. ``retry_after``: seconds that upstream named; they take precedence.
        """
        if retry_after is not None:
            return retry_after
        pause = min(self.first * 2.0 ** min(failures - 1, 30), self.limit)
        return pause if random is None else pause * random.uniform(1.0 - self.jitter, 1.0)
