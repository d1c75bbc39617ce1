"""``resources/read``: some hosts read the links of a result; the content of a link is its own URL.

Nothing is fetched: the media stay at their address, and a server that fetches any URL could be made to reach
addresses inside its own network.
"""

from runflow_mcp.methods.context import RequestContext
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.results import with_cache_hints
from runflow_mcp.protocol.revisions import ProtocolContext
from runflow_mcp.runflow.reading.links import is_link

URI_LIST = "text/uri-list"
#: Characters of an unknown URI that the error repeats.
MAX_SHOWN_URI = 1024


async def read(request: Request, ctx: RequestContext) -> Result:
    """The content of an http(s) URI: the URI. Raises ``ProtocolError`` for any other URI."""
    uri = request.params.get("uri")
    if not isinstance(uri, str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param uri must be a string.")
    if not is_link(uri):
        raise _not_found(uri, ctx.protocol)
    content = {"uri": uri, "mimeType": URI_LIST, "text": uri}
    # Private and not cached: a signed URL belongs to its caller, and another read costs nothing.
    return with_cache_hints({"contents": [content]}, ctx.protocol, 0, scope="private")


def _not_found(uri: str, protocol: ProtocolContext) -> ProtocolError:
    message = "This resource does not exist; only http and https links of results can be read."
    return ProtocolError(protocol.features.resource_not_found, message, {"uri": uri[:MAX_SHOWN_URI]})
