"""How an upstream may depart from Runflow's documentation. Pure."""

from enum import Enum
from typing import Any

import attrs

from runflow_mcp.sandbox.requests import RunRequest

#: Fields of a run that a summary in a list has.
SUMMARY_FIELDS = frozenset({"id", "status_code", "client_ref", "model_id", "created_at", "completed_at"})


class Idempotency(Enum):
    """When a repeated dispatch is a duplicate: by ``Idempotency-Key``, by the ``client_ref`` of a model, never."""

    HEADER = "header"
    CLIENT_REF = "client_ref"
    NONE = "none"


@attrs.frozen(kw_only=True)
class Quirks:
    """The defaults are the documented behaviour.

    ``lower_ref`` and ``cut_ref`` (characters): how a client_ref is stored; filters compare with the stored one.
    ``trim_input``: white space around texts is removed. ``keep_metadata``: whether metadata are stored.
    ``summaries``: lists contain only a few fields of each run. ``page``: the maximum number of runs in a page.
    ``endless_pages``: cursors are ignored, and every page is the first one. ``list_lag``: seconds before a new run is
    listed. ``clock_skew``: seconds by which the upstream's clock is ahead.
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
        """A client_ref as it is stored."""
        if client_ref is None:
            return None
        stored = client_ref if self.cut_ref is None else client_ref[: self.cut_ref]
        return stored.lower() if self.lower_ref else stored

    def stored(self, request: RunRequest) -> RunRequest:
        """A dispatch as it is stored."""
        return attrs.evolve(
            request,
            client_ref=self.ref(request.client_ref),
            input=_trimmed(request.input) if self.trim_input else request.input,
            metadata=request.metadata if self.keep_metadata else None,
        )

    def listed(self, run: dict[str, Any]) -> dict[str, Any]:
        """A rendered run as an item of a list."""
        return {name: value for name, value in run.items() if name in SUMMARY_FIELDS} if self.summaries else run


def _trimmed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
