"""``resources/read``: a link of a result, which some hosts read back, is answered with itself.

Nothing is fetched: the media stay at their address, and a server that fetches what it is told to could be sent
anywhere.
"""

from runflow_mcp.methods.context import RequestContext
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.results import with_cache_hints
from runflow_mcp.protocol.revisions import Era, ProtocolContext
from runflow_mcp.runflow.reading.links import is_link

URI_LIST = "text/uri-list"
#: Characters of an unknown URI that its error repeats.
MAX_SHOWN_URI = 1024


async def read(request: Request, ctx: RequestContext) -> Result:
    """The content of an http(s) URI is the URI. Raises ``ProtocolError`` for any other."""
    uri = request.params.get("uri")
    if not isinstance(uri, str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param uri must be a string.")
    if not is_link(uri):
        raise _unknown(uri, ctx.protocol)
    content = {"uri": uri, "mimeType": URI_LIST, "text": uri}
    # A signed URL is its caller's, and asking again costs nothing.
    return with_cache_hints({"contents": [content]}, ctx.protocol, 0, scope="private")


def _unknown(uri: str, protocol: ProtocolContext) -> ProtocolError:
    code = ErrorCode.INVALID_PARAMS if protocol.era is Era.MODERN else ErrorCode.RESOURCE_NOT_FOUND
    message = "There is no such resource here; only http and https links of results can be read."
    return ProtocolError(code, message, {"uri": uri[:MAX_SHOWN_URI]})
