"""The one HTTP answer of one POST: a plain JSON body, or a way kept open while a run is waited for.

Frames are the server-sent events of the specification's transport page: ``event: message``, one JSON text on
one ``data`` line, no ``id`` (there is nothing to resume on this server; the run is found by its client_ref).
"""

import asyncio

from aiohttp import web

from runflow_mcp.jsontypes import JSONObject
from runflow_mcp.protocol.jsonrpc import render_notification

#: Seconds of silence after which something is sent, so that no proxy in between takes the way for dead.
KEEPALIVE = 15.0
_SSE_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    # nginx and its like pass events on at once.
    "X-Accel-Buffering": "no",
}
_COMMENT = b": keepalive\n\n"
#: JSON allows white space before the value.
_LINE_FEED = b"\n"


def accepts_events(accept: list[str]) -> bool:
    """Whether an Accept header lists ``text/event-stream`` by name; ``*/*`` gets plain JSON."""
    ranges = (one for value in accept for one in value.lower().split(","))
    for one in ranges:
        kind, *parameters = (part.strip() for part in one.split(";"))
        if kind == "text/event-stream":
            return not any(part.replace(" ", "") in ("q=0", "q=0.0", "q=0.00") for part in parameters)
    return False


class Reply:
    """Implements ``methods.call.Channel``; nothing is committed until ``open`` or ``finish``."""

    __slots__ = ("_beat", "_last_write", "_loop", "_opened", "_request", "_response", "_timer", "streams")

    def __init__(self, request: web.Request) -> None:
        self.streams = accepts_events(request.headers.getall("Accept", []))
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._opened = False
        self._response: web.StreamResponse | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None
        self._last_write = 0.0

    @property
    def streaming(self) -> bool:
        """Whether events can be sent now."""
        return self.streams and self._response is not None

    async def open(self) -> None:
        """Send the head of an event stream; or, for plain JSON, only begin to break silences."""
        if self._opened:
            return
        self._opened = True
        self._last_write = self._loop.time()
        self._timer = self._loop.call_later(KEEPALIVE, self._silence)
        if self.streams:
            await self._prepare()

    async def notify(self, method: str, params: JSONObject) -> None:
        if self.streaming:
            await self.send(render_notification(method, params))

    async def send(self, message: bytes) -> None:
        """One message as one event. A client that has gone is no fault: its handler is cancelled anyway."""
        await self._write(_event(message))

    async def finish(self, messages: list[bytes], body: bytes) -> web.StreamResponse:
        """End the answer: with these messages on an open stream, else with ``body``."""
        self.close()
        if self._response is None:
            return web.Response(body=body, content_type="application/json")
        try:
            if self._beat is not None:
                await self._beat
            last = b"".join(map(_event, messages)) if self.streams else body
            await self._response.write_eof(last)
        except ConnectionError:
            pass  # the client left with the last frame under way; the run can be resumed by client_ref
        return self._response

    def close(self) -> None:
        """Stop breaking silences."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _prepare(self) -> web.StreamResponse:
        headers = _SSE_HEADERS if self.streams else {"Content-Type": "application/json"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(self._request)
        self._response = response
        return response

    async def _write(self, data: bytes) -> None:
        if self._response is None:
            return
        self._last_write = self._loop.time()
        try:
            await self._response.write(data)
        except ConnectionError:
            self.close()

    def _silence(self) -> None:
        quiet = self._loop.time() - self._last_write
        busy = self._beat is not None and not self._beat.done()
        if quiet >= KEEPALIVE - 0.001 and not busy:
            self._beat = self._loop.create_task(self._break_silence())
            quiet = 0.0
        self._timer = self._loop.call_later(KEEPALIVE - min(quiet, KEEPALIVE - 1), self._silence)

    async def _break_silence(self) -> None:
        if self._response is None:
            await self._prepare()
        await self._write(_COMMENT if self.streams else _LINE_FEED)


def _event(message: bytes) -> bytes:
    return b"event: message\ndata: " + message + b"\n\n"
