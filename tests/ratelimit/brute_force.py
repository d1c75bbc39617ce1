"""A sliding window counted by brute force: slow, obvious, and the oracle of the tests."""

from collections.abc import Sequence

import attrs

#: (when, cost) of an admission, in the order of time.
Admission = tuple[int, int]


def most_in_any_window(admitted: Sequence[Admission], window: int) -> int:
    """The greatest number of hits in a half-open interval of this length, wherever it is placed."""
    return max(
        (sum(cost for at, cost in admitted if begin <= at < begin + window) for begin, _ in admitted),
        default=0,
    )


@attrs.define
class BruteForce:
    """One caller's window: every admission for ever, counted anew each time."""

    limit: int
    window: int
    admitted: list[Admission] = attrs.field(factory=list)

    def fits(self, cost: int, now: int) -> bool:
        return sum(was for at, was in self.admitted if at > now - self.window) + cost <= self.limit

    def wait_us(self, cost: int, now: int) -> int:
        """How long until it fits; only the moments at which a hit grows too old can matter."""
        moments = sorted({now, *(at + self.window for at, _ in self.admitted if at + self.window > now)})
        return next((moment - now for moment in moments if self.fits(cost, moment)), self.window)

    def add(self, cost: int, now: int) -> None:
        self.admitted.append((now, cost))

    def refund(self, stamp: int) -> None:
        """One hit less among those admitted at ``stamp``."""
        for place, (at, cost) in enumerate(self.admitted):
            if at == stamp and cost > 0:
                self.admitted[place] = (at, cost - 1)
                return
