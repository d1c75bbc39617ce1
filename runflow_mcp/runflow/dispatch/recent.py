"""The dispatches of this process that ended in the last half minute: upstream's list may not show their runs yet.

Keeps two hashes, a run id and a state for each order, for at most ``MAX_ENTRIES`` orders (about 2 MB). Pure.
"""

import attrs

from runflow_mcp.runflow.dispatch.attempts import Effect

#: Seconds for which a dispatch is remembered. Lists lag by seconds, and clients repeat at once.
RETENTION = 30.0
#: Beyond this the oldest is dropped; a repeat of it then depends only on upstream's list.
MAX_ENTRIES = 4096


@attrs.frozen
class Entry:
    """A dispatch that has ended.

    ``effect``: the most that it may have done. ``run_id``, ``sent_digest``: the run, and the digest of the input that
    was sent to start it, if known. ``until``: monotonic seconds.
    """

    effect: Effect
    run_id: str | None
    sent_digest: str | None
    until: float


@attrs.define
class RecentDispatches:
    """Ended dispatches by the Idempotency-Key of their order. ``now``: monotonic seconds."""

    _entries: dict[str, Entry] = attrs.field(factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self._entries)

    def remember(self, key: str, effect: Effect, run_id: str | None, sent_digest: str | None, *, now: float) -> None:
        self._entries.pop(key, None)
        self._entries[key] = Entry(effect, run_id, sent_digest, now + RETENTION)
        self._evict(now)

    def recall(self, key: str, now: float) -> Entry | None:
        self._evict(now)
        return self._entries.get(key)

    def _evict(self, now: float) -> None:
        """Drop expired and surplus entries; they are in the order of their time."""
        while self._entries:
            oldest = next(iter(self._entries))
            if self._entries[oldest].until > now and len(self._entries) <= MAX_ENTRIES:
                break
            del self._entries[oldest]
