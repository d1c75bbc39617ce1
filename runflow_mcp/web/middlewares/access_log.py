"""The request id, the access line and the count of each call: one per request, and one per entry of a batch.

Every request that was admitted under a key is logged; of all others, which anybody can send, the first ones of
each second are.
"""

import asyncio
import logging
from itertools import groupby
from operator import attrgetter
from typing import Literal, NamedTuple

import attrs
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.observability.metrics import Metrics
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


class AccessLine(NamedTuple):
    """What the line about an answered call is made of."""

    level: Literal["debug", "info"]
    state: RequestState
    record: CallRecord
    http_method: str
    status: int
    seconds: float

    def members(self, key_prefixes: tuple[str, ...]) -> dict[str, object]:
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
class EndedCalls:
    """Counts and logs the calls that have ended in one turn of the event loop together, in the next one.

    One after another in the middle of other work, a line takes 14 µs of a busy server and a count 3; together they
    take half of it, since the code for them stays in the processor's cache.
    """

    _metrics: Metrics
    _sink: Sink | None
    _key_prefixes: tuple[str, ...]
    _calls: list[tuple[CallRecord, float, AccessLine | None]] = attrs.field(factory=list)

    def add(self, record: CallRecord, seconds: float, line: AccessLine | None) -> None:
        if not self._calls:
            asyncio.get_running_loop().call_soon(self._report)
        self._calls.append((record, seconds, line))

    def _report(self) -> None:
        calls, self._calls = self._calls, []
        for record, seconds, _ in calls:
            self._metrics.call(record, seconds)
        lines = [line for _, _, line in calls if line is not None]
        for level, group in groupby(lines, attrgetter("level")):
            members = [line.members(self._key_prefixes) for line in group]
            if self._sink is not None and self._sink.lines is not None:
                self._sink.write(self._sink.lines.render_many("request", level, members))
            else:
                write = log.debug if level == "debug" else log.info
                for line in members:
                    write("request", **line)


def access_log(config: Config) -> Middleware:
    key_prefixes = tuple(f"{prefix}_" for prefix in config.accepted_key_prefixes)
    read_address = address_reader(config)
    # Both are made at the first request, which comes after the start.
    parts: Parts | None = None
    ended_calls: EndedCalls | None = None

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal parts, ended_calls
        if parts is None or ended_calls is None:
            parts = Parts.of(request.app)
            ended_calls = EndedCalls(parts.services.metrics, parts.sink, key_prefixes)
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
                if logged or services.metrics.recording:
                    seconds = (now if call.ended is None else call.ended) - arrived
                    line = None
                    if logged:
                        line = AccessLine("debug" if quiet else "info", state, call, request.method, status, seconds)
                    ended_calls.add(call, seconds, line)

    return middleware


def _is_wanted(level: int, sink: Sink | None) -> bool:
    """Whether lines of this level are logged; probes must not use up the lines of a second."""
    if sink is None or sink.lines is None:
        return bool(log.is_enabled_for(level))  # structlog's lazy proxy takes 2 µs
    return level >= sink.lines.min_level
