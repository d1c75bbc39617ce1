"""The bearer guard: a request without an acceptable API key is rejected before its body is read."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.credentials import parse_authorization
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import ADDRESS, BEARER
from runflow_mcp.web.guards import guards_of


def bearer_guard(config: Config) -> Middleware:
    prefixes = config.accepted_key_prefixes

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if guards_of(request).bearer:
            authorization = request.headers.getall("Authorization", ())
            request[BEARER] = parse_authorization(authorization, prefixes, request[ADDRESS])
        return await handler(request)

    return middleware
