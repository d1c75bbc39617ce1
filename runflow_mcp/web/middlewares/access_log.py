"""The request id and the one log line of every request that a key stands behind, and of the first others."""

import re
import secrets

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import (
    ADDRESS,
    ADMISSION,
    BEARER,
    MCP_PATH,
    REFUSAL_LOG,
    REQUEST_ID,
    RPC_METHOD,
    SERVICES,
    is_mcp,
)

log = structlog.get_logger(__name__)

#: The Server header: what the server is made of is nobody's business.
SERVER = "runflow-mcp"
#: What is logged when the client goes away before there is an answer; nginx's own figure for it.
CLIENT_GONE = 499
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def make_request_id() -> str:
    return secrets.token_hex(8)


def access_log(config: Config) -> Middleware:
    key_prefixes = tuple(f"{prefix}_" for prefix in config.accepted_key_prefixes)

    def request_id_of(header: str | None) -> str:
        """The caller's X-Request-Id where it is 1–128 of ``[A-Za-z0-9._-]`` and no key, else a new one."""
        if header and _REQUEST_ID.fullmatch(header) and not any(prefix in header for prefix in key_prefixes):
            return header
        return make_request_id()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request[REQUEST_ID] = request_id_of(request.headers.get("X-Request-Id"))
        clock = request.app[SERVICES].clock
        began = clock.monotonic()
        status = CLIENT_GONE
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            # The windows bound the lines of admitted requests; of the others there can be thousands a second.
            if ADMISSION in request or request.app[REFUSAL_LOG].has_room():
                bearer = request.get(BEARER)
                log.info(
                    "request",
                    request_id=request_id,
                    http_method=request.method,
                    # The path as routed: what the caller wrote could hold anything, a key for one.
                    route=_route(request),
                    status=status,
                    ms=round((clock.monotonic() - began) * 1000, 1),
                    rpc=request.get(RPC_METHOD),
                    key=bearer.fingerprint if bearer else None,
                    address=request[ADDRESS],
                )

    return middleware


def _route(request: web.Request) -> str | None:
    return MCP_PATH if is_mcp(request) else getattr(request.match_info.route.resource, "canonical", None)


async def add_request_id(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Give every response its request id, streams included; an ``on_response_prepare`` signal."""
    if REQUEST_ID in request:
        response.headers["X-Request-Id"] = request[REQUEST_ID]
    response.headers["Server"] = SERVER
