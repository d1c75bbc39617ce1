"""One run: what was ordered, by whom and when; everything else about it follows from the time.

Pure and immutable; how a run looks as JSON is ``rendering``'s matter.
"""

from hashlib import sha256
from uuid import UUID

import attrs

from runflow_mcp.sandbox.behaviour import Behaviour
from runflow_mcp.sandbox.course import Moment
from runflow_mcp.sandbox.orders import Order


@attrs.frozen(kw_only=True, eq=False)
class Run:
    """``created`` is monotonic time, ``created_at`` is Unix time; ``owner`` is a key's fingerprint."""

    id: str
    owner: str
    order: Order
    behaviour: Behaviour
    created: float
    created_at: float

    @property
    def ends(self) -> float:
        return self.created + self.behaviour.course.seconds

    def at(self, now: float) -> Moment:
        return self.behaviour.course.at(now - self.created)


def run_id(*, seed: int, number: int, wall: float) -> str:
    """A UUIDv7, the same for the same arguments: milliseconds, then the run's number, then a hash."""
    milliseconds = int(wall * 1000)
    noise = int.from_bytes(sha256(f"{seed}:{number}:{milliseconds}".encode()).digest()[:8])
    low = 0b10 << 62 | noise & (1 << 62) - 1
    high = milliseconds << 16 | 7 << 12 | number & 0xFFF
    return str(UUID(int=high << 64 | low))
