"""The Origin allowlist: which web pages and browser extensions may call this server."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.settings.config import Config
from runflow_mcp.web.allowlists import expand_origins
from runflow_mcp.web.app_keys import ORIGIN
from runflow_mcp.web.guards import guards_of


def origin_guard(config: Config) -> Middleware:
    allowed = expand_origins(config.allowed_origins)
    any_origin = "*" in allowed

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        values = request.headers.getall("Origin", ())
        guards = guards_of(request)
        # An empty Origin counts as none.
        if values and any(map(str.strip, values)) and guards.allowlists and not guards.any_origin:
            origin = values[0].strip()
            # Every sandboxed page and local file sends null.
            is_allowed = origin.lower() != "null" and (any_origin or origin.lower() in allowed)
            if len(values) > 1 or not is_allowed:
                raise Rejection(
                    RejectionCode.ORIGIN_REJECTED,
                    "Pages and programs of this Origin may not call this server. Have its operator add the value of "
                    "the Origin header, such as https://app.example.com or chrome-extension://<id>, to "
                    "MCP_ALLOWED_ORIGINS (null is never allowed).",
                )
            request[ORIGIN] = origin
        return await handler(request)

    return middleware
