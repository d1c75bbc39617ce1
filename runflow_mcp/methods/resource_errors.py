"""The params and the errors of methods that take a resource's URI. Pure."""

from runflow_mcp.errors import ToolError
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request
from runflow_mcp.protocol.revisions import ProtocolContext

#: Maximum characters of a URI in an error.
MAX_SHOWN_URI = 1024


def read_uri(request: Request) -> str:
    """The request's param ``uri``; the other params are released."""
    uri = request.take_params().get("uri")
    if not isinstance(uri, str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param uri must be a string.")
    return uri


def shown_uri(uri: str) -> str:
    """A URI as it is shown in the ``data`` of an error."""
    return uri[:MAX_SHOWN_URI]


def not_found(message: str, uri: str, protocol: ProtocolContext) -> ProtocolError:
    """The error for a resource that does not exist, with the revision's code."""
    return ProtocolError(protocol.features.resource_not_found, message, {"uri": shown_uri(uri)})


def unavailable(error: ToolError, uri: str, request_id: str) -> ProtocolError:
    """The error for a resource that exists and could not be read; ``data.code`` is that of the tool error."""
    data = {
        "code": str(error.code),
        "upstream_status": error.upstream_status,
        "uri": shown_uri(uri),
        "request_id": request_id,
    }
    return ProtocolError(ErrorCode.INTERNAL_ERROR, error.message, data)
