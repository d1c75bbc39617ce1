"""Runs the checks that read nothing but the head of a request, all of them in one middleware.

A check is a function, not a middleware: a frame of the stack costs half a microsecond, and they do not wait.
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
