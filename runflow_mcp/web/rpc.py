"""The one JSON-RPC route: body in, dispatch, answer out. Guards have run before it; meaning lies behind it."""

import asyncio

from aiohttp import web

from runflow_mcp.bounds import has_too_many_values
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.inflight import PendingAnswer
from runflow_mcp.methods.router import handle
from runflow_mcp.protocol import jsonrpc
from runflow_mcp.protocol.http_status import REJECTED, http_status
from runflow_mcp.protocol.inbound import RoutingHeaders, classify
from runflow_mcp.protocol.jsonrpc import Batch, ErrorCode, Malformed, Message, ProtocolError, Request
from runflow_mcp.protocol.progress import read_progress_token
from runflow_mcp.protocol.revisions import ProtocolContext
from runflow_mcp.web.app_keys import ADMISSION, BEARER, LIMITS, METHODS, REQUEST_ID, RPC_METHOD, SERVICES
from runflow_mcp.web.middlewares.body import read_body, too_many_values
from runflow_mcp.web.middlewares.rejections import oauth_style_error
from runflow_mcp.web.reply import Reply

_ALLOWED = "POST, OPTIONS"
_TRACE_HEADERS = ("traceparent", "tracestate")
#: W3C limits tracestate to 512 characters; what is longer is not trace context.
_MAX_TRACE = 512


async def endpoint(request: web.Request) -> web.StreamResponse:
    if request.method != "POST":
        # Stateless: there is no stream to listen to and no session to delete.
        response = oauth_style_error(405, "method_not_allowed", "Send JSON-RPC messages with POST.")
        response.headers["Allow"] = _ALLOWED
        return response
    services = request.app[SERVICES]
    arrived = services.clock.monotonic()
    message = await _read(request, services.config.max_body_bytes)
    if isinstance(message, Request):
        known = any(message.method in methods for methods in request.app[METHODS].values())
        # Whatever else a caller calls a method must not fill the log.
        request[RPC_METHOD] = message.method if known else "unknown"
    if isinstance(message, Malformed):
        return _error(message.error, message.id, http_status(message.error.code))
    protocol = classify(message, _routing_headers(request))
    if isinstance(protocol, ProtocolError):
        return _error(protocol, message.id if isinstance(message, Request) else None, REJECTED)
    if isinstance(message, Batch):
        await request.app[LIMITS].count_batch(request[ADMISSION], len(message.messages))
        return await _answer_batch(message, request, protocol, arrived)
    if not isinstance(message, Request):
        return web.Response(status=202)
    with Reply(request, PendingAnswer(services.inflight)) as reply:
        try:
            call = _call(message, request, reply, protocol, arrived)
            body = jsonrpc.render_result(message.id, await handle(request.app[METHODS], message, call))
        except ProtocolError as error:
            if not await reply.stop_keepalive():
                return _error(error, message.id, http_status(error.code, protocol))
            body = jsonrpc.render_error(message.id, error)
        return await reply.finish([body], body)


async def _read(request: web.Request, cap: int) -> Message | Batch:
    """The message in the body, whose bytes are not kept while it is answered."""
    body = await read_body(request, cap)
    if has_too_many_values(body):
        raise too_many_values()
    return jsonrpc.parse(body)


def _routing_headers(request: web.Request) -> RoutingHeaders:
    headers = request.headers
    return RoutingHeaders(
        version=tuple(headers.getall("MCP-Protocol-Version", ())),
        method=tuple(headers.getall("Mcp-Method", ())),
        name=tuple(headers.getall("Mcp-Name", ())),
    )


def _error(error: ProtocolError, id_: jsonrpc.Id | None, status: int) -> web.Response:
    return web.Response(status=status, body=jsonrpc.render_error(id_, error), content_type="application/json")


def _call(
    message: Request, request: web.Request, reply: Reply, protocol: ProtocolContext, arrived: float
) -> RequestContext:
    return RequestContext(
        request_id=request[REQUEST_ID],
        bearer=request[BEARER],
        protocol=protocol,
        arrived=arrived,
        trace=_trace(message, request),
        channel=reply,
        pending_answer=reply.pending_answer,
        services=request.app[SERVICES],
        progress_token=read_progress_token(message.params),
    )


def _trace(message: Request, request: web.Request) -> dict[str, str]:
    """The trace context to send on: the request's own, in ``_meta`` or else in the headers."""
    meta = message.params.get("_meta")
    source = meta if isinstance(meta, dict) and "traceparent" in meta else request.headers
    found = {name: source.get(name) for name in _TRACE_HEADERS}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, str) and len(value) <= _MAX_TRACE and value.isascii() and value.isprintable()
    }


async def _answer_batch(
    batch: Batch, request: web.Request, protocol: ProtocolContext, arrived: float
) -> web.StreamResponse:
    """An array of responses; or, once a wait has opened a stream, one event for each as it is ready."""
    with Reply(request, PendingAnswer(request.app[SERVICES].inflight)) as reply:
        ready: list[bytes] = []
        sent = 0

        async def answer(message: Message) -> bytes | None:
            nonlocal sent
            response = await _entry(message, request, reply, protocol, arrived)
            if response is not None:
                ready.append(response)
                while reply.streaming and sent < len(ready):
                    sent += 1
                    await reply.send(ready[sent - 1])
            return response

        tasks = [asyncio.ensure_future(answer(message)) for message in batch.messages]
        try:
            responses = [one for one in await asyncio.gather(*tasks) if one is not None]
            if not responses:
                return web.Response(status=202)
            return await reply.finish(ready[sent:], b"[" + b",".join(responses) + b"]")
        finally:
            for task in tasks:
                task.cancel()


async def _entry(
    message: Message, request: web.Request, reply: Reply, protocol: ProtocolContext, arrived: float
) -> bytes | None:
    if isinstance(message, Malformed):
        return jsonrpc.render_error(message.id, message.error)
    if not isinstance(message, Request):
        return None
    if message.method == "initialize":
        error = ProtocolError(ErrorCode.INVALID_REQUEST, "initialize must be sent on its own, not in a batch.")
        return jsonrpc.render_error(message.id, error)
    try:
        call = _call(message, request, reply, protocol, arrived)
        return jsonrpc.render_result(message.id, await handle(request.app[METHODS], message, call))
    except ProtocolError as error:
        return jsonrpc.render_error(message.id, error)
