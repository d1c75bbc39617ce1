"""CORS for browser clients of allowed origins: preflights, and the headers that let pages read responses."""

from aiohttp import web

from runflow_mcp.web.guards import ANY_ORIGIN_HEADERS
from runflow_mcp.web.request_state import STATE, RequestState

#: Request headers that MCP clients send.
_ALLOW_HEADERS = (
    "Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name, "
    "Last-Event-ID, X-Request-Id, traceparent, tracestate"
)
#: Response headers that a page may read in addition to those that CORS always allows.
_EXPOSE_HEADERS = "WWW-Authenticate, Retry-After, X-Request-Id"
#: Seconds for which a browser may remember a preflight (Chrome caps it at two hours).
_MAX_AGE = "7200"


def preflight(request: web.Request, state: RequestState) -> web.Response | None:
    """Answer OPTIONS on every path that exists."""
    if request.method != "OPTIONS" or isinstance(request.match_info.http_exception, web.HTTPNotFound):
        return None
    if state.guards.any_origin:
        return web.Response(status=204, headers={"Allow": "GET, HEAD, OPTIONS", **ANY_ORIGIN_HEADERS})
    response = web.Response(status=204, headers={"Allow": "POST, OPTIONS"})
    if state.origin is not None:
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        response.headers["Access-Control-Allow-Headers"] = _ALLOW_HEADERS
        response.headers["Access-Control-Max-Age"] = _MAX_AGE
    return response


async def add_cors_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Let an allowed origin read the response; an ``on_response_prepare`` signal."""
    state = request.get(STATE)
    if state is not None and state.origin is not None:
        response.headers["Access-Control-Allow-Origin"] = state.origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSE_HEADERS
        response.headers["Vary"] = "Origin"
