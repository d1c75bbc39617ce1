"""``resources/list`` and ``resources/read``. The resources at fixed URIs are rows of ``FIXED``.

Some hosts read the links of a result; the content of a link is its own URL. Nothing is fetched: the media stay at
their address, and a server that fetches any URL could be made to reach addresses inside its own network.
"""

from collections.abc import Callable

import orjson

from runflow_mcp.methods.context import RequestContext, Services
from runflow_mcp.methods.fixed_resources import FixedResource
from runflow_mcp.methods.pagination import reject_cursor
from runflow_mcp.methods.skills import skill_resource
from runflow_mcp.methods.view_resource import view_resource
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.results import with_cache_hints
from runflow_mcp.protocol.revisions import ProtocolContext
from runflow_mcp.runflow.reading.links import is_link

URI_LIST = "text/uri-list"
#: Characters of an unknown URI that the error repeats.
MAX_SHOWN_URI = 1024
#: The resources at fixed URIs, in the order of ``resources/list``. Each returns its current version, which it keeps
#: and does not make anew for each request.
FIXED: tuple[Callable[[Services], FixedResource], ...] = (skill_resource, view_resource)


async def list_resources(request: Request, ctx: RequestContext) -> Result:
    """``resources/list``: everything on one page."""
    reject_cursor(request.take_params())
    listings = [current(ctx.services).listing for current in FIXED]
    return _cached({"resources": orjson.Fragment(b"[" + b",".join(listings) + b"]")}, ctx)


async def read(request: Request, ctx: RequestContext) -> Result:
    """The content of a resource. Raises ``ProtocolError`` for an unknown URI."""
    uri = request.params.get("uri")
    if not isinstance(uri, str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param uri must be a string.")
    for current in FIXED:
        resource = current(ctx.services)
        if resource.answers(uri):
            return _cached({"contents": [resource.content(uri)]}, ctx)
    if not is_link(uri):
        raise _not_found(uri, ctx.protocol)
    content = {"uri": uri, "mimeType": URI_LIST, "text": uri}
    # Private and not cached: a signed URL belongs to its caller, and another read costs nothing.
    return with_cache_hints({"contents": [content]}, ctx.protocol, 0, scope="private")


def _cached(result: Result, ctx: RequestContext) -> Result:
    return with_cache_hints(result, ctx.protocol, round(ctx.services.skill.fresh_for() * 1000))


def _not_found(uri: str, protocol: ProtocolContext) -> ProtocolError:
    message = "This resource does not exist; only http and https links of results can be read."
    return ProtocolError(protocol.features.resource_not_found, message, {"uri": uri[:MAX_SHOWN_URI]})
