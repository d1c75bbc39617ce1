"""Slots for dispatches under way, limited in number and in bytes of input: in all, per key and per address.

Pure. A dispatch goes on after its caller has left, so it is counted here and not with the call.
"""

from collections import defaultdict

import attrs


@attrs.frozen
class Share:
    """The limit of one holder. ``size``: bytes of request bodies. ``whose``: the holder, for an error message."""

    dispatches: int
    size: int
    whose: str

    @property
    def size_mib(self) -> int:
        return self.size // (1024 * 1024)


#: A dispatch takes its body and some 30 KB, and lasts 45 s at most: together about 200 MB when upstream hangs.
IN_ALL = Share(4000, 64 * 1024 * 1024, "on this server")
#: As many as one key may have waiting by default, and 64 of the largest bodies: a key costs nothing to invent.
PER_KEY = Share(1000, 16 * 1024 * 1024, "with this API key")
#: The same for an address: a quarter of everything, however many keys it uses.
PER_ADDRESS = Share(1000, 16 * 1024 * 1024, "from your address")


@attrs.define
class NoSlot(Exception):
    """Too many dispatches are under way; nothing was started. ``share``: the limit that was reached."""

    share: Share


@attrs.define
class _Used:
    dispatches: int = 0
    size: int = 0

    def has_room(self, share: Share, size: int) -> bool:
        """Whether another body fits; the first always does, since operators may allow bodies larger than a share."""
        return not self.dispatches or (self.dispatches < share.dispatches and self.size + size <= share.size)


@attrs.define(eq=False)
class Slot:
    """The slot of one dispatch, counted until the dispatch and every call that keeps its body have released it."""

    _used: dict[tuple[Share, str], _Used]
    _holders: tuple[tuple[Share, str], ...]
    size: int
    _references: int = 1

    def retain(self) -> None:
        """Count another user of the same body."""
        self._references += 1

    def release(self) -> None:
        self._references -= 1
        if self._references:
            return
        for holder in self._holders:
            used = self._used[holder]
            used.dispatches -= 1
            used.size -= self.size
            if not used.dispatches:
                del self._used[holder]


@attrs.define
class DispatchSlots:
    """The slots in use."""

    _used: defaultdict[tuple[Share, str], _Used] = attrs.field(factory=lambda: defaultdict(_Used), repr=False)

    def __len__(self) -> int:
        return self._used[IN_ALL, ""].dispatches if (IN_ALL, "") in self._used else 0

    def acquire(self, key: str, address: str, size: int) -> Slot:
        """A slot for a body of ``size`` bytes. ``key``: the API key's digest. Raises ``NoSlot``."""
        holders = ((PER_KEY, key), (PER_ADDRESS, address), (IN_ALL, ""))
        for holder in holders:
            share = holder[0]
            if holder in self._used and not self._used[holder].has_room(share, size):
                raise NoSlot(share)
        for holder in holders:
            used = self._used[holder]
            used.dispatches += 1
            used.size += size
        return Slot(self._used, holders, size)
