"""The request id and the access line: one line per request, and one per entry of a batch.

Every request that was admitted under a key is logged; of all others, which anybody can send, the first ones of
each second are.
"""

import logging

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from structlog.typing import FilteringBoundLogger

from runflow_mcp.observability.record import CallRecord
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import SERVICES, UNADMITTED_LOG
from runflow_mcp.web.guards import UNMATCHED, resource_of
from runflow_mcp.web.middlewares.client_address import address_reader
from runflow_mcp.web.request_id import choose_request_id
from runflow_mcp.web.request_state import STATE, RequestState

#: The status logged when the client leaves before the response; nginx logs the same.
CLIENT_GONE = 499


def access_log(config: Config) -> Middleware:
    key_prefixes = tuple(f"{prefix}_" for prefix in config.accepted_key_prefixes)
    read_address = address_reader(config)
    # Bound once: structlog's lazy proxy takes 2 us for each line, filtered out or not.
    log: FilteringBoundLogger = structlog.get_logger(__name__).bind()
    enabled = log.is_enabled_for(logging.INFO)

    def members(
        request: web.Request, state: RequestState, record: CallRecord, *, status: int, ms: float
    ) -> dict[str, object]:
        """The members of one line."""
        return {
            "request_id": state.request_id,
            "http_method": request.method,
            "route": state.log_path,
            "status": status,
            "ms": ms,
            "rpc": record.method,
            "outcome": record.error_code or ("client_gone" if status == CLIENT_GONE else "ok"),
            "key": state.bearer.fingerprint if state.bearer else None,
            "address": state.address,
            **record.details(key_prefixes),
        }

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = resource_of(request)
        app = request.app
        state = request[STATE] = RequestState(
            choose_request_id(request.headers.get("X-Request-Id"), key_prefixes),
            read_address(request),
            UNMATCHED if resource is None else resource.guards,
            None if resource is None else resource.log_path,
            app,
        )
        clock = app[SERVICES].clock
        started = clock.monotonic()
        status = CLIENT_GONE
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            # The rate limits bound the lines of admitted requests; of the others there can be thousands a second.
            if (state.admitted_at is not None or app[UNADMITTED_LOG].count_line()) and enabled:
                ms = round((clock.monotonic() - started) * 1000, 1)
                for call in state.batch_records or (state.record,):
                    log.info("request", **members(request, state, call, status=status, ms=ms))

    return middleware
