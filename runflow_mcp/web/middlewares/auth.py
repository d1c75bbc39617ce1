"""The bearer of a JSON-RPC request and its windows: both before the body is read.

One guard for the two, since which windows a request counts in depends on whether its bearer is acceptable.
"""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.credentials import parse_authorization
from runflow_mcp.errors import Rejection
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import ADDRESS, ADMISSION, BEARER, LIMITS, is_mcp


def bearer_guard(config: Config) -> Middleware:
    prefixes = config.accepted_key_prefixes

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_mcp(request):
            return await handler(request)
        limits = request.app[LIMITS]
        address = request[ADDRESS]
        try:
            authorization = request.headers.getall("Authorization", ())
            bearer = request[BEARER] = parse_authorization(authorization, prefixes, address)
        except Rejection:
            # Raises the 429 in place of the 401 once the window is full.
            await limits.count_unauthenticated(address)
            raise
        request[ADMISSION] = await limits.count_authenticated(bearer)
        return await handler(request)

    return middleware
