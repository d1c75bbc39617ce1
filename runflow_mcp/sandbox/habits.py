"""What an upstream may make of what it is told, beyond its documentation: each habit is off unless switched on.

Pure; ``api`` acts on them.
"""

import attrs

from runflow_mcp.sandbox.orders import Order
from runflow_mcp.sandbox.payload import Json, JsonObject

#: What a summary in a list still says of a run.
SUMMARY_FIELDS = frozenset({"id", "status_code", "client_ref", "model_id", "created_at", "completed_at"})


@attrs.frozen(kw_only=True)
class Habits:
    """``lower_ref``, ``cut_ref``: how a client_ref is kept (filters compare with what is kept, exactly).

    ``trim_input``: white space around texts is dropped, ``keep_metadata``: whether metadata are, ``summaries``: lists
    leave out most of a run. ``page``: runs that a page holds at most. ``endless_pages``: cursors are not understood
    and the first page comes again. ``list_lag``: seconds before a run is listed. ``clock_skew``: seconds that its
    clock is ahead.
    """

    lower_ref: bool = False
    cut_ref: int | None = None
    trim_input: bool = False
    keep_metadata: bool = True
    summaries: bool = False
    page: int | None = None
    endless_pages: bool = False
    list_lag: float = 0.0
    clock_skew: float = 0.0

    def ref(self, client_ref: str | None) -> str | None:
        """A client_ref as it is kept."""
        if client_ref is None:
            return None
        kept = client_ref if self.cut_ref is None else client_ref[: self.cut_ref]
        return kept.lower() if self.lower_ref else kept

    def order(self, order: Order) -> Order:
        """An order as it is kept."""
        return attrs.evolve(
            order,
            client_ref=self.ref(order.client_ref),
            input=_trimmed(order.input) if self.trim_input else order.input,
            metadata=order.metadata if self.keep_metadata else None,
        )

    def listed(self, run: JsonObject) -> JsonObject:
        """A rendered run as it stands in a list."""
        return {name: value for name, value in run.items() if name in SUMMARY_FIELDS} if self.summaries else run


def _trimmed(values: JsonObject) -> JsonObject:
    return {name: _text(value) for name, value in values.items()}


def _text(value: Json) -> Json:
    return value.strip() if isinstance(value, str) else value
