"""The arithmetic of exact sliding windows, and the memory that holds them.

Pure: time is passed in, as whole microseconds of a monotonic clock. No half-open interval of the window's length,
wherever it begins, has more than ``limit`` admitted hits; refused hits are not stored.
"""

from bisect import bisect_right
from collections.abc import Hashable

import attrs

MICROSECONDS = 1_000_000
#: Callers held in one window; beyond it the oldest is evicted. Memory stays bounded under a flood of addresses, and an
#: attacker with so many addresses gains nothing when one of them is evicted.
MAX_CALLERS = 250_000


def time_to_wait(hits: list[int], limit: int, window: int, cost: int, now: int) -> int:
    """Microseconds until ``cost`` more hits fit, 0 when they fit now.

    ``hits``: stamps of admitted hits, oldest first; at the limit all younger than the window. A cost above the limit
    never fits: the result is then the whole window.
    """
    excess = len(hits) + cost - limit
    if excess <= 0:
        return 0
    return hits[excess - 1] + window - now if excess <= len(hits) else window


@attrs.define
class Window:
    """The admitted hits of every caller in one scope, kept for one to two window lengths.

    Callers live in two generations. A caller that is seen moves to the young one; once per window length the old
    generation, which has no live hit by then, is dropped as a whole and the young one takes its place.
    """

    limit: int
    length: int
    _young: dict[Hashable, list[int]] = attrs.field(factory=dict, repr=False)
    _old: dict[Hashable, list[int]] = attrs.field(factory=dict, repr=False)
    _rotated_at: int = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def hits(self, caller: Hashable) -> list[int]:
        """The caller's stored hits, perhaps with some that have expired. This is the list itself, not a copy."""
        hits = self._young.get(caller)
        if hits is None:
            hits = self._old.pop(caller, None)
            if hits is None:
                return []
            self._young[caller] = hits
        return hits

    def wait_us(self, caller: Hashable, cost: int, now: int) -> int:
        """Microseconds until ``cost`` hits of the caller would be admitted, 0 when they would be now."""
        if now - self._rotated_at >= self.length:
            self.evict_expired(now)
        hits = self._young.get(caller)
        if hits is None:
            hits = self.hits(caller)
        count, since = len(hits), now - self.length
        # Expired hits only matter at the limit. Otherwise they go once they are half of the list: removing the first
        # of 600,000 at every call (10,000 requests/s, a raised limit) costs 150 µs a window.
        if count and (hits[count // 2] <= since or count + cost > self.limit):
            del hits[: bisect_right(hits, since)]
            count = len(hits)
        return 0 if count + cost <= self.limit else time_to_wait(hits, self.limit, self.length, cost, now)

    def add(self, caller: Hashable, cost: int, now: int) -> None:
        """Store ``cost`` admitted hits."""
        hits = self._young.get(caller)
        if hits is None:
            if len(self) >= MAX_CALLERS:
                oldest = self._old or self._young
                del oldest[next(iter(oldest))]
            # Exactly sized: a list that grows by ``extend`` takes a third more, which most callers never use.
            self._young[caller] = [now] * cost
        else:
            hits += (now,) * cost

    def refund(self, caller: Hashable, stamp: int) -> None:
        """Remove one hit that was admitted at ``stamp``."""
        hits = self._young.get(caller) or self._old.get(caller) or []
        if stamp in hits:
            hits.remove(stamp)

    def evict_expired(self, now: int) -> None:
        """Drop the generation that has no live hit left."""
        if now - self._rotated_at < self.length:
            return
        # After two window lengths without a call the young generation has no live hit either.
        self._old = self._young if now - self._rotated_at < 2 * self.length else {}
        self._young = {}
        self._rotated_at = now
