"""The Origin allowlist: which web pages and browser extensions may call this server."""

from aiohttp import web

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.settings.config import Config
from runflow_mcp.web.allowlists import expand_origins
from runflow_mcp.web.middlewares.checks import Check
from runflow_mcp.web.request_state import RequestState


def origin_check(config: Config) -> Check:
    allowed = expand_origins(config.allowed_origins)
    any_origin = "*" in allowed

    def check(request: web.Request, state: RequestState) -> None:
        if "Origin" not in request.headers:
            return
        values = request.headers.getall("Origin")
        # An empty Origin counts as none.
        if not any(map(str.strip, values)) or not state.guards.allowlists or state.guards.any_origin:
            return
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
        state.origin = origin

    return check
