"""The interface of metrics, and an implementation that records nothing. Pure.

A metric is one method here and one call where the event happens. An exporter implements ``Metrics`` and is given to
``create_app``.
"""

from typing import Protocol


class Metrics(Protocol):
    """Records events of this process; every label has few values."""

    def upstream_request(self, operation: str, outcome: str, seconds: float) -> None:
        """One request to Runflow has ended.

        ``operation``: ``create_run``, ``get_run``, ``find_run``, ``catalog`` or ``skill``. ``outcome``: ``2xx`` to
        ``5xx``, ``timeout``, ``connection`` or ``unreadable``.
        """

    def upstream_retry(self, operation: str) -> None:
        """A request to Runflow is sent again."""


class NoMetrics:
    """Records nothing."""

    def upstream_request(self, operation: str, outcome: str, seconds: float) -> None:
        pass

    def upstream_retry(self, operation: str) -> None:
        pass
