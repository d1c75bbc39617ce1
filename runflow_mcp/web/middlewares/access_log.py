"""The request id and the access line: one line per request, and one per entry of a batch.

Every request that was admitted under a key is logged; of all others, which anybody can send, the first ones of
each second are.
"""

import asyncio
import logging
from typing import NamedTuple

import attrs
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.observability.record import CLIENT_GONE, CallRecord
from runflow_mcp.observability.sink import Sink
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


class EndedCall(NamedTuple):
    """A call that has been answered. ``at``: the Unix time."""

    state: RequestState
    record: CallRecord
    http_method: str
    status: int
    seconds: float
    at: float

    def members(self, key_prefixes: tuple[str, ...]) -> dict[str, object]:
        """The members of its access line."""
        state, record = self.state, self.record
        return {
            "request_id": state.request_id,
            "http_method": self.http_method,
            "route": state.log_path,
            "status": self.status,
            "ms": round(self.seconds * 1000, 1),
            "bytes": record.bytes_out,
            "rpc": record.method,
            "outcome": record.error_code or "ok",
            "key": state.bearer.fingerprint if state.bearer else None,
            "address": state.address,
            **record.details(key_prefixes),
        }


@attrs.define
class AccessLines:
    """Writes the access lines of the calls that have ended in one turn of the event loop together, in the next one.

    One after another in the middle of other work, a line takes 14 µs of a busy server; together they take half of it,
    since the code that writes them stays in the processor's cache.
    """

    _key_prefixes: tuple[str, ...]
    _ended: list[EndedCall] = attrs.field(factory=list)

    def add(self, call: EndedCall) -> None:
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._write)
        self._ended.append(call)

    def _write(self) -> None:
        ended, self._ended = self._ended, []
        for call in ended:
            members = call.members(self._key_prefixes)
            quiet = call.state.guards.quiet and call.record.error_code is None
            sink = call.state.parts.sink
            if sink is not None and sink.lines is not None:
                sink.write(sink.lines.render("request", "debug" if quiet else "info", members, call.at))
            else:
                (log.debug if quiet else log.info)("request", **members)


def access_log(config: Config) -> Middleware:
    key_prefixes = tuple(f"{prefix}_" for prefix in config.accepted_key_prefixes)
    read_address = address_reader(config)
    access_lines = AccessLines(key_prefixes)
    parts: Parts | None = None  # found at the first request, which comes after the start

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal parts
        if parts is None:
            parts = Parts.of(request.app)
        resource = resource_of(request)
        services = parts.services
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
            wanted = _is_wanted(logging.DEBUG if quiet else logging.INFO, parts.sink)
            logged = wanted and (state.admitted_at is not None or parts.unadmitted_log.count_line())
            for call in state.batch_records or (record,):
                if status == CLIENT_CLOSED_REQUEST and call.error_code is None and call.ended is None:
                    call.error_code = CLIENT_GONE
                seconds = (now if call.ended is None else call.ended) - arrived
                services.metrics.call(call, seconds)
                if logged:
                    access_lines.add(EndedCall(state, call, request.method, status, seconds, services.clock.wall()))

    return middleware


def _is_wanted(level: int, sink: Sink | None) -> bool:
    """Whether lines of this level are logged; probes must not use up the lines of a second."""
    if sink is None or sink.lines is None:
        return bool(log.is_enabled_for(level))  # structlog's lazy proxy takes 2 µs
    return level >= sink.lines.min_level
