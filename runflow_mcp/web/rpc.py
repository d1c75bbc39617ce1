"""The one JSON-RPC route: body in, dispatch, answer out. Guards have run before it; meaning lies behind it."""

import asyncio

from aiohttp import web

from runflow_mcp.bounds import has_too_many_values
from runflow_mcp.methods.context import Call
from runflow_mcp.methods.inflight import Answering
from runflow_mcp.methods.router import dispatch
from runflow_mcp.protocol import jsonrpc
from runflow_mcp.protocol.jsonrpc import Batch, Code, Malformed, Message, ProtocolError, Request
from runflow_mcp.protocol.progress import token_of
from runflow_mcp.protocol.revisions import Era, RoutingHeaders, Spoken, classify, http_status
from runflow_mcp.web.app_keys import ADMISSION, BEARER, LIMITS, METHODS, REQUEST_ID, RPC_METHOD, SERVICES
from runflow_mcp.web.middlewares.body import read_body, too_many_values
from runflow_mcp.web.middlewares.rejections import plain_error
from runflow_mcp.web.reply import Reply

_ALLOWED = "POST, OPTIONS"
_TRACE_HEADERS = ("traceparent", "tracestate")
#: W3C limits tracestate to 512 characters; what is longer is not trace context.
_MAX_TRACE = 512


async def endpoint(request: web.Request) -> web.StreamResponse:
    if request.method != "POST":
        # Stateless: there is no stream to listen to and no session to delete.
        response = plain_error(405, "method_not_allowed", "Send JSON-RPC messages with POST.")
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
        return _error(message.error, message.id, Era.LEGACY)
    try:
        spoken = classify(message, _routing_headers(request))
    except ProtocolError as fault:
        return _error(fault, message.id if isinstance(message, Request) else None, Era.LEGACY)
    if isinstance(message, Batch):
        await request.app[LIMITS].batch(request[ADMISSION], len(message.messages))
        return await _answer_batch(message, request, spoken, arrived)
    if not isinstance(message, Request):
        return web.Response(status=202)
    with Reply(request, Answering(services.waits)) as reply:
        try:
            call = _call(message, request, reply, spoken, arrived)
            body = jsonrpc.render_result(message.id, await dispatch(request.app[METHODS], message, call))
        except ProtocolError as fault:
            if not await reply.settle():
                return _error(fault, message.id, spoken.era)
            body = jsonrpc.render_error(message.id, fault)
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


def _error(fault: ProtocolError, id_: jsonrpc.Id | None, era: Era) -> web.Response:
    return web.Response(
        status=http_status(fault, era), body=jsonrpc.render_error(id_, fault), content_type="application/json"
    )


def _call(message: Request, request: web.Request, reply: Reply, spoken: Spoken, arrived: float) -> Call:
    return Call(
        request_id=request[REQUEST_ID],
        bearer=request[BEARER],
        spoken=spoken,
        arrived=arrived,
        trace=_trace(message, request),
        channel=reply,
        answering=reply.answering,
        services=request.app[SERVICES],
        progress_token=token_of(message.params),
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


async def _answer_batch(batch: Batch, request: web.Request, spoken: Spoken, arrived: float) -> web.StreamResponse:
    """An array of responses; or, once a wait has opened a stream, one event for each as it is ready."""
    with Reply(request, Answering(request.app[SERVICES].waits)) as reply:
        ready: list[bytes] = []
        sent = 0

        async def answer(message: Message) -> bytes | None:
            nonlocal sent
            response = await _entry(message, request, reply, spoken, arrived)
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


async def _entry(message: Message, request: web.Request, reply: Reply, spoken: Spoken, arrived: float) -> bytes | None:
    if isinstance(message, Malformed):
        return jsonrpc.render_error(message.id, message.error)
    if not isinstance(message, Request):
        return None
    if message.method == "initialize":
        fault = ProtocolError(Code.INVALID_REQUEST, "initialize must be sent on its own, not in a batch.")
        return jsonrpc.render_error(message.id, fault)
    try:
        call = _call(message, request, reply, spoken, arrived)
        return jsonrpc.render_result(message.id, await dispatch(request.app[METHODS], message, call))
    except ProtocolError as fault:
        return jsonrpc.render_error(message.id, fault)
