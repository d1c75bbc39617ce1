"""The events of this process that are counted. Pure.

A metric is one method here, which does nothing, and one call where the event happens. An exporter is a subclass that
is given to ``create_app``.
"""

from typing import Literal

#: The requests to Runflow, each by what it is for.
Operation = Literal[
    "create_run", "get_run", "find_run", "create_upload", "confirm_upload", "get_balance", "catalog", "skill"
]


class Metrics:
    """Records nothing. Every label has few values."""

    def upstream_request(self, operation: Operation, outcome: str, seconds: float) -> None:
        """One request to Runflow has ended.

        ``outcome``: ``2xx`` to ``5xx``, ``timeout``, ``connection`` or ``unreadable``.
        """

    def upstream_retry(self, operation: Operation) -> None:
        """A request to Runflow is sent again, because the last one failed."""
