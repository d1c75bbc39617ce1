"""Progress of one run as MCP wants it told: strictly increasing, never past the total, in one unit.

Pure arithmetic over what the upstream reports; time comes in as a figure.
"""

import math

import attrs

from runflow_mcp.bounds import MAX_ID_BYTES
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.protocol.jsonrpc import ErrorCode, Id, ProtocolError, is_id

METHOD = "notifications/progress"
#: Seconds after which the moving fraction of the current step stands at one half.
HALF_STEP_SECONDS = 20.0


def read_progress_token(params: JSONObject) -> Id | None:
    """The progress token of a request's params, if it asks for progress. 0 is a token.

    Raises ``ProtocolError`` for a string that is too long to be repeated in every notification.
    """
    meta = params.get("_meta")
    token = meta.get("progressToken") if isinstance(meta, dict) else None
    if is_id(token):
        return token
    if isinstance(token, str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, f"The progressToken must be at most {MAX_ID_BYTES} bytes.")
    return None


@attrs.define
class Progress:
    """The progress of one call: counts completed steps plus a fraction below one that grows with time."""

    token: Id
    _last: float = -math.inf
    _completed: int = 0
    _total: int | None = None

    def advance(
        self, *, completed: int | None, total: int | None, elapsed: float, done: bool, message: str
    ) -> dict[str, JSON]:
        """The params of the next notification.

        ``completed`` and ``total`` are steps as upstream counts them, either may be unknown; ``elapsed`` is
        seconds; ``done`` says that every step is done.
        """
        self._completed = max(self._completed, completed or 0)
        if total is not None and total > 0:
            # A total at or below what was told already would break "never past the total".
            self._total = total if total > self._last else math.floor(self._last) + 1
        fraction = elapsed / (elapsed + HALF_STEP_SECONDS) if elapsed > 0 else 0.0
        steps = float(self._completed)
        if self._total is not None:
            steps = min(steps, self._total - 1.0)
        value = float(self._total) if done and self._total is not None else steps + fraction
        self._last = max(value, math.nextafter(self._last, math.inf))
        told: dict[str, JSON] = {"progressToken": self.token, "progress": self._last, "message": message}
        if self._total is not None:
            told["total"] = self._total
        return told
