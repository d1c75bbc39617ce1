"""The HTTP response to one POST: a plain JSON body, an event stream, or a JSON body after line feeds.

A handler that takes long calls ``open``. A client that accepts events then gets the head of a stream at once; any
other gets a line feed after each 15 s of silence, since JSON allows white space before the value.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import Self

from aiohttp import web

from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods.inflight import PendingAnswer
from runflow_mcp.protocol.jsonrpc import render_notification
from runflow_mcp.web import sse
from runflow_mcp.web.app_keys import ADDRESS, RECORD, UNREAD_BUDGET
from runflow_mcp.web.keepalive import Keepalive
from runflow_mcp.web.responses import json_response

#: Seconds in which a client must accept what is written before its connection is dropped.
WRITE_TIMEOUT = 60.0
#: Bytes that a transport accepts at once, however slowly the client reads (asyncio's default is 64 KiB).
MAX_BUFFERED = 32 * 1024
_JSON_HEADERS = {"Content-Type": "application/json"}
_LINE_FEED = b"\n"


class State(Enum):
    """How much of a response has been sent."""

    #: Nothing, and nothing will be before ``finish``.
    UNSENT = auto()
    #: Nothing, but ``open`` was called: the head of a stream is being sent, or a line feed will be.
    OPENING = auto()
    #: The head, and perhaps events or line feeds.
    STARTED = auto()
    #: Everything, or the handler has ended without an answer.
    FINISHED = auto()


@asynccontextmanager
async def bounded_write(request: web.BaseRequest) -> AsyncIterator[None]:
    """Write to a client that may read slowly or have gone.

    A client that does not read in time loses its connection. Its run continues and is found again by its
    client_ref. A client that has left is not an error; aiohttp cancels its handler.
    """
    try:
        async with asyncio.timeout(WRITE_TIMEOUT):
            yield
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass


class Reply:
    """Implements ``methods.context.ResponseChannel``. The HTTP status is sent by ``open`` or ``finish``, not before."""

    __slots__ = ("_arrived", "_keepalive", "_request", "_response", "_state", "accepts_stream", "pending_answer")

    def __init__(self, request: web.Request, pending_answer: PendingAnswer) -> None:
        self.pending_answer = pending_answer
        self.accepts_stream = sse.accepts_sse(request.headers.getall("Accept", []))
        self._request = request
        self._state = State.UNSENT
        self._response: web.StreamResponse | None = None
        self._keepalive: Keepalive | None = None
        self._arrived = asyncio.get_running_loop().time()

    @property
    def streaming(self) -> bool:
        """Whether events can be sent now."""
        return self.accepts_stream and self._state is State.STARTED

    async def open(self) -> None:
        """The answer will take long: start the stream, or the line feeds."""
        if self._state is not State.UNSENT:
            return
        self._state = State.OPENING
        silent_since = self._arrived
        if self.accepts_stream:
            async with bounded_write(self._request):
                await self._send_head()
            silent_since = asyncio.get_running_loop().time()
        self._keepalive = Keepalive(self._send_keepalive, silent_since)

    async def notify(self, method: str, params: JSONObject) -> None:
        if self.streaming:
            await self.send(render_notification(method, params))

    async def send(self, message: bytes) -> None:
        """Send one message as one event, once the stream has started."""
        await self._write(sse.render_event(message))

    async def finish(self, messages: list[bytes], body: bytes, status: int = 200) -> web.StreamResponse:
        """Complete the response: with ``messages`` on a stream that has started, else with ``body``.

        ``status`` applies as long as nothing has been sent.
        """
        if self._keepalive is not None:
            await self._keepalive.stop()  # a line feed under way may be sending the head
            self._keepalive = None
        response = self._response
        self._state = State.FINISHED
        if response is None:
            if len(body) < MAX_BUFFERED:  # aiohttp writes it without waiting for the client
                return json_response(body, status)
            response = web.StreamResponse(status=status, headers=_JSON_HEADERS)
            response.content_length = len(body)
        elif self.accepts_stream:
            body = b"".join(map(sse.render_event, messages))
        self._request[RECORD].bytes_out += len(body)
        with self._request.app[UNREAD_BUDGET].reserve(self._request.transport, self._request[ADDRESS], len(body)):
            async with bounded_write(self._request):
                await response.prepare(self._request)
                await response.write_eof(body)
        return response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._state = State.FINISHED
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None  # breaks a reference cycle
        self.pending_answer.release()

    async def _send_head(self) -> None:
        response = web.StreamResponse(headers=sse.HEADERS if self.accepts_stream else _JSON_HEADERS)
        await response.prepare(self._request)
        self._response = response
        self._state = State.STARTED

    async def _write(self, data: bytes) -> None:
        if self._response is None or self._state is not State.STARTED:
            return
        if self._keepalive is not None:
            self._keepalive.note_write()
        self._request[RECORD].bytes_out += len(data)
        async with bounded_write(self._request):
            await self._response.write(data)

    async def _send_keepalive(self) -> None:
        if self._state is State.OPENING:
            async with bounded_write(self._request):
                await self._send_head()
        await self._write(sse.KEEPALIVE_COMMENT if self.accepts_stream else _LINE_FEED)
