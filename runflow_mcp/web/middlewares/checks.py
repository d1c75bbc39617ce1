"""The middleware that runs the checks of a request's head.

The checks do not wait, so they are plain functions; a middleware for each would cost half a microsecond more.
"""

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.web.request_state import STATE, RequestState

#: Raises ``Rejection``, returns a response that answers the request, or returns None to let it pass.
Check = Callable[[web.Request, RequestState], web.StreamResponse | None]


def checks(*functions: Check) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        state = request[STATE]
        for check in functions:
            response = check(request, state)
            if response is not None:
                return response
        return await handler(request)

    return middleware
