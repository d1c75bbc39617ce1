"""The failure of a dispatch, and what is known after it. Pure."""

import attrs

from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.runs.run import Run


@attrs.define
class DispatchFailed(Exception):
    """No run was started or found. ``uncertain``: there may still be one, under the order's client_ref.

    ``sent``: an attempt of this process may have made it. ``named``: a run that upstream answered with and that is
    not the order's.
    """

    cause: UpstreamError
    uncertain: bool
    sent: bool = True
    named: Run | None = None


def model_conflict(model: str, path: str) -> DispatchFailed:
    """The error when the client_ref belongs to a run of another model. ``path``: of the request that showed it."""
    message = f"This client_ref belongs to a run of {model}; nothing was started."
    cause = UpstreamError(Outcome.REFUSED, path, message, code="conflict", message=message)
    return DispatchFailed(cause, uncertain=False, sent=False)
