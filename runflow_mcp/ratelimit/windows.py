"""The arithmetic of exact sliding windows, and the memory that holds them.

Pure: time comes in as whole microseconds of a clock that never goes back. In no half-open interval of the
window's length, wherever it is placed, are more than ``limit`` hits admitted; refused hits leave no trace.
"""

from bisect import bisect_right
from collections.abc import Hashable

import attrs

MICROSECONDS = 1_000_000
#: Past this many callers in one window the oldest is forgotten: memory stays bounded under a flood of
#: addresses, and whoever commands so many gains nothing by having one of them forgotten.
MAX_CALLERS = 250_000


def wait_for(hits: list[int], limit: int, window: int, cost: int, now: int) -> int:
    """Microseconds until ``cost`` more hits fit, 0 when they fit now.

    ``hits``: admitted ones, oldest first, all younger than the window. A cost over the limit never fits; a
    whole window is named then.
    """
    excess = len(hits) + cost - limit
    if excess <= 0:
        return 0
    return hits[excess - 1] + window - now if excess <= len(hits) else window


@attrs.define
class Window:
    """The admitted hits of every caller of one scope, for one window at least and two at most.

    Callers live in two generations. One that is seen moves to the young generation; when a window has passed
    the old generation, by then without a living hit, is dropped as a whole.
    """

    limit: int
    length: int
    _young: dict[Hashable, list[int]] = attrs.field(factory=dict, repr=False)
    _old: dict[Hashable, list[int]] = attrs.field(factory=dict, repr=False)
    _turned: int = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def hits(self, caller: Hashable, now: int) -> list[int]:
        """The caller's living hits, to be read and, by ``add``, appended to."""
        hits = self._young.get(caller)
        if hits is None:
            hits = self._old.pop(caller, None)
            if hits is None:
                return []
            self._young[caller] = hits
        since = now - self.length
        if hits and hits[0] <= since:
            del hits[: bisect_right(hits, since)]
        return hits

    def wait(self, caller: Hashable, cost: int, now: int) -> int:
        """Microseconds until ``cost`` hits of the caller would be admitted, 0 for now."""
        self.evict_expired(now)
        return wait_for(self.hits(caller, now), self.limit, self.length, cost, now)

    def add(self, caller: Hashable, cost: int, now: int) -> None:
        """Count admitted hits."""
        hits = self._young.get(caller)
        if hits is None:
            if len(self) >= MAX_CALLERS:
                oldest = self._old or self._young
                del oldest[next(iter(oldest))]
            # Made to measure: an empty list that grows takes a third more, for most callers in vain.
            self._young[caller] = [now] * cost
        else:
            hits.extend([now] * cost)

    def refund(self, caller: Hashable, stamp: int) -> None:
        """Uncount one hit that was admitted at ``stamp``."""
        hits = self._young.get(caller) or self._old.get(caller) or []
        if stamp in hits:
            hits.remove(stamp)

    def evict_expired(self, now: int) -> None:
        """Drop what can no longer count."""
        if now - self._turned < self.length:
            return
        # After two windows without a call nothing of the young generation lives either.
        self._old = self._young if now - self._turned < 2 * self.length else {}
        self._young = {}
        self._turned = now
