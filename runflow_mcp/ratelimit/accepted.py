"""The keys that Runflow has accepted lately, by their digests. Pure."""

import attrs

#: A process rarely has more customers within minutes; 10,000 digests take about 2 MiB. One that was forgotten is
#: remembered again with Runflow's next answer.
MAX_ACCEPTED = 10_000


@attrs.define
class AcceptedKeys:
    """A bounded set of key digests; the one that was not added again for the longest time makes room."""

    _digests: dict[str, None] = attrs.field(factory=dict, repr=False)

    def __contains__(self, digest: str) -> bool:
        return digest in self._digests

    def __len__(self) -> int:
        return len(self._digests)

    def add(self, digest: str) -> None:
        self._digests.pop(digest, None)
        if len(self._digests) >= MAX_ACCEPTED:
            del self._digests[next(iter(self._digests))]
        self._digests[digest] = None

    def discard(self, digest: str) -> None:
        self._digests.pop(digest, None)
