"""The rate limits: requests that the bearer guard rejects count by address, all others by address and by key."""

from aiohttp import web
from aiohttp.typedefs import Handler

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.web.app_keys import ADDRESS, ADMISSION, BEARER, LIMITS

_UNAUTHENTICATED = frozenset({RejectionCode.MISSING_AUTHORIZATION, RejectionCode.MALFORMED_AUTHORIZATION})


@web.middleware
async def limit_unauthenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count what the bearer guard rejects: a 401 becomes a 429 once the window of its address is full."""
    try:
        return await handler(request)
    except Rejection as rejection:
        if rejection.code in _UNAUTHENTICATED:
            await request.app[LIMITS].count_unauthenticated(request[ADDRESS])
        raise


@web.middleware
async def limit_authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count a request with an acceptable bearer. ``rpc`` counts the further entries of a batch."""
    if BEARER in request:
        request[ADMISSION] = await request.app[LIMITS].count_authenticated(request[BEARER])
    return await handler(request)
