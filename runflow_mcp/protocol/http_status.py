"""The HTTP status of a JSON-RPC error, which applies as long as nothing of the response has been sent. Pure."""

from collections.abc import Mapping

from runflow_mcp.protocol.jsonrpc import ErrorCode
from runflow_mcp.protocol.revisions import ProtocolContext

#: The status of every error that ``inbound.classify`` returns, whatever its code.
CLASSIFY_ERROR_STATUS = 400
#: code → status of an error that the parser or a method makes.
HTTP_STATUS: Mapping[ErrorCode, int] = {
    ErrorCode.PARSE_ERROR: 400,
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.METHOD_NOT_FOUND: 200,  # or ``Features.unknown_method_status``
    ErrorCode.INVALID_PARAMS: 200,
    ErrorCode.INTERNAL_ERROR: 200,
    ErrorCode.RESOURCE_NOT_FOUND: 200,
    ErrorCode.HEADER_MISMATCH: 400,
    ErrorCode.MISSING_REQUIRED_CLIENT_CAPABILITY: 400,
    ErrorCode.UNSUPPORTED_PROTOCOL_VERSION: 400,
    ErrorCode.TOO_MANY_REQUESTS: 429,
}


def http_status(code: ErrorCode, protocol: ProtocolContext | None = None) -> int:
    """``protocol``: None for an error of the parser, which knows no revision."""
    if code is ErrorCode.METHOD_NOT_FOUND and protocol is not None:
        return protocol.features.unknown_method_status
    return HTTP_STATUS[code]
