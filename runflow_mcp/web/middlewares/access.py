"""The request id and the one log line of every request."""

import re
import secrets

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from runflow_mcp.web.keys import ADDRESS, BEARER, REQUEST_ID, RPC_METHOD, SERVICES

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id_of(header: str | None) -> str:
    """The caller's X-Request-Id where it is 1–128 of ``[A-Za-z0-9._-]``, else a new one."""
    return header if header and _REQUEST_ID.fullmatch(header) else secrets.token_hex(8)


@web.middleware
async def access_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    request_id = request[REQUEST_ID] = request_id_of(request.headers.get("X-Request-Id"))
    clock = request.app[SERVICES].clock
    began = clock.monotonic()
    status = 499  # what stays when the client goes away
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        bearer = request.get(BEARER)
        log.info(
            "request",
            request_id=request_id,
            http_method=request.method,
            # The path as routed: what the caller wrote could hold anything, a key for one.
            route=getattr(request.match_info.route.resource, "canonical", None),
            status=status,
            ms=round((clock.monotonic() - began) * 1000, 1),
            rpc=request.get(RPC_METHOD),
            key=bearer.fingerprint if bearer else None,
            address=request[ADDRESS],
        )


async def stamp(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Give every response its request id, streams included; an ``on_response_prepare`` signal."""
    if REQUEST_ID in request:
        response.headers["X-Request-Id"] = request[REQUEST_ID]
    # What it is made of is nobody's business.
    response.headers["Server"] = "runflow-mcp"
