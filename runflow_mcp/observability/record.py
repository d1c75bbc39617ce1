"""What the access line and the metrics report of one JSON-RPC call; each member is set where its value becomes known.

Pure.
"""

import attrs

#: The members that an access line has only where they are known.
_DETAILS = (
    "revision",
    "client",
    "client_version",
    "tool",
    "prompt",
    "model",
    "run_id",
    "client_ref",
    "trace_id",
)

#: Logged instead of a value that contains an API key.
MASKED = "***"
#: The outcome of a call whose client left before the answer.
CLIENT_GONE = "client_gone"


@attrs.define
class CallRecord:
    """One call, or one entry of a batch. A member is None until it is known, or where it does not apply."""

    method: str | None = None
    revision: str | None = None
    #: The client's name and version as it gives them, cut to 64 characters.
    client: str | None = None
    client_version: str | None = None
    tool: str | None = None
    prompt: str | None = None
    model: str | None = None
    run_id: str | None = None
    client_ref: str | None = None
    trace_id: str | None = None
    #: A tool error's code, ``jsonrpc_<code>``, or a rejection's code; None for a call that succeeded.
    error_code: str | None = None

    def details(self, key_prefixes: tuple[str, ...]) -> dict[str, str]:
        """The members of ``_DETAILS`` that are known. A value that contains an API key is masked."""
        details = {name: value for name in _DETAILS if (value := getattr(self, name)) is not None}
        for name, value in details.items():
            if any(prefix in value for prefix in key_prefixes):
                details[name] = MASKED
        return details


def jsonrpc_outcome(code: int) -> str:
    """The ``error_code`` of a JSON-RPC error."""
    return f"jsonrpc_{int(code)}"
