"""The keys that Runflow accepted recently, as digests. Pure: a bounded set, no clock and no store."""

import attrs

#: A process rarely serves more keys within minutes; 10,000 digests take about 2 MiB. An evicted key comes back with
#: Runflow's next answer to it.
MAX_ACCEPTED = 10_000


@attrs.define
class AcceptedKeys:
    """A set of at most ``MAX_ACCEPTED`` key digests; the one added longest ago is evicted first."""

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
