"""Pauses between attempts: the one rule for every request that is repeated. Pure."""

from random import Random

import attrs


@attrs.frozen
class Backoff:
    """A pause that doubles with each failure.

    ``first``: seconds after the first failure. ``limit``: seconds that no pause exceeds. ``jitter``: the share of a
    pause that chance may take away, so that callers that failed together do not come back together.
    """

    first: float
    limit: float = float("inf")
    jitter: float = 0.0

    def after(self, failures: int, random: Random | None = None) -> float:
        """Seconds to wait after so many failures in a row, at least one."""
        pause = min(self.first * 2.0 ** min(failures - 1, 30), self.limit)
        return pause if random is None else pause * random.uniform(1.0 - self.jitter, 1.0)
