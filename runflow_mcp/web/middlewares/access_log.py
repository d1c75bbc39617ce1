"""The request id and the access line: one line per request, and one per entry of a batch.

Every request that was admitted under a key is logged; of all others, which anybody can send, the first ones of
each second are.
"""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.observability.record import CallRecord
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import (
    ADDRESS,
    ADMISSION,
    BATCH_RECORDS,
    BEARER,
    RECORD,
    REQUEST_ID,
    SERVICES,
    UNADMITTED_LOG,
)
from runflow_mcp.web.guards import log_path_of
from runflow_mcp.web.request_id import choose_request_id

log = structlog.get_logger(__name__)

#: The status logged when the client leaves before the response; nginx logs the same.
CLIENT_GONE = 499


def access_log(config: Config) -> Middleware:
    key_prefixes = tuple(f"{prefix}_" for prefix in config.accepted_key_prefixes)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[REQUEST_ID] = choose_request_id(request.headers.get("X-Request-Id"), key_prefixes)
        record = request[RECORD] = CallRecord()
        clock = request.app[SERVICES].clock
        started = clock.monotonic()
        status = CLIENT_GONE
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            # The rate limits bound the lines of admitted requests; of the others there can be thousands a second.
            if ADMISSION in request or request.app[UNADMITTED_LOG].count_line():
                ms = round((clock.monotonic() - started) * 1000, 1)
                for call in request.get(BATCH_RECORDS) or (record,):
                    _write_line(request, call, status, ms, key_prefixes)

    return middleware


def _write_line(
    request: web.Request, record: CallRecord, status: int, ms: float, key_prefixes: tuple[str, ...]
) -> None:
    bearer = request.get(BEARER)
    log.info(
        "request",
        request_id=request[REQUEST_ID],
        http_method=request.method,
        route=log_path_of(request),
        status=status,
        ms=ms,
        rpc=record.method,
        outcome=record.error_code or ("client_gone" if status == CLIENT_GONE else "ok"),
        key=bearer.fingerprint if bearer else None,
        address=request[ADDRESS],
        **record.details(key_prefixes),
    )
