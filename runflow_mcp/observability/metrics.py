"""What this process counts and measures: one method for each kind of event, called once where the event happens. Pure.

``counting`` has the implementation; the names that the outside sees are in ``definitions``.
"""

from collections.abc import Iterable
from typing import ClassVar, Literal

import attrs

from runflow_mcp.observability.record import CallRecord

#: The requests to Runflow, each by what it is for.
Operation = Literal[
    "create_run", "get_run", "find_run", "create_upload", "confirm_upload", "get_balance", "catalog", "skill"
]
#: ``found``: a run that existed. ``succeeded``, ``failed``, ``cancelled``: an end that this process saw. ``left``: a
#: wait that ended without one.
RunEvent = Literal["started", "found", "succeeded", "failed", "cancelled", "left"]
#: What an attempt to refresh the catalog brought.
Refresh = Literal["updated", "unchanged", "failed"]


@attrs.frozen
class Gauges:
    """The state of a process at one moment. ``catalog_age``: seconds, None until there is a catalog."""

    waits: int
    subscriptions: int
    unread_bytes: int
    catalog_age: float | None
    catalog_models: int
    limit_store_up: bool
    #: Counted since the start.
    limit_store_fallbacks: int


class Metrics:
    """Records nothing. Methods are called in the event loop's thread."""

    #: Whether anything is recorded.
    recording: ClassVar[bool] = False

    def call(self, record: CallRecord, seconds: float) -> None:
        """A JSON-RPC message was answered, or an HTTP request ended without one."""

    def rejection(self, code: str) -> None:
        """An HTTP request was rejected before the application saw it; ``call`` counts those that it saw."""

    def run(self, event: RunEvent, model: str | None, *, cost: float = 0.0) -> None:
        """An event of a run. ``cost``: US dollars, with the event that ends it."""

    def upstream_request(self, operation: Operation, outcome: str, seconds: float) -> None:
        """One request to Runflow has ended.

        ``outcome``: ``2xx`` to ``5xx``, ``timeout``, ``connection`` or ``unreadable``.
        """

    def upstream_retry(self, operation: Operation) -> None:
        """A request to Runflow is sent again, because the last one failed."""

    def catalog_refresh(self, result: Refresh) -> None:
        """An attempt to refresh the catalog has ended."""

    def providers(self, providers: Iterable[str]) -> None:
        """The catalog has these providers now."""

    def sample(self, gauges: Gauges, lag: float) -> None:
        """The present state. ``lag``: seconds by which the event loop was late."""
