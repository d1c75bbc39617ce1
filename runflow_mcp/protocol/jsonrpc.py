"""JSON-RPC 2.0: parses bytes into typed messages, and renders results, errors and notifications.

Pure; the shapes are those of https://www.jsonrpc.org/specification as MCP narrows them (ids are strings or
integers, params are objects). Knows nothing of methods, revisions or HTTP.
"""

from collections.abc import Mapping
from enum import IntEnum

import attrs
import orjson

from runflow_mcp import lenient_json
from runflow_mcp.bounds import MAX_ID_BYTES, truncate
from runflow_mcp.json_types import JSON, JSONObject

Id = str | int

#: The result of a method: a JSON object, whose values may have been serialised earlier (``orjson.Fragment``).
Result = Mapping[str, JSON]

#: Entries of one batch; each counts in the rate limits.
MAX_BATCH = 50


class ErrorCode(IntEnum):
    """The error codes that this server emits: those of JSON-RPC 2.0, four of MCP, and one of HTTP."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    #: MCP up to 2025-11-25, "Resources"; later revisions have INVALID_PARAMS for it.
    RESOURCE_NOT_FOUND = -32002
    #: MCP 2026-07-28, "Error Codes".
    HEADER_MISMATCH = -32020
    MISSING_REQUIRED_CLIENT_CAPABILITY = -32021
    UNSUPPORTED_PROTOCOL_VERSION = -32022
    #: Outside the range that JSON-RPC reserves: the HTTP status, as in the rejections before a handler runs.
    TOO_MANY_REQUESTS = 429


@attrs.define
class ProtocolError(Exception):
    """A JSON-RPC error; ``message`` is meant for people, ``data`` for programs."""

    code: ErrorCode
    message: str
    data: JSON = None


def internal_error(request_id: str) -> ProtocolError:
    """The error that reports an unexpected exception and shows nothing of it."""
    message = f"An internal error occurred; the server's log has it under {request_id}."
    return ProtocolError(ErrorCode.INTERNAL_ERROR, message)


@attrs.define
class Request:
    """A call, to be answered under its ``id``."""

    id: Id
    method: str
    params: JSONObject

    def take_params(self) -> JSONObject:
        """Return the params and drop them: in memory they take up to 20 times their bytes, too much for a wait."""
        params, self.params = self.params, {}
        return params


@attrs.frozen
class Notification:
    """A message that gets no answer."""

    method: str
    params: JSONObject


@attrs.frozen
class Response:
    """A client's answer to a server's request. This server sends no requests, so it is accepted and dropped."""


@attrs.frozen
class Malformed:
    """Anything that is not a valid message; ``id`` if it has a valid one."""

    error: ProtocolError
    id: Id | None = None


Message = Request | Notification | Response | Malformed


@attrs.frozen
class Batch:
    """An array of messages, in order (2025-03-26 only)."""

    messages: tuple[Message, ...]


def parse(body: bytes) -> Message | Batch:
    """Read one POST body."""
    try:
        value = lenient_json.loads_message(body)
    except UnicodeDecodeError:
        return Malformed(ProtocolError(ErrorCode.PARSE_ERROR, "The body is not UTF-8 text; JSON is sent as UTF-8."))
    except orjson.JSONDecodeError as error:
        return Malformed(
            ProtocolError(ErrorCode.PARSE_ERROR, f"The body is not JSON: {error.msg} at byte {error.pos}.")
        )
    if not isinstance(value, list):
        return _message(value)
    if not value:
        return _invalid("The batch is empty; send at least one request.")
    if len(value) > MAX_BATCH:
        return _invalid(f"The batch has {len(value)} entries; send at most {MAX_BATCH}.")
    return Batch(tuple(_message(entry) for entry in value))


def _invalid(message: str, id_: Id | None = None) -> Malformed:
    return Malformed(ProtocolError(ErrorCode.INVALID_REQUEST, message), id_)


def is_id(value: JSON) -> bool:
    """Whether a value can be a request id. Booleans cannot, although Python counts them as integers."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace")) <= MAX_ID_BYTES
    return isinstance(value, int) and not isinstance(value, bool)


def _message(value: JSON) -> Message:
    if not isinstance(value, dict):
        return _invalid("A message is a JSON object with jsonrpc, id, method and params.")
    id_ = value.get("id")
    valid_id = id_ if type(id_) is int or is_id(id_) else None
    if value.get("jsonrpc") != "2.0":
        return _invalid('The member "jsonrpc" must be the string "2.0".', valid_id)
    method = value.get("method")
    if method is None and ("result" in value or "error" in value):
        return Response()
    if not isinstance(method, str):
        return _invalid('The member "method" must be a string.', valid_id)
    params = value.get("params")
    if "id" not in value:
        return Notification(method, params if isinstance(params, dict) else {})
    if valid_id is None:
        return _invalid(f'The member "id" must be an integer, or a string of at most {MAX_ID_BYTES} bytes.')
    if params is not None and not isinstance(params, dict):
        return Malformed(ProtocolError(ErrorCode.INVALID_PARAMS, 'The member "params" must be an object.'), valid_id)
    return Request(valid_id, method, params or {})


def render_result(id_: Id, result: Result) -> bytes:
    """The response with a result."""
    return orjson.dumps({"jsonrpc": "2.0", "id": id_, "result": result})


def render_error(id_: Id | None, error: ProtocolError) -> bytes:
    """The response with an error. An unknown id is left out: null is invalid in every MCP schema."""
    envelope: dict[str, JSON] = {"jsonrpc": "2.0"}
    if id_ is not None:
        envelope["id"] = id_
    body: dict[str, JSON] = {"code": int(error.code), "message": truncate(error.message)}
    if error.data is not None:
        body["data"] = error.data
    envelope["error"] = body
    return orjson.dumps(envelope)


def render_notification(method: str, params: JSONObject) -> bytes:
    """A notification from the server."""
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params})
