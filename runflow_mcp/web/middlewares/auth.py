"""The bearer of a JSON-RPC request: read before the body is, and before anything is known of its method."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.config import Config
from runflow_mcp.credentials import parse_authorization
from runflow_mcp.web.keys import BEARER, is_mcp


def bearer_guard(config: Config) -> Middleware:
    prefixes = config.accepted_key_prefixes

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_mcp(request):
            request[BEARER] = parse_authorization(request.headers.getall("Authorization", ()), prefixes)
        return await handler(request)

    return middleware
