"""Who the request is from, for the limits and the log."""

from collections.abc import Sequence
from functools import lru_cache

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.config import Config
from runflow_mcp.web.client_address import client_address
from runflow_mcp.web.keys import ADDRESS

log = structlog.get_logger(__name__)

#: Callers come again and again; parsing their address costs more than finding it.
_CACHED = 4096


def address_of_caller(config: Config) -> Middleware:
    trusted = config.trusted_proxies
    warned = False

    @lru_cache(maxsize=_CACHED)
    def resolve(peer: str, forwarded: Sequence[str]) -> str:
        return client_address(peer, forwarded, trusted)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal warned
        peer = request.remote or ""
        forwarded = tuple(request.headers.getall("X-Forwarded-For", ()))
        address = request[ADDRESS] = resolve(peer, forwarded if trusted else ())
        if forwarded and not warned and address == resolve(peer, ()):
            # All users behind an unlisted proxy share one window, and would be refused together.
            warned = True
            log.warning("forwarded_for_ignored", peer=peer, fix="if it is your proxy, list it in MCP_TRUSTED_PROXIES")
        return await handler(request)

    return middleware
