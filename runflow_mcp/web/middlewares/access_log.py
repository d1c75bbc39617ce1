"""The request id and the access line: one line per request, and one per entry of a batch.

Every request that was admitted under a key is logged; of all others, which anybody can send, the first ones of
each second are.
"""

import logging

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.observability.json_lines import JSONLines
from runflow_mcp.observability.record import CLIENT_GONE, CallRecord
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import Parts
from runflow_mcp.web.guards import UNMATCHED, resource_of
from runflow_mcp.web.json_response import JSONResponse
from runflow_mcp.web.middlewares.address_reader import address_reader
from runflow_mcp.web.request_id import choose_request_id
from runflow_mcp.web.request_state import STATE, RequestState

log = structlog.get_logger(__name__)

#: Responses that are written once the handler has returned them.
_WITH_BODY = (JSONResponse, web.Response)

#: The status logged when the client leaves before the response; nginx logs the same.
CLIENT_CLOSED_REQUEST = 499


def access_log(config: Config) -> Middleware:
    key_prefixes = tuple(f"{prefix}_" for prefix in config.accepted_key_prefixes)
    read_address = address_reader(config)
    parts: Parts | None = None  # found at the first request, which comes after the start

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
            "bytes": record.bytes_out,
            "rpc": record.method,
            "outcome": record.error_code or "ok",
            "key": state.bearer.fingerprint if state.bearer else None,
            "address": state.address,
            **record.details(key_prefixes),
        }

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal parts
        if parts is None:
            parts = Parts.of(request.app)
        resource = resource_of(request)
        services, sink = parts.services, parts.sink
        lines = None if sink is None else sink.lines
        arrived = services.clock.monotonic()
        request_id = choose_request_id(request.headers.get("X-Request-Id"), key_prefixes)
        record = CallRecord(request_id=request_id, key_prefixes=key_prefixes)
        state = request[STATE] = RequestState(
            request_id,
            read_address(request),
            UNMATCHED if resource is None else resource.guards,
            None if resource is None else resource.log_path,
            parts,
            arrived,
            record,
        )
        status = CLIENT_CLOSED_REQUEST
        try:
            response = await handler(request)
            status = response.status
            if isinstance(response, _WITH_BODY) and not response.prepared and isinstance(response.body, bytes):
                record.bytes_out = len(response.body)
            return response
        finally:
            now = services.clock.monotonic()
            quiet = state.guards.quiet and record.error_code is None
            # The rate limits bound the lines of admitted requests; of the others there can be thousands a second.
            wanted = _is_wanted(logging.DEBUG if quiet else logging.INFO, lines)
            logged = wanted and (state.admitted_at is not None or parts.unadmitted_log.count_line())
            for call in state.batch_records or (record,):
                if status == CLIENT_CLOSED_REQUEST and call.error_code is None and call.ended is None:
                    call.error_code = CLIENT_GONE
                seconds = (now if call.ended is None else call.ended) - arrived
                services.metrics.call(call, seconds)
                if logged:
                    line = members(request, state, call, status=status, ms=round(seconds * 1000, 1))
                    if sink is not None and lines is not None:
                        sink.write(lines.render("request", "debug" if quiet else "info", line))
                    else:
                        (log.debug if quiet else log.info)("request", **line)

    return middleware


def _is_wanted(level: int, lines: JSONLines | None) -> bool:
    """Whether lines of this level are logged; probes must not use up the lines of a second."""
    # Asking structlog's lazy proxy takes 2 µs.
    return log.is_enabled_for(level) if lines is None else level >= lines.min_level
