"""The JSON-RPC endpoint: one POST in, one response out, for a request alone or for a batch.

Methods are implemented in ``methods``; keys, limits and allowlists are checked by the middlewares before.
"""

import asyncio
from collections.abc import Mapping
from typing import TypeGuard, assert_never

import attrs
from aiohttp import web

from runflow_mcp.credentials import Bearer
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods import router
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.router import MethodTable
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
from runflow_mcp.web.body import read_json_body
from runflow_mcp.web.json_response import answer_json
from runflow_mcp.web.reply import Reply
from runflow_mcp.web.request_state import STATE, RequestState
from runflow_mcp.web.responses import oauth_style_error

_TRACE_HEADERS = ("traceparent", "tracestate")
#: W3C limits tracestate to 512 characters; a longer value is not trace context.
_MAX_TRACE = 512
_NO_TRACE: Mapping[str, str] = {}
_NO_META: JSONObject = {}
_ACCEPTED = 202


@attrs.define(eq=False)
class Exchange:
    """One POST that is being answered: what all entries of its batch share, or its only request has."""

    http_request: web.Request
    state: RequestState
    bearer: Bearer
    protocol: ProtocolContext
    reply: Reply

    async def answer(self, message: Request, record: CallRecord) -> tuple[bytes, int]:
        """The response to a request, and the HTTP status to send with it if nothing has been sent yet."""
        try:
            result = await router.handle(self.state.parts.methods, message, self._context(message, record))
            return jsonrpc.render_result(message.id, result), 200
        except ProtocolError as error:
            record.error_code = jsonrpc_outcome(error.code)
            return jsonrpc.render_error(message.id, error), http_status(error.code, self.protocol)

    def _context(self, message: Request, record: CallRecord) -> RequestContext:
        # A function of its own: a waiting call must keep nothing of ``_meta``, which may be large.
        meta = read_meta(message.params) if "_meta" in message.params else _NO_META
        trace = _trace_context(meta, self.http_request)
        if trace:
            record.trace_id = trace_id_of(trace.get("traceparent"))
        if (meta or message.method == "initialize") and (info := read_client_info(message)) is not None:
            record.client, record.client_version = client_name(info.get("name")), client_name(info.get("version"))
        state = self.state
        return RequestContext(
            state.request_id,
            self.bearer,
            self.protocol,
            state.arrived,
            trace,
            self.reply,
            state.parts.services,
            read_progress_token(meta) if meta else None,
            record,
        )

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


async def handle(request: web.Request) -> web.StreamResponse:
    """The handler of the endpoint, for every HTTP method."""
    state = request[STATE]
    record, bearer = state.record, state.bearer
    if request.method != "POST" or bearer is None:
        # Stateless: there is no stream to listen to and no session to delete.
        record.error_code = "method_not_allowed"
        description = "Send JSON-RPC messages with POST."
        return oauth_style_error(405, record.error_code, description, allow="POST, OPTIONS")
    services, methods = state.parts.services, state.parts.methods
    # The body has no name here: its bytes must not stay in memory while the message is answered.
    message = jsonrpc.parse(await read_json_body(request, services.config.max_body_bytes))
    record.method = _logged_method(message, methods)
    if isinstance(message, Malformed):
        record.error_code = jsonrpc_outcome(message.error.code)
        body = jsonrpc.render_error(message.id, message.error)
        return answer_json(request, body, http_status(message.error.code))
    protocol = classify(message, _routing_headers(request))
    if isinstance(protocol, ProtocolError):
        record.error_code = jsonrpc_outcome(protocol.code)
        body = jsonrpc.render_error(message.id if isinstance(message, Request) else None, protocol)
        return answer_json(request, body, CLASSIFY_ERROR_STATUS)
    record.revision = protocol.revision
    reply = Reply(request, state.arrived, services.inflight)
    exchange = Exchange(request, state, bearer, protocol, reply)
    try:
        match message:
            case Request():
                body, status = await exchange.answer(message, record)
                return reply.finish_at_once(body, status) or await reply.finish((body,), body, status)
            case Batch():
                if state.admitted_at is not None:
                    await state.parts.limits.count_batch(bearer, state.admitted_at, len(message.messages))
                return await _answer_batch(message, exchange)
            case Notification() | Response():
                return web.Response(status=_ACCEPTED)
            case _:
                assert_never(message)
    finally:
        reply.close()


async def _answer_batch(batch: Batch, exchange: Exchange) -> web.StreamResponse:
    """Answer with an array of responses or, once a wait has started a stream, with one event for each."""
    reply, state = exchange.reply, exchange.state
    records = [
        attrs.evolve(state.record, method=_logged_method(message, state.parts.methods)) for message in batch.messages
    ]
    state.batch_records = records
    ready: list[bytes] = []
    sent = 0

    async def answer(message: Message, record: CallRecord) -> bytes | None:
        nonlocal sent
        response = await exchange.answer_entry(message, record)
        record.bytes_out, record.ended = len(response or b""), state.parts.services.clock.monotonic()
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


def _logged_method(message: Message | Batch, table: MethodTable) -> str | None:
    """The method for the access line; "unknown" if it is not in the table, since it could be any text."""
    if isinstance(message, Request):
        return message.method if message.method in table else "unknown"
    if isinstance(message, Notification):
        return message.method if message.method in NOTIFICATIONS else "unknown"
    return None


def _routing_headers(request: web.Request) -> RoutingHeaders:
    getall = request.headers.getall
    return RoutingHeaders(getall("MCP-Protocol-Version", ()), getall("Mcp-Method", ()), getall("Mcp-Name", ()))


def _trace_context(meta: JSONObject, request: web.Request) -> Mapping[str, str]:
    """The trace context to send upstream: from ``_meta``, else from the headers."""
    source: Mapping[str, JSON] = meta if "traceparent" in meta else request.headers
    if "traceparent" not in source and "tracestate" not in source:
        return _NO_TRACE
    return {name: value for name in _TRACE_HEADERS if _is_trace(value := source.get(name))} or _NO_TRACE


def _is_trace(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= _MAX_TRACE and value.isascii() and value.isprintable()
