"""The one HTTP answer of one POST: a plain JSON body, or a way kept open while a run is waited for.

Frames are the server-sent events of the specification's transport page: ``event: message``, one JSON text on
one ``data`` line, no ``id`` (there is nothing to resume on this server; the run is found by its client_ref).
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import web

from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods.inflight import PendingAnswer
from runflow_mcp.protocol.jsonrpc import render_notification
from runflow_mcp.web.app_keys import ADDRESS, UNREAD_BUDGET

#: Seconds of silence after which something is sent, so that no proxy in between takes the way for dead.
KEEPALIVE = 15.0
#: Seconds in which a client must take what is written before more is held in memory for it.
WRITE_TIMEOUT = 60.0
#: Bytes that a transport takes without waiting for the client (asyncio's default is 64 KiB).
FITS_A_BUFFER = 32 * 1024
_SSE_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    # nginx and its like pass events on at once.
    "X-Accel-Buffering": "no",
}
_JSON_HEADERS = {"Content-Type": "application/json"}
_COMMENT = b": keepalive\n\n"
_ZERO_WEIGHT = re.compile(r"q\s*=\s*(?:0+\.?0*|\.0+)")
#: U+0085, U+2028 and U+2029 in UTF-8. Some clients end a line there, as Python's ``str.splitlines`` does, and never
#: see the rest of the event. orjson escapes every other character that could end one.
_LINE_SEPARATORS = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")
#: JSON allows white space before the value.
_LINE_FEED = b"\n"


def accepts_sse(accept: list[str]) -> bool:
    """Whether an Accept header lists ``text/event-stream`` by name; ``*/*`` gets plain JSON.

    A weight of zero means "not acceptable" (RFC 9110, 12.4.2), however many zeros it is written with.
    """
    for media_range in ",".join(accept).lower().split(","):
        kind, *parameters = (part.strip() for part in media_range.split(";"))
        if kind == "text/event-stream" and not any(_ZERO_WEIGHT.fullmatch(part) for part in parameters):
            return True
    return False


@asynccontextmanager
async def bounded_write(request: web.BaseRequest) -> AsyncIterator[None]:
    """Write to a client that may read slowly or have gone.

    What it does not take in time is not kept for it: the connection is dropped, and the run, which goes on, is
    found again by its client_ref. A client that has gone is no fault; its handler is being cancelled.
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
    """Implements ``methods.context.ResponseChannel``; nothing is committed until ``open`` or ``finish``."""

    __slots__ = (
        "_keepalive_task",
        "_last_write",
        "_loop",
        "_opened",
        "_request",
        "_response",
        "_timer",
        "pending_answer",
        "streams",
    )

    def __init__(self, request: web.Request, pending_answer: PendingAnswer) -> None:
        self.pending_answer = pending_answer
        self.streams = accepts_sse(request.headers.getall("Accept", []))
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._opened = False
        self._response: web.StreamResponse | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._keepalive_task: asyncio.Task[None] | None = None
        # Silence counts from the request's arrival.
        self._last_write = self._loop.time()

    @property
    def streaming(self) -> bool:
        """Whether events can be sent now."""
        return self.streams and self._response is not None

    async def open(self) -> None:
        """Send the head of an event stream; or, for plain JSON, only begin to break silences."""
        if self._opened:
            return
        self._opened = True
        if self.streams:
            # A client that has gone by now is nothing unusual; the handler is cancelled soon.
            async with bounded_write(self._request):
                await self._prepare()
            self._last_write = self._loop.time()
        self._timer = self._loop.call_at(self._last_write + KEEPALIVE, self._keepalive_due)

    async def notify(self, method: str, params: JSONObject) -> None:
        if self.streaming:
            await self.send(render_notification(method, params))

    async def send(self, message: bytes) -> None:
        """One message as one event. A client that has gone is no fault: its handler is cancelled anyway."""
        await self._write(_event(message))

    async def stop_keepalive(self) -> bool:
        """Break no more silences; whether the head of the answer has been sent by then.

        Must be asked before another response is made: a line feed under way would write a second head.
        """
        self.close()
        if self._keepalive_task is not None:
            await self._keepalive_task
            self._keepalive_task = None
        return self._response is not None

    async def finish(self, messages: list[bytes], body: bytes) -> web.StreamResponse:
        """End the answer: with these messages on an open stream, else with ``body``."""
        await self.stop_keepalive()
        response = self._response
        if response is None:
            if len(body) < FITS_A_BUFFER:  # aiohttp writes it on return, and need not wait for the client
                return web.Response(body=body, content_type="application/json")
            response = web.StreamResponse(headers=_JSON_HEADERS)
            response.content_length = len(body)
        elif self.streams:
            body = b"".join(map(_event, messages))
        with self._request.app[UNREAD_BUDGET].reserve(self._request.transport, self._request[ADDRESS], len(body)):
            async with bounded_write(self._request):
                await response.prepare(self._request)
                await response.write_eof(body)
        return response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
        self.pending_answer.release()

    def close(self) -> None:
        """Start breaking no more silences."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _prepare(self) -> web.StreamResponse:
        response = web.StreamResponse(headers=_SSE_HEADERS if self.streams else _JSON_HEADERS)
        await response.prepare(self._request)
        self._response = response
        return response

    async def _write(self, data: bytes) -> None:
        if self._response is None:
            return
        self._last_write = self._loop.time()
        async with bounded_write(self._request):
            await self._response.write(data)

    def _keepalive_due(self) -> None:
        due = self._last_write + KEEPALIVE
        if due <= self._loop.time() and (self._keepalive_task is None or self._keepalive_task.done()):
            self._keepalive_task = self._loop.create_task(self._send_keepalive())
            self._last_write = self._loop.time()
            due = self._last_write + KEEPALIVE
        # A write that is still under way after all this time is to a client that does not read: no more of it.
        self._timer = self._loop.call_at(max(due, self._loop.time() + 1.0), self._keepalive_due)

    async def _send_keepalive(self) -> None:
        if self._response is None:
            async with bounded_write(self._request):
                await self._prepare()
        await self._write(_COMMENT if self.streams else _LINE_FEED)


def _event(message: bytes) -> bytes:
    # Characters outside ASCII stand in JSON within texts alone, so an escape there is the same value.
    if not message.isascii():
        message = _LINE_SEPARATORS.sub(_escaped, message)
    return b"event: message\ndata: " + message + b"\n\n"


def _escaped(separator: re.Match[bytes]) -> bytes:
    return f"\\u{ord(separator[0].decode()):04x}".encode()
