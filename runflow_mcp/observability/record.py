"""What the access line and the metrics report of one JSON-RPC call; each member is set where its value becomes known.

Pure.
"""

import re
from contextvars import ContextVar
from operator import attrgetter

import attrs

#: Logged instead of a value that contains an API key.
MASKED = "***"
#: The outcome of a call whose client left before the answer.
CLIENT_GONE = "client_gone"
#: Characters of a client's name, and of its version.
MAX_CLIENT = 64
#: The members that callers choose, and that an access line has only where they are known.
_DETAILS = (
    "client",
    "client_version",
    "prompt",
    "resource",
    "model",
    "run_id",
    "client_ref",
    "trace_id",
)
_read_details = attrgetter(*_DETAILS)
#: What it reads from most calls.
_NO_DETAILS = (None,) * len(_DETAILS)
#: The members by which a line about a run or a request to Runflow is found beside the access line.
_IDENTITY = ("request_id", "key", "model", "client_ref", "run_id", "trace_id")
#: The trace id in a traceparent (W3C Trace Context, 3.2.2).
_TRACE_ID = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


@attrs.define
class CallRecord:
    """One call, or one entry of a batch. A member is None until it is known, or where it does not apply."""

    method: str | None = None
    revision: str | None = None
    #: The client's name and version as it gives them, at most ``MAX_CLIENT`` printable characters each.
    client: str | None = None
    client_version: str | None = None
    tool: str | None = None
    prompt: str | None = None
    #: The kind of a resource, never its URI.
    resource: str | None = None
    model: str | None = None
    run_id: str | None = None
    client_ref: str | None = None
    trace_id: str | None = None
    #: A tool error's code, ``jsonrpc_<code>``, or a rejection's code; None for a call that succeeded.
    error_code: str | None = None
    #: Bytes of the body that was sent, where the response does not have it.
    bytes_out: int = 0
    #: Reads of the run while the call waited for it.
    polls: int = 0
    #: Requests to Runflow for this call, and their seconds in total. Requests that equal calls share count for the
    #: first of these calls.
    upstream_attempts: int = 0
    upstream_seconds: float = 0.0
    #: ``Clock.monotonic`` when the answer of an entry was ready; None until then, and outside of a batch.
    ended: float | None = None
    request_id: str | None = None
    #: The fingerprint of the API key.
    key: str | None = None
    #: Beginnings of API keys, to be masked.
    key_prefixes: tuple[str, ...] = attrs.field(default=(), repr=False)

    def details(self, key_prefixes: tuple[str, ...]) -> dict[str, str | float]:
        """The known ones of the members that not every call has. A value that contains an API key is masked."""
        details: dict[str, str | float] = {}
        # These two are names of this server's own, which need no mask.
        if self.revision is not None:
            details["revision"] = self.revision
        if self.tool is not None:
            details["tool"] = self.tool
        values = _read_details(self)
        if values != _NO_DETAILS:
            for name, value in zip(_DETAILS, values, strict=True):
                if value is not None:
                    details[name] = _masked(value, key_prefixes)
        if self.polls:
            details["polls"] = self.polls
        if self.upstream_attempts:
            details["upstream_ms"] = round(self.upstream_seconds * 1000, 1)
            details["upstream_attempts"] = self.upstream_attempts
        return details

    def identity(self) -> dict[str, str]:
        """What identifies the call in other log lines, as far as it is known, masked as in ``details``."""
        return {
            name: _masked(value, self.key_prefixes) for name in _IDENTITY if (value := getattr(self, name)) is not None
        }


#: The call that the current task works for; tasks that it starts, such as a dispatch, inherit it. None for work without
#: a call, such as fetching the catalog. Otherwise every function that calls Runflow would take the record.
CURRENT: ContextVar[CallRecord | None] = ContextVar("current call", default=None)


def current_identity() -> dict[str, str]:
    """The ``identity`` of the current call; empty where there is none."""
    record = CURRENT.get()
    return {} if record is None else record.identity()


def jsonrpc_outcome(code: int) -> str:
    """The ``error_code`` of a JSON-RPC error."""
    return f"jsonrpc_{int(code)}"


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace id of a valid traceparent."""
    match = _TRACE_ID.fullmatch(traceparent or "")
    return match[1] if match else None


def client_name(value: object) -> str | None:
    """A client's name or version for the record: cut, and without characters that cannot be printed."""
    if not isinstance(value, str) or not value:
        return None
    text = value[:MAX_CLIENT]
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def _masked(value: str, key_prefixes: tuple[str, ...]) -> str:
    for prefix in key_prefixes:  # a generator for ``any`` would take longer than the search
        if prefix in value:
            return MASKED
    return value
