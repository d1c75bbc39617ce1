"""The way to the handler of the endpoint, found once at the start instead of for every request.

aiohttp looks for the route of each request, makes an object for the match, and looks up the handler with its
middlewares around it: a tenth of a short answer. A POST to the endpoint skips that; everything else is aiohttp's.
"""

from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler

from runflow_mcp.web.routes import MCP_PATH


def direct_handler(app: web.Application, other: Handler) -> Handler:
    """Handles a POST to the endpoint, and passes other requests to ``other``. ``app`` has its routes."""
    [resource] = (resource for resource in app.router.resources() if resource.canonical == MCP_PATH)
    [route] = resource
    match = web.UrlMappingMatchInfo({}, route)
    match.add_app(app)
    match.freeze()
    handler = route.handler
    for middleware in reversed(app.middlewares):
        handler = partial(middleware, handler=handler)

    async def handle(request: web.Request) -> web.StreamResponse:
        message = request._message  # noqa: SLF001 - its path is a string, whereas ``request.path`` parses a URL
        if message.path != MCP_PATH or message.method != "POST" or "Expect" in message.headers:
            return await other(request)
        request._match_info = match  # noqa: SLF001 - as aiohttp's Application sets it
        return await handler(request)

    return handle
