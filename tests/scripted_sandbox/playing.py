"""Carries out the actions of a script on the sandbox's connections."""

import socket
import struct
from contextlib import suppress
from typing import assert_never

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.clock import Clock
from runflow_mcp.sandbox.errors import APIError
from tests.scripted_sandbox.script import Action, Delay, Hang, Reset, Respond, Script, Truncate

TRUNCATED_LENGTH = 4096
TRUNCATED_BODY = b'{"id":"01'
#: SO_LINGER on, with a timeout of 0: closing the socket sends a reset.
LINGER_RESET = struct.pack("ii", 1, 0)


def play_script(script: Script, clock: Clock) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = request.match_info.route.name
        action = script.take(route, await _text(request)) if route and script.is_scripted(route) else None
        if action is None:
            return await handler(request)
        return await _play(action, request, handler, clock)

    return middleware


async def _text(request: web.Request) -> str:
    return f"{request.path}?{request.query_string}\n{(await request.read()).decode(errors='replace')}"


async def _play(action: Action, request: web.Request, handler: Handler, clock: Clock) -> web.StreamResponse:
    if isinstance(action, Delay):
        if not action.created:
            await clock.sleep(action.seconds)
            return await handler(request)
        try:
            return await handler(request)
        finally:
            await clock.sleep(action.seconds)
    if action.created:
        # The response is lost, whether it is a run or an error.
        with suppress(APIError):
            await handler(request)
    match action:
        case Respond():
            await clock.sleep(action.after)
            return web.Response(status=action.status, body=action.body, headers=action.headers)
        case Truncate():
            return await _truncate(request)
        case Hang():
            await clock.sleep(action.seconds)
            return _reset(request)
        case Reset():
            return _reset(request)
        case _:
            assert_never(action)


async def _truncate(request: web.Request) -> web.StreamResponse:
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
    # aiohttp requires a response from every handler; it is never sent.
    return web.Response()
