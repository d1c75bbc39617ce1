"""Alternating rounds, and the ratios within them. Pure but for the call that measures."""

from collections.abc import Callable, Sequence
from statistics import median

import attrs

from tests.bench.load import Figure


@attrs.frozen
class Spread:
    """A median with the least and the greatest of its values."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values))

    def show(self, digits: int = 2) -> str:
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}–{self.high:.{digits}f})"


@attrs.frozen
class Measured:
    """The rounds of one server on one row, in their order."""

    rounds: tuple[Figure, ...]

    @property
    def rate(self) -> Spread:
        return Spread.of([figure.rate for figure in self.rounds])

    @property
    def cpu(self) -> float:
        """The lowest µs of a round: other load on the machine only adds to it."""
        return min(figure.cpu for figure in self.rounds)

    def rate_over(self, other: "Measured") -> Spread:
        """Requests/s ÷ those of another server in the same round."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return Spread.of([own.rate / others.rate for own, others in pairs])

    def cpu_over(self, other: "Measured") -> Spread:
        """The other server's µs per request ÷ this one's: above 1 is cheaper, as above 1 is faster for rates.

        The middle figure compares the lowest µs of each.
        """
        pairs = zip(self.rounds, other.rounds, strict=True)
        ratios = [others.cpu / own.cpu for own, others in pairs]
        return Spread(other.cpu / self.cpu, min(ratios), max(ratios))


def alternate(
    names: Sequence[str], rows: Sequence[str], rounds: int, measure: Callable[[str, str], Figure]
) -> dict[str, dict[str, Measured]]:
    """Measure each name on each row, ``rounds`` times; row → name → what was measured.

    A round goes through all rows, so that a busy moment of the machine does not fall on one row alone. Every second
    round goes through the names backwards, so that no server is always first.
    """
    figures: dict[str, dict[str, list[Figure]]] = {row: {name: [] for name in names} for row in rows}
    for number in range(rounds):
        for row in rows:
            for name in names if number % 2 == 0 else reversed(names):
                figures[row][name].append(measure(name, row))
    return {row: {name: Measured(tuple(seen)) for name, seen in by_name.items()} for row, by_name in figures.items()}
