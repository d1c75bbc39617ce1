"""The errors of a dispatch without a run, and what is known after them. Pure."""

import attrs

from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.assets.paths import LocalFile
from runflow_mcp.runflow.runs.run import Run


@attrs.define
class DispatchFailed(Exception):
    """No run was started or found. ``uncertain``: there may still be one, under the order's client_ref.

    ``sent``: an attempt of this process may have made it. ``other_run``: a run that upstream answered with although
    it is not the order's.
    """

    cause: UpstreamError
    uncertain: bool
    sent: bool = True
    other_run: Run | None = None


@attrs.define
class FilesNeeded(Exception):
    """The client_ref has no run yet, and the input names these files of the caller's machine: nothing was started."""

    files: tuple[LocalFile, ...]


@attrs.define
class NotUploaded(Exception):
    """Runflow has no upload with this id for this key: nothing was started."""

    asset_id: str
    cause: UpstreamError


def model_conflict(model: str, path: str) -> DispatchFailed:
    """The error when the client_ref belongs to a run of another model. ``path``: of the request that showed it."""
    message = f"This client_ref belongs to a run of {model}; nothing was started."
    cause = UpstreamError(Outcome.REFUSED, path, message, code="conflict", message=message)
    return DispatchFailed(cause, uncertain=False, sent=False)
