"""The seam for metrics: what is counted, and an implementation that counts nothing. Pure.

A metric is one method here and one call where the thing happens. An exporter implements ``Metrics`` and is given to
``create_app``.
"""

from typing import Protocol


class Metrics(Protocol):
    """What happens in this process, as numbers with labels of few values."""

    def upstream_request(self, operation: str, outcome: str, seconds: float) -> None:
        """One request to Runflow has ended.

        ``operation``: ``create_run``, ``get_run``, ``find_run``, ``catalog`` or ``skill``. ``outcome``: ``2xx`` to
        ``5xx``, ``timeout``, ``connection`` or ``unreadable``.
        """

    def upstream_retry(self, operation: str) -> None:
        """A request to Runflow is sent again."""


class NoMetrics:
    """Counts nothing."""

    def upstream_request(self, operation: str, outcome: str, seconds: float) -> None:
        pass

    def upstream_retry(self, operation: str) -> None:
        pass
