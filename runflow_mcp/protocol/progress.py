"""The progress of one run in the form that MCP requires: strictly increasing, never past the total, in one unit.

Pure: arithmetic over the steps that upstream reports; the elapsed time is an argument.
"""

import math

import attrs

from runflow_mcp.bounds import MAX_ID_BYTES
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.protocol.jsonrpc import ErrorCode, Id, ProtocolError, is_id

METHOD = "notifications/progress"
#: Seconds after which the fraction that stands for the current step is one half.
HALF_STEP_SECONDS = 20.0


def read_progress_token(meta: JSONObject) -> Id | None:
    """The progress token in a request's ``_meta``; None when no progress is requested. 0 is a token.

    Raises ``ProtocolError`` for a string that is too long to be repeated in every notification.
    """
    token = meta.get("progressToken")
    if is_id(token):
        return token
    if isinstance(token, str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, f"The progressToken must be at most {MAX_ID_BYTES} bytes.")
    return None


@attrs.define
class Progress:
    """The progress of one call, in steps: those completed, plus a fraction below one that grows with time."""

    token: Id
    _last: float = -math.inf
    _completed: int = 0
    _total: int | None = None

    def advance(
        self, *, completed: int | None, total: int | None, elapsed: float, done: bool, message: str
    ) -> dict[str, JSON]:
        """The params of the next notification.

        ``completed`` and ``total``: steps as upstream counts them, None where unknown. ``elapsed``: seconds.
        ``done``: every step is done.
        """
        self._completed = max(self._completed, completed or 0)
        if total is not None and total > 0:
            # Progress already sent must not pass the total.
            self._total = total if total > self._last else math.floor(self._last) + 1
        fraction = elapsed / (elapsed + HALF_STEP_SECONDS) if elapsed > 0 else 0.0
        steps = float(self._completed)
        if self._total is not None:
            steps = min(steps, self._total - 1.0)
        value = float(self._total) if done and self._total is not None else steps + fraction
        self._last = max(value, math.nextafter(self._last, math.inf))
        params: dict[str, JSON] = {"progressToken": self.token, "progress": self._last, "message": message}
        if self._total is not None:
            params["total"] = self._total
        return params
