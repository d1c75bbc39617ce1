"""The middlewares: refusals become JSON, requests are recorded, scripted faults strike.

Owns no route; the faults themselves are values of ``faults``.
"""

import socket
import struct
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus

import attrs
import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.clock import Clock
from runflow_mcp.sandbox.faults import Answer, Delay, Fault, Faults, Hang, Reset, Truncate
from runflow_mcp.sandbox.keys import bearer, fingerprint
from runflow_mcp.sandbox.payload import Json
from runflow_mcp.sandbox.problems import Problem

#: The headers worth a test's attention; the bearer is recorded as a fingerprint alone.
RECORDED_HEADERS = (
    "Accept",
    "Content-Type",
    "Cookie",
    "Idempotency-Key",
    "If-None-Match",
    "Traceparent",
    "Tracestate",
    "User-Agent",
    "X-Organization-Id",
    "X-Request-Id",
)
TRUNCATED_LENGTH = 4096
TRUNCATED_BODY = b'{"id":"01'
#: SO_LINGER on, with no time to linger: closing sends a reset instead of an orderly end.
LINGER_RESET = struct.pack("ii", 1, 0)


@attrs.frozen(kw_only=True)
class SeenRequest:
    """What came in: ``key`` is the bearer's fingerprint, ``body`` parsed JSON, ``at`` monotonic time."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    key: str | None
    body: Json
    at: float


def answer_problems() -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            return _refusal(problem)
        except web.HTTPException as error:
            # aiohttp's own refusals are plain text: unknown routes, wrong methods, bodies over the cap.
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return _refusal(Problem(error.status, HTTPStatus(error.status).name, error.reason, headers=headers))

    return middleware


def record_requests(seen: deque[SeenRequest], clock: Clock) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        at = clock.monotonic()
        body: Json = None
        with suppress(orjson.JSONDecodeError):
            body = orjson.loads(await request.read())
        key = bearer(request.headers.get("Authorization"))
        seen.append(
            SeenRequest(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers={name: request.headers[name] for name in RECORDED_HEADERS if name in request.headers},
                key=fingerprint(key) if key else None,
                body=body,
                at=at,
            )
        )
        return await handler(request)

    return middleware


def inject_faults(faults: Faults, clock: Clock) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = request.match_info.route.name
        fault = faults.take(route, await _said(request)) if route and faults.scripted(route) else None
        if fault is None:
            return await handler(request)
        return await _strike(fault, request, handler, clock)

    return middleware


async def _said(request: web.Request) -> str:
    """All that a request says: where it goes, what it asks, what it brings."""
    return f"{request.path}?{request.query_string}\n{(await request.read()).decode(errors='replace')}"


def _refusal(problem: Problem) -> web.Response:
    return web.Response(
        status=problem.status,
        body=problem.body(),
        content_type="application/json",
        headers=problem.headers,
    )


async def _strike(fault: Fault, request: web.Request, handler: Handler, clock: Clock) -> web.StreamResponse:
    if isinstance(fault, Delay):
        if not fault.created:
            await clock.sleep(fault.seconds)
            return await handler(request)
        try:
            return await handler(request)
        finally:
            await clock.sleep(fault.seconds)
    if fault.created:
        # The answer is lost, a refusal no less than a run.
        with suppress(Problem):
            await handler(request)
    match fault:
        case Answer():
            await clock.sleep(fault.after)
            return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
        case Truncate():
            return await _truncated(request)
        case Hang():
            await clock.sleep(fault.seconds)
            return _reset(request)
        case Reset():
            return _reset(request)


async def _truncated(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = TRUNCATED_LENGTH
    await response.prepare(request)
    await response.write(TRUNCATED_BODY)
    if request.transport is not None:
        request.transport.close()
    return response


def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        request.transport.abort()
    # aiohttp wants an answer from every handler; this one finds no connection to go to.
    return web.Response()
