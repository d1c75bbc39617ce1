"""The request id and the access line: one line per request, and one per entry of a batch.

Every request that was admitted under a key is logged; of all others, which anybody can send, the first ones of
each second are.
"""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.observability.record import CLIENT_GONE, CallRecord
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
from runflow_mcp.web.guards import guards_of, log_path_of
from runflow_mcp.web.request_id import choose_request_id

log = structlog.get_logger(__name__)

#: The status logged when the client leaves before the response; nginx logs the same.
CLIENT_CLOSED_REQUEST = 499


def access_log(config: Config) -> Middleware:
    key_prefixes = tuple(f"{prefix}_" for prefix in config.accepted_key_prefixes)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request[REQUEST_ID] = choose_request_id(request.headers.get("X-Request-Id"), key_prefixes)
        record = request[RECORD] = CallRecord(request_id=request_id, key_prefixes=key_prefixes)
        services = request.app[SERVICES]
        started = services.clock.monotonic()
        status = CLIENT_CLOSED_REQUEST
        try:
            response = await handler(request)
            status = response.status
            if not response.prepared and isinstance(response, web.Response) and isinstance(response.body, bytes):
                record.bytes_out = len(response.body)
            return response
        finally:
            now = services.clock.monotonic()
            # The rate limits bound the lines of admitted requests; of the others there can be thousands a second.
            logged = ADMISSION in request or request.app[UNADMITTED_LOG].count_line()
            for call in request.get(BATCH_RECORDS) or (record,):
                if status == CLIENT_CLOSED_REQUEST and call.error_code is None:
                    call.error_code = CLIENT_GONE
                seconds = (now if call.ended is None else call.ended) - started
                services.metrics.call(call, seconds)
                if logged:
                    _write_line(request, call, status, round(seconds * 1000, 1), key_prefixes)

    return middleware


def _write_line(
    request: web.Request, record: CallRecord, status: int, ms: float, key_prefixes: tuple[str, ...]
) -> None:
    bearer = request.get(BEARER)
    write = log.debug if guards_of(request).quiet else log.info
    write(
        "request",
        request_id=request[REQUEST_ID],
        http_method=request.method,
        route=log_path_of(request),
        status=status,
        ms=ms,
        bytes=record.bytes_out,
        rpc=record.method,
        outcome=record.error_code or "ok",
        key=bearer.fingerprint if bearer else None,
        address=request[ADDRESS],
        **record.details(key_prefixes),
    )
