"""What this process dispatched in the last half minute, so that a repeat finds it although upstream's list lags.

Keeps two hashes, a run id and a state for each order, and no more than ``MAX_ENTRIES`` of them (about 2 MB).
"""

import attrs

from runflow_mcp.runflow.dispatch.attempts import Reached

#: Seconds for which a dispatch is remembered. Lists lag by seconds, and clients repeat at once.
KEPT = 30.0
#: Beyond so many the oldest is forgotten, and a repeat of it depends on upstream's list alone.
MAX_ENTRIES = 4096


@attrs.frozen
class Entry:
    """A dispatch that has ended: how far it got, and the run's id and the digest of its input, where known."""

    reached: Reached
    run_id: str | None
    made_from: str | None
    until: float


@attrs.define
class Recent:
    """Ended dispatches by the Idempotency-Key of their order. ``now``: monotonic seconds."""

    _entries: dict[str, Entry] = attrs.field(factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self._entries)

    def remember(self, key: str, reached: Reached, run_id: str | None, made_from: str | None, *, now: float) -> None:
        self._entries.pop(key, None)
        self._entries[key] = Entry(reached, run_id, made_from, now + KEPT)
        self._forget(now)

    def recall(self, key: str, now: float) -> Entry | None:
        self._forget(now)
        return self._entries.get(key)

    def _forget(self, now: float) -> None:
        """Drop what is too old or too much; entries are in the order of their time."""
        while self._entries:
            oldest = next(iter(self._entries))
            if self._entries[oldest].until > now and len(self._entries) <= MAX_ENTRIES:
                break
            del self._entries[oldest]
