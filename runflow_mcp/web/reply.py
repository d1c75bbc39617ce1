"""The HTTP response to one POST: a plain JSON body, an event stream, or a JSON body after line feeds.

A handler that takes long calls ``open``. A client that accepts events then gets the head of a stream at once; any
other gets a line feed after each 15 s of silence, since JSON allows white space before the value.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum, auto

from aiohttp import HttpVersion11, web

from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods.inflight import InFlight, PendingAnswer
from runflow_mcp.protocol.jsonrpc import render_notification
from runflow_mcp.web import sse
from runflow_mcp.web.app_keys import UNREAD_BUDGET
from runflow_mcp.web.json_response import answer_json
from runflow_mcp.web.keepalive import Keepalive
from runflow_mcp.web.request_state import STATE

#: Seconds in which a client must accept what is written before its connection is dropped.
WRITE_TIMEOUT = 60.0
#: Bytes that a transport accepts at once, however slowly the client reads: asyncio's default is 64 KiB, with the head.
MAX_BUFFERED = 60 * 1024
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

    __slots__ = (
        "_accepts_stream",
        "_arrived",
        "_chunked",
        "_inflight",
        "_keepalive",
        "_pending_answer",
        "_request",
        "_response",
        "_state",
    )

    def __init__(self, request: web.Request, arrived: float, inflight: InFlight) -> None:
        """``arrived``: event-loop time."""
        self._request = request
        self._inflight = inflight
        self._pending_answer: PendingAnswer | None = None
        self._chunked = False
        self._state = State.UNSENT
        self._response: web.StreamResponse | None = None
        self._keepalive: Keepalive | None = None
        self._arrived = arrived
        self._accepts_stream: bool | None = None

    @property
    def pending_answer(self) -> PendingAnswer:
        # Made when it is first needed: most methods never wait.
        if self._pending_answer is None:
            self._pending_answer = PendingAnswer(self._inflight)
        return self._pending_answer

    @property
    def accepts_stream(self) -> bool:
        if self._accepts_stream is None:
            self._accepts_stream = sse.accepts_sse(self._request.headers.getall("Accept", []))
        return self._accepts_stream

    @property
    def streaming(self) -> bool:
        """Whether events can be sent now."""
        return self._state is State.STARTED and self.accepts_stream

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

    def finish_at_once(self, body: bytes, status: int) -> web.StreamResponse | None:
        """Complete the response with ``body``; None where that takes ``finish``, which may wait for the client."""
        if self._state is not State.UNSENT or len(body) >= MAX_BUFFERED:
            return None
        self._state = State.FINISHED
        return answer_json(self._request, body, status)

    async def finish(self, messages: Sequence[bytes], body: bytes, status: int = 200) -> web.StreamResponse:
        """Complete the response: with ``messages`` on a stream that has started, else with ``body``.

        ``status`` applies as long as nothing has been sent.
        """
        if self._keepalive is not None:
            await self._keepalive.stop()  # a line feed under way may be sending the head
            self._keepalive = None
        response = self._response
        self._state = State.FINISHED
        if response is None:
            if len(body) < MAX_BUFFERED:
                return answer_json(self._request, body, status)
            response = web.StreamResponse(status=status, headers=_JSON_HEADERS)
            response.content_length = len(body)
        elif self.accepts_stream:
            body = b"".join(map(sse.render_event, messages))
        request = self._request
        request[STATE].record.bytes_out += len(body)
        with request.app[UNREAD_BUDGET].reserve(request.transport, request[STATE].address, len(body)):
            async with bounded_write(request):
                await response.prepare(request)
                await response.write_eof(body)
        return response

    def close(self) -> None:
        """The handler has ended: nothing more is sent, and the slots of the answer are released."""
        self._state = State.FINISHED
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None  # breaks a reference cycle
        if self._pending_answer is not None:
            self._pending_answer.release()

    async def _send_head(self) -> None:
        response = web.StreamResponse(headers=sse.HEADERS if self.accepts_stream else _JSON_HEADERS)
        await response.prepare(self._request)
        self._response = response
        self._chunked = self._request.version >= HttpVersion11
        self._state = State.STARTED

    async def _write(self, data: bytes) -> None:
        if self._response is None or self._state is not State.STARTED:
            return
        if self._keepalive is not None:
            self._keepalive.note_write()
        self._request[STATE].record.bytes_out += len(data)
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return
        if len(data) < MAX_BUFFERED and not transport.get_write_buffer_size():
            # The client has read everything before: this write does not wait, and needs no time limit. aiohttp's
            # response and its writer would make four calls of it, a thirtieth of a poll.
            transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
            return
        async with bounded_write(self._request):
            await self._response.write(data)

    async def _send_keepalive(self) -> None:
        if self._state is State.OPENING:
            async with bounded_write(self._request):
                await self._send_head()
        await self._write(sse.KEEPALIVE_COMMENT if self.accepts_stream else _LINE_FEED)
