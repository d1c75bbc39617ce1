"""How many dispatches may be under way, and how many bytes of input they may keep: in all, per key and per address.

Pure. A dispatch goes on although its caller has left, so it is counted by itself and not by the call.
"""

from collections import defaultdict

import attrs

MIB = 1024 * 1024


@attrs.frozen
class Share:
    """What may be under way for one holder. ``size``: bytes of request bodies. ``whose``: as an error says it."""

    dispatches: int
    size: int
    whose: str


#: A dispatch takes some 30 KB beside its body, and lasts 45 s at most: together about 200 MB when upstream hangs.
IN_ALL = Share(4000, 64 * MIB, "on this server")
#: As many as one key may have waiting by default, and 64 of the largest bodies: a key costs nothing to invent.
PER_KEY = Share(1000, 16 * MIB, "with this API key")
#: The same for an address: a quarter of everything, however many keys it uses.
PER_ADDRESS = Share(1000, 16 * MIB, "from your address")


@attrs.define
class NoPlace(Exception):
    """Too much is under way already; nothing was started. ``share`` is the one that is used up."""

    share: Share


@attrs.define
class _Used:
    dispatches: int = 0
    size: int = 0

    def has_room(self, share: Share, size: int) -> bool:
        """Whether one more fits; the first always does, since operators may allow larger bodies than a share."""
        return not self.dispatches or (self.dispatches < share.dispatches and self.size + size <= share.size)


@attrs.define(eq=False)
class Place:
    """What one dispatch keeps; given back once the last of its holders, the dispatch or a call, has left it."""

    _used: dict[tuple[Share, str], _Used]
    _holders: tuple[tuple[Share, str], ...]
    size: int
    _users: int = 1

    def join(self) -> None:
        """Count as one more who keeps the same bytes."""
        self._users += 1

    def leave(self) -> None:
        self._users -= 1
        if self._users:
            return
        for holder in self._holders:
            used = self._used[holder]
            used.dispatches -= 1
            used.size -= self.size
            if not used.dispatches:
                del self._used[holder]


@attrs.define
class DispatchPlaces:
    """The places that are taken."""

    _used: defaultdict[tuple[Share, str], _Used] = attrs.field(factory=lambda: defaultdict(_Used), repr=False)

    def __len__(self) -> int:
        return self._used[IN_ALL, ""].dispatches if (IN_ALL, "") in self._used else 0

    def take(self, key: str, address: str, size: int) -> Place:
        """A place for a body of ``size`` bytes. ``key``: the key's digest. Raises ``NoPlace``."""
        holders = ((PER_KEY, key), (PER_ADDRESS, address), (IN_ALL, ""))
        for share, holder in holders:
            if (share, holder) in self._used and not self._used[share, holder].has_room(share, size):
                raise NoPlace(share)
        for taken in holders:
            used = self._used[taken]
            used.dispatches += 1
            used.size += size
        return Place(self._used, holders, size)
