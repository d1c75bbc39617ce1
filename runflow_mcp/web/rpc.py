"""The JSON-RPC endpoint: one POST in, one response out, for a request alone or for a batch.

Methods are implemented in ``methods``; keys, limits and allowlists are checked by the middlewares before.
"""

import asyncio
from collections.abc import Mapping
from typing import TypeGuard, assert_never

import attrs
from aiohttp import web

from runflow_mcp.methods import router
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.inflight import PendingAnswer
from runflow_mcp.observability.record import CallRecord, client_name, jsonrpc_outcome, trace_id_of
from runflow_mcp.protocol import jsonrpc
from runflow_mcp.protocol.http_status import CLASSIFY_ERROR_STATUS, http_status
from runflow_mcp.protocol.inbound import RoutingHeaders, classify
from runflow_mcp.protocol.jsonrpc import (
    Batch,
    ErrorCode,
    Malformed,
    Message,
    Notification,
    ProtocolError,
    Request,
    Response,
)
from runflow_mcp.protocol.meta import NOTIFICATIONS, read_client_info, read_meta
from runflow_mcp.protocol.progress import read_progress_token
from runflow_mcp.protocol.revisions import ProtocolContext
from runflow_mcp.web.app_keys import (
    ADMISSION,
    BATCH_RECORDS,
    BEARER,
    LIMITS,
    METHODS,
    RECORD,
    REQUEST_ID,
    SERVICES,
)
from runflow_mcp.web.body import read_json_body
from runflow_mcp.web.reply import Reply
from runflow_mcp.web.responses import oauth_style_error, protocol_error_response

_TRACE_HEADERS = ("traceparent", "tracestate")
#: W3C limits tracestate to 512 characters; a longer value is not trace context.
_MAX_TRACE = 512
_NO_TRACE: Mapping[str, str] = {}
_ACCEPTED = 202


@attrs.frozen
class Exchange:
    """One POST that is being answered: what all entries of its batch share, or its only request has."""

    http_request: web.Request
    protocol: ProtocolContext
    reply: Reply
    #: ``Clock.monotonic`` at arrival.
    arrived: float

    async def answer(self, message: Request, record: CallRecord) -> tuple[bytes, int]:
        """The response to a request, and the HTTP status to send with it if nothing has been sent yet."""
        try:
            result = await router.handle(self.http_request.app[METHODS], message, self._context(message, record))
            return jsonrpc.render_result(message.id, result), 200
        except ProtocolError as error:
            record.error_code = jsonrpc_outcome(error.code)
            return jsonrpc.render_error(message.id, error), http_status(error.code, self.protocol)

    async def answer_entry(self, message: Message, record: CallRecord) -> bytes | None:
        """The response to an entry of a batch; None for a notification or a response."""
        match message:
            case Request(method="initialize"):
                error = ProtocolError(ErrorCode.INVALID_REQUEST, "initialize must be sent on its own, not in a batch.")
                return _rejected_entry(error, message.id, record)
            case Request():
                body, _status = await self.answer(message, record)
                return body
            case Malformed():
                return _rejected_entry(message.error, message.id, record)
            case Notification() | Response():
                return None
            case _:
                assert_never(message)

    def _context(self, message: Request, record: CallRecord) -> RequestContext:
        trace = _trace_context(message, self.http_request)
        record.trace_id = trace_id_of(trace.get("traceparent"))
        record.client, record.client_version = map(client_name, read_client_info(message))
        return RequestContext(
            request_id=self.http_request[REQUEST_ID],
            bearer=self.http_request[BEARER],
            protocol=self.protocol,
            arrived=self.arrived,
            trace=trace,
            channel=self.reply,
            pending_answer=self.reply.pending_answer,
            services=self.http_request.app[SERVICES],
            record=record,
            progress_token=read_progress_token(message.params),
        )


