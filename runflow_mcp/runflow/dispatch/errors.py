"""What a dispatch that brought no run leaves known. Pure."""

import attrs

from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.runs.run import Run


@attrs.define
class DispatchFailed(Exception):
    """No run could be started or found. ``uncertain``: one may exist all the same, under the order's client_ref.

    ``sent``: an attempt of this process may have made it. ``named``: the run that upstream answered with.
    """

    cause: UpstreamError
    uncertain: bool
    sent: bool = True
    named: Run | None = None


def other_model(model: str, path: str) -> UpstreamError:
    """The refusal of a client_ref that belongs to a run of another model."""
    message = f"This client_ref belongs to a run of {model}; nothing was started."
    return UpstreamError(Outcome.REFUSED, path, message, code="conflict", message=message)
