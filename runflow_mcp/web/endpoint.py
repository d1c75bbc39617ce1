"""The one JSON-RPC route: body in, dispatch, answer out. Guards have run before it; meaning lies behind it."""

import asyncio

from aiohttp import web

from runflow_mcp.methods.call import Call
from runflow_mcp.methods.dispatch import dispatch
from runflow_mcp.protocol import jsonrpc
from runflow_mcp.protocol.jsonrpc import Batch, Code, Malformed, Message, ProtocolError, Request
from runflow_mcp.protocol.progress import token_of
from runflow_mcp.protocol.revisions import BATCHING, Revision, classify
from runflow_mcp.web.keys import ADMISSION, BEARER, LIMITS, METHODS, REQUEST_ID, RPC_METHOD, SERVICES
from runflow_mcp.web.middlewares.body import read_body
from runflow_mcp.web.middlewares.rejections import plain_error
from runflow_mcp.web.reply import Reply

_ALLOWED = "POST, OPTIONS"
#: Errors of a message that was not read as a request; every other error is an ordinary answer at 200.
_BAD_REQUEST = frozenset({Code.PARSE_ERROR, Code.INVALID_REQUEST})
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
    message = jsonrpc.parse(await read_body(request, services.config.max_body_bytes))
    if isinstance(message, Request):
        request[RPC_METHOD] = message.method
    if isinstance(message, Malformed):
        return _error(message.error, message.id)
    try:
        revision = classify(
            request.headers.get("MCP-Protocol-Version"),
            message.method if isinstance(message, Request) else None,
        )
        if isinstance(message, Batch) and revision not in BATCHING:
            raise ProtocolError(
                Code.INVALID_REQUEST,
                "This revision takes one message a request; arrays ended with 2025-03-26.",
            )
    except ProtocolError as fault:
        return _error(fault, message.id if isinstance(message, Request) else None)
    if isinstance(message, Batch):
        await request.app[LIMITS].batch(request[ADMISSION], len(message.messages))
        return await _answer_batch(message, request, revision, arrived)
    if not isinstance(message, Request):
        return web.Response(status=202)
    reply = Reply(request)
    try:
        body = await _answer(message, request, reply, revision, arrived)
        return await reply.finish([body], body)
    finally:
        reply.close()


def _error(fault: ProtocolError, id_: jsonrpc.Id | None) -> web.Response:
    status = 400 if fault.code in _BAD_REQUEST else 200
    return web.Response(status=status, body=jsonrpc.render_error(id_, fault), content_type="application/json")


async def _answer(message: Request, request: web.Request, reply: Reply, revision: Revision, arrived: float) -> bytes:
    """The response to one request, whatever happens in its handler."""
    call = Call(
        request_id=request[REQUEST_ID],
        bearer=request[BEARER],
        revision=revision,
        arrived=arrived,
        trace=_trace(message, request),
        channel=reply,
        services=request.app[SERVICES],
        progress_token=token_of(message.params),
    )
    try:
        result = await dispatch(request.app[METHODS], message, call)
    except ProtocolError as fault:
        return jsonrpc.render_error(message.id, fault)
    return jsonrpc.render_result(message.id, result)


def _trace(message: Request, request: web.Request) -> dict[str, str]:
    """The trace context to send on: the request's own, in ``_meta`` or else in the headers."""
    meta = message.params.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    found = {name: meta.get(name, request.headers.get(name)) for name in _TRACE_HEADERS}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, str) and len(value) <= _MAX_TRACE and value.isascii() and value.isprintable()
    }


async def _answer_batch(batch: Batch, request: web.Request, revision: Revision, arrived: float) -> web.StreamResponse:
    """An array of responses; or, once a wait has opened a stream, one event for each as it is ready."""
    reply = Reply(request)
    ready: list[bytes] = []
    sent = 0

    async def answer(message: Message) -> bytes | None:
        nonlocal sent
        response = await _entry(message, request, reply, revision, arrived)
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
        reply.close()


async def _entry(
    message: Message, request: web.Request, reply: Reply, revision: Revision, arrived: float
) -> bytes | None:
    if isinstance(message, Malformed):
        return jsonrpc.render_error(message.id, message.error)
    if not isinstance(message, Request):
        return None
    if message.method == "initialize":
        fault = ProtocolError(Code.INVALID_REQUEST, "initialize must be sent on its own, not in a batch.")
        return jsonrpc.render_error(message.id, fault)
    return await _answer(message, request, reply, revision, arrived)