async def handle(request: web.Request) -> web.StreamResponse:
    """The handler of the endpoint, for every HTTP method."""
    record = request[RECORD]
    if request.method != "POST":
        # Stateless: there is no stream to listen to and no session to delete.
        record.error_code = "method_not_allowed"
        description = "Send JSON-RPC messages with POST."
        return oauth_style_error(405, record.error_code, description, allow="POST, OPTIONS")
    services = request.app[SERVICES]
    arrived = services.clock.monotonic()
    # The body has no name here: its bytes must not stay in memory while the message is answered.
    message = jsonrpc.parse(await read_json_body(request, services.config.max_body_bytes))
    record.method = _logged_method(message, request.app[METHODS])
    if isinstance(message, Malformed):
        record.error_code = jsonrpc_outcome(message.error.code)
        return protocol_error_response(message.error, message.id, http_status(message.error.code))
    protocol = classify(message, _routing_headers(request))
    if isinstance(protocol, ProtocolError):
        record.error_code = jsonrpc_outcome(protocol.code)
        return protocol_error_response(
            protocol, message.id if isinstance(message, Request) else None, CLASSIFY_ERROR_STATUS
        )
    record.revision = protocol.revision.value
    with Reply(request, PendingAnswer(services.inflight)) as reply:
        exchange = Exchange(request, protocol, reply, arrived)
        match message:
            case Request():
                body, status = await exchange.answer(message, record)
                return await reply.finish([body], body, status)
            case Batch():
                await request.app[LIMITS].count_batch(request[ADMISSION], len(message.messages))
                return await _answer_batch(message, exchange)
            case Notification() | Response():
                return web.Response(status=_ACCEPTED)
            case _:
                assert_never(message)


async def _answer_batch(batch: Batch, exchange: Exchange) -> web.StreamResponse:
    """Answer with an array of responses or, once a wait has started a stream, with one event for each."""
    reply, table, services = exchange.reply, exchange.http_request.app[METHODS], exchange.http_request.app[SERVICES]
    records = [
        attrs.evolve(exchange.http_request[RECORD], method=_logged_method(message, table)) for message in batch.messages
    ]
    exchange.http_request[BATCH_RECORDS] = records
    ready: list[bytes] = []
    sent = 0

    async def answer(message: Message, record: CallRecord) -> bytes | None:
        nonlocal sent
        response = await exchange.answer_entry(message, record)
        record.bytes_out, record.ended = len(response or b""), services.clock.monotonic()
        if response is not None:
            ready.append(response)
            while reply.streaming and sent < len(ready):
                sent += 1
                await reply.send(ready[sent - 1])
        return response

    tasks = [asyncio.ensure_future(answer(*entry)) for entry in zip(batch.messages, records, strict=True)]
    try:
        responses = [response for response in await asyncio.gather(*tasks) if response is not None]
        if not responses:
            return web.Response(status=_ACCEPTED)
        return await reply.finish(ready[sent:], b"[" + b",".join(responses) + b"]")
    finally:
        for task in tasks:
            task.cancel()


def _rejected_entry(error: ProtocolError, id_: jsonrpc.Id | None, record: CallRecord) -> bytes:
    record.error_code = jsonrpc_outcome(error.code)
    return jsonrpc.render_error(id_, error)


def _logged_method(message: Message | Batch, table: router.MethodTable) -> str | None:
    """The method for the access line; "unknown" if it is not in the table, since it could be any text."""
    if isinstance(message, Notification):
        return message.method if message.method in NOTIFICATIONS else "unknown"
    if not isinstance(message, Request):
        return None
    return message.method if message.method in table else "unknown"


def _routing_headers(request: web.Request) -> RoutingHeaders:
    headers = request.headers
    return RoutingHeaders(
        version=tuple(headers.getall("MCP-Protocol-Version", ())),
        method=tuple(headers.getall("Mcp-Method", ())),
        name=tuple(headers.getall("Mcp-Name", ())),
    )


def _trace_context(message: Request, request: web.Request) -> Mapping[str, str]:
    """The trace context to send upstream: from ``_meta``, else from the headers."""
    meta = read_meta(message.params)
    source = meta if "traceparent" in meta else request.headers
    return {name: value for name in _TRACE_HEADERS if _is_trace(value := source.get(name))} or _NO_TRACE


def _is_trace(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= _MAX_TRACE and value.isascii() and value.isprintable()
