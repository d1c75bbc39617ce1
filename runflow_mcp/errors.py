"""Rejections and tool errors: their codes, their two wire shapes, and the next action for each code.

A ``Rejection`` rejects a request before its handler runs (a JSON-RPC error at an HTTP 4xx); a ``ToolError`` is the
result of a tool that failed (HTTP 200, ``isError``). Each is rendered here and nowhere else. JSON-RPC errors
are rendered in ``protocol.jsonrpc``, plain HTTP errors in ``web.responses``. Pure: must not import a protocol or HTTP.
"""

from collections.abc import Mapping
from enum import StrEnum

import attrs
import orjson

from runflow_mcp.bounds import MAX_ERROR_TEXT, MAX_UPLOAD_TEXT, truncate
from runflow_mcp.json_types import JSON


class RejectionCode(StrEnum):
    """``error.data.code`` of a rejection."""

    BAD_REQUEST = "bad_request"
    HOST_REJECTED = "host_rejected"
    ORIGIN_REJECTED = "origin_rejected"
    BODY_TOO_LARGE = "body_too_large"
    BODY_TIMEOUT = "body_timeout"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    HEAD_TOO_LARGE = "head_too_large"
    MISSING_AUTHORIZATION = "missing_authorization"
    MALFORMED_AUTHORIZATION = "malformed_authorization"
    RATE_LIMITED = "rate_limited"


HTTP_STATUS: Mapping[RejectionCode, int] = {
    RejectionCode.BAD_REQUEST: 400,
    RejectionCode.HOST_REJECTED: 403,
    RejectionCode.ORIGIN_REJECTED: 403,
    RejectionCode.BODY_TOO_LARGE: 413,
    RejectionCode.BODY_TIMEOUT: 408,
    RejectionCode.UNSUPPORTED_MEDIA_TYPE: 415,
    RejectionCode.HEAD_TOO_LARGE: 431,
    RejectionCode.MISSING_AUTHORIZATION: 401,
    RejectionCode.MALFORMED_AUTHORIZATION: 401,
    RejectionCode.RATE_LIMITED: 429,
}


@attrs.define
class Rejection(Exception):
    """A request rejected before its handler ran. ``message`` says what is wrong and what to do, for a person."""

    code: RejectionCode
    message: str
    retry_after_seconds: int | None = None

    @property
    def status(self) -> int:
        return HTTP_STATUS[self.code]

    def envelope(self, request_id: str) -> bytes:
        """The JSON body. ``id`` is null because the request was not parsed; some clients drop a body without it."""
        data: dict[str, object] = {"code": self.code.value, "request_id": request_id}
        if self.retry_after_seconds is not None:
            data["retry_after_seconds"] = self.retry_after_seconds
        error = {"code": self.status, "message": self.message, "data": data}
        return orjson.dumps({"jsonrpc": "2.0", "id": None, "error": error})


class ToolErrorCode(StrEnum):
    """The tool-error codes of this server; any other code comes from upstream, in lower case."""

    POLLING_TIMEOUT = "polling_timeout"
    SERVER_DRAINING = "server_draining"
    SERVER_BUSY = "server_busy"
    INSUFFICIENT_CREDITS = "insufficient_credits"
    UNAUTHORIZED = "unauthorized"
    MODEL_NOT_FOUND = "model_not_found"
    LOCAL_FILE = "local_file"
    UPLOAD_NEEDED = "upload_needed"
    RUN_FAILED = "run_failed"
    RUN_CANCELLED = "run_cancelled"
    INVALID_ARGUMENTS = "invalid_arguments"
    CATALOG_FETCH_FAILED = "catalog_fetch_failed"
    GENERATE_FAILED = "generate_failed"


#: code → what to do next, as one imperative sentence. A contract test compares the README's table with this one.
NEXT_ACTION: Mapping[str, str] = {
    "polling_timeout": "Call generate again with the same model and client_ref to keep waiting for this run, "
    "or poll it over REST by its run id.",
    "server_draining": "Call generate again in a few seconds with the same model, input and client_ref; "
    "any replica finds the run and continues.",
    "server_busy": "Try again shortly, or call with wait=false and fetch the result later.",
    "insufficient_credits": "Top up the Runflow account balance, then retry.",
    "unauthorized": "Check the API key in the client's configuration: Runflow does not accept it.",
    "model_not_found": "Use the exact model name from list_models and call again.",
    "local_file": 'Call generate again with each file as "<path>#bytes=<size>", where size is its length in bytes.',
    "upload_needed": "Upload each file in a shell with its curl line, then call generate again with the same model "
    "and client_ref and with those inputs set to their runflow-upload:// values.",
    "run_failed": "Fix the input and call again with a new client_ref; the old one returns this failed run.",
    "run_cancelled": "Call again with a new client_ref if you still need the run; "
    "the old one returns this cancelled run.",
    "invalid_arguments": "Correct the named arguments and call again; nothing was started.",
    "catalog_fetch_failed": "Try again in a minute; generate still works if you know the model's name.",
    "generate_failed": "Call again with the same client_ref: an existing run is found and not billed twice.",
    "validation_error": "Correct the named inputs and call again.",
    "permission_denied": "Use an API key that is allowed to do this.",
    "email_not_verified": "Verify the e-mail address of the Runflow account, then retry.",
    "conflict": "Call again with the same model and client_ref to get the existing run, "
    "or with a new client_ref to start a new one.",
    "rate_limited": "Wait a moment, then call again with the same client_ref.",
    "model_unavailable": "Try again later with the same client_ref, or choose another model from list_models.",
}
#: The next action for upstream codes that are not in the table.
OTHER_NEXT_ACTION = "Read the message and details, fix the cause, and call again with the same client_ref."
#: The next action for a ``generate_failed`` without a code of upstream's, when a repetition would be refused again.
REFUSED_NEXT_ACTION = (
    "Correct what the message names before calling again with the same client_ref; an unchanged call is refused again."
)


@attrs.define
class ToolError(Exception):
    """A tool that failed; rendered as a result with ``isError``.

    ``hints``: further lines of the text, which is all that common hosts show the model of an error. ``refused``:
    upstream refused the request, and would refuse it again.
    """

    code: str
    message: str
    upstream_status: int | None = None
    details: dict[str, JSON] = attrs.field(factory=dict)
    hints: tuple[str, ...] = ()
    refused: bool = False

    @property
    def next_action(self) -> str:
        if self.refused and self.code == ToolErrorCode.GENERATE_FAILED:
            return REFUSED_NEXT_ACTION
        return NEXT_ACTION.get(self.code, OTHER_NEXT_ACTION)

    def result(self, request_id: str) -> dict[str, JSON]:
        """The ``tools/call`` result of this error."""
        error = {
            "code": str(self.code),
            "message": truncate(self.message),
            "upstream_status": self.upstream_status,
            "next_action": self.next_action,
            "details": {**self.details, "request_id": request_id},
        }
        text = "\n".join((f"[{self.code}] {self.message}", self.next_action, *self.hints))
        limit = MAX_UPLOAD_TEXT if self.code == ToolErrorCode.UPLOAD_NEEDED else MAX_ERROR_TEXT
        return {
            "content": [{"type": "text", "text": truncate(text, limit)}],
            "structuredContent": {"error": error},
            "isError": True,
        }
