"""Finds the address that a request is limited and logged by."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import structlog
from aiohttp import web

from runflow_mcp.addresses import is_in, parse_address
from runflow_mcp.settings.config import Config
from runflow_mcp.web.client_address import client_address

log = structlog.get_logger(__name__)

#: Entries, and characters of X-Forwarded-For in one entry.
_CACHE_SIZE, _MAX_CACHED_LENGTH = 4096, 256


def address_reader(config: Config) -> Callable[[web.Request], str]:
    """A function that returns the address of a request's client: see ``client_address``."""
    trusted = config.trusted_proxies
    warned = False

    @lru_cache(maxsize=_CACHE_SIZE)
    def resolve(peer: str, forwarded: Sequence[str]) -> str:
        return client_address(peer, forwarded, trusted)

    @lru_cache(maxsize=_CACHE_SIZE)
    def is_proxy(peer: str) -> bool:
        address = parse_address(peer)
        return address is not None and is_in(address, trusted)

    def read(request: web.Request) -> str:
        nonlocal warned
        peer = request.remote or ""
        if "X-Forwarded-For" not in request.headers:
            return resolve(peer, ())
        forwarded = tuple(request.headers.getall("X-Forwarded-For"))
        if not is_proxy(peer):
            if not warned:
                # All users behind an unlisted proxy share one window, and are rejected together.
                warned = True
                fix = "if it is your proxy, list it in MCP_TRUSTED_PROXIES"
                log.warning("forwarded_for_ignored", peer=peer, fix=fix)
            return resolve(peer, ())
        # A caller chooses the length of the header, so long ones are not cached.
        short = sum(map(len, forwarded)) <= _MAX_CACHED_LENGTH
        return (resolve if short else resolve.__wrapped__)(peer, forwarded)

    return read
