"""Connections below aiohttp's application: aiohttp's own errors in this server's shape, and a time limit for heads.

aiohttp answers what it cannot parse in plain text, and logs the offending bytes in a traceback; both are replaced
here. This needs aiohttp's internals, so ``pyproject.toml`` pins its minor version:

- ``RequestHandler``: ``_manager``, ``_loop``, ``_messages``, ``_request_count``, ``_current_request``, ``_waiter``,
  ``_reading_paused``, ``_drain_helper``, and that it calls ``handle_error``, ``finish_response`` and ``log_exception``
  on itself;
- ``web_protocol._ErrInfo`` as the message that stands for a request that could not be parsed, and
  ``streams.EMPTY_PAYLOAD`` as its body;
- ``Server``: ``_loop``, ``_kwargs``, ``connections``, ``requests_count``; that ``__call__`` makes the connections;
- ``AppRunner``: ``_make_server``, ``_shutdown_timeout``;
- ``http_exceptions.BadHttpMessage.message`` for a head with too many lines;
- ``StreamWriter.output_size`` (here and in ``body``), which is not 0 once a response has begun;
- ``StreamResponse._status``, ``StreamResponse._keep_alive`` and ``helpers.rfc822_formatted_time`` (in
  ``json_response``);
- ``Request._message`` and ``Request._match_info`` (in ``endpoint``).
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import cast

import structlog
from aiohttp import HttpVersion10, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from runflow_mcp import listening_sockets
from runflow_mcp.credentials import Bearer
from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.observability.line_budget import LineBudget
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.observability.record import jsonrpc_outcome
from runflow_mcp.protocol.jsonrpc import ErrorCode
from runflow_mcp.web.accepting import copies
from runflow_mcp.web.app_keys import SERVICES, UNADMITTED_LOG
from runflow_mcp.web.endpoint import direct_handler
from runflow_mcp.web.json_response import JSONResponse
from runflow_mcp.web.request_id import SERVER, make_request_id
from runflow_mcp.web.responses import internal_error_response, json_response

log = structlog.get_logger(__name__)

#: Seconds for a request head to arrive, counted from its first byte or from the start of the connection.
HEAD_TIMEOUT = 15.0
#: Seconds for which the rest of a rejected body is read and dropped, so that the client sees the rejection.
LINGERING_TIME = 2.0
#: Seconds. A proxy must be the one to close an idle connection, or it sends a request into a closing one; nginx
#: keeps its upstream connections for 60 s.
KEEPALIVE_TIMEOUT = 75.0
#: aiohttp's message for a head with more lines than it reads.
_TOO_MANY_LINES = "Too many headers received"
#: Seconds; aiohttp takes 0 for "no limit".
_MINIMAL_TIMEOUT = 0.01


class Connection(RequestHandler):
    """One client connection."""

    __slots__ = ("_head_begun", "_head_timer", "descriptor", "last_authorization", "last_bearer")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        #: The last acceptable Authorization values, and the key in them: a client sends the same ones with every
        #: request, and parsing and hashing them takes 3 µs.
        self.last_authorization: Sequence[str] = ()
        self.last_bearer: Bearer | None = None
        self.descriptor: int = transport.get_extra_info("socket").fileno()
        self._manager.on_descriptor(self.descriptor)  # type: ignore[union-attr]
        self._head_begun = False
        self._head_timer: asyncio.TimerHandle | None = self._loop.call_later(HEAD_TIMEOUT, self._on_head_timeout)
        # Stops aiohttp's own timer, which is longer and would take 0.5 KB for as long as a call waits.
        self.keep_alive(val=True)

    @property
    def queued_requests(self) -> int:
        return len(self._messages)

    @property
    def is_idle(self) -> bool:
        """Whether the connection waits for its next request, and no byte of it has arrived."""
        waiting = self._waiter is not None and not self._waiter.done()
        return waiting and not self._head_begun and self.transport is not None

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests:
            self._head_begun = False
            if self._head_timer is not None:
                self._stop_head_timer()
            self._check_newest_message(self._messages[-1][0])
        elif data and self._waiter is not None:
            # Between two requests: these bytes begin a head, which is not complete yet.
            self._head_begun = True
            if self._head_timer is None:
                self._head_timer = self._loop.call_later(HEAD_TIMEOUT, self._on_head_timeout)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        """Called for each body that was read. aiohttp's own always calls the parser, which takes 4 µs."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _check_newest_message(self, message: object) -> None:
        if isinstance(message, _ErrInfo):
            if self._current_request is not None:
                # The invalid bytes are part of the body that is being read.
                self._current_request.content.set_exception(web.RequestPayloadError("the body is incomplete"))
        elif message.version < HttpVersion10:  # type: ignore[attr-defined]
            # A request line without a version, which aiohttp would accept.
            self._messages[-1] = (_ErrInfo(status=HTTPStatus.BAD_REQUEST, exc=ValueError(), message=""), EMPTY_PAYLOAD)

    def _stop_head_timer(self) -> None:
        self._head_begun = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text quotes what was sent, perhaps an API key
    ) -> web.StreamResponse:
        """Answer a request that did not reach the application, or an exception that left it."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response has been started already")
        if status == HTTPStatus.BAD_REQUEST and _is_head_too_large(exc):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return self._reject(status, type(exc).__name__)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response. Returns it, and whether the client has left.

        aiohttp's own takes four coroutines, which ``JSONResponse`` does without, and answers an unknown ``Expect``,
        which no middleware sees, in plain text.
        """
        if isinstance(resp, JSONResponse):
            return resp, await self._write(resp.render())
        if isinstance(resp, web.HTTPException):
            resp = self._reject(HTTPStatus.BAD_REQUEST, type(resp).__name__)
        return await super().finish_response(request, resp, start_time)

    async def _write(self, data: bytes) -> bool:
        """Write the whole of a response. Returns whether the client has left."""
        if self.transport is None or self.transport.is_closing():
            return True
        self.transport.write(data)
        if self.writing_paused:
            try:
                await self._drain_helper()
            except ConnectionError:
                return True
        return False

    def log_exception(self, *_args: object, exc_info: object = None, **_kwargs: object) -> None:
        """An error inside aiohttp, without its text, which may quote what was sent."""
        log.error("connection_error", error=type(exc_info).__name__)

    def _reject(self, status: int, error: str) -> web.Response:
        """Log and answer a request that no middleware has seen. ``error``: the class of aiohttp's error."""
        request_id = make_request_id()
        rejection = _REJECTIONS.get(HTTPStatus(status))
        server = cast("HTTPServer", self._manager)
        if rejection is None:
            outcome = jsonrpc_outcome(ErrorCode.INTERNAL_ERROR)
            response = internal_error_response(request_id, status)
        else:
            outcome = rejection.code.value
            response = json_response(rejection.envelope(request_id), rejection.status)
            server.metrics.rejection(outcome)
        if rejection is None or server.unadmitted_log.count_line():
            log.info("request", request_id=request_id, status=int(status), outcome=outcome, error=error)
        # These requests have no application whose signal would set the headers.
        response.headers["X-Request-Id"] = request_id
        response.headers["Server"] = SERVER
        response.force_close()
        return response


def _is_head_too_large(error: BaseException | None) -> bool:
    """Whether a line of the head is too long, or there are too many, for which aiohttp has no exception type."""
    return isinstance(error, LineTooLong) or (isinstance(error, BadHttpMessage) and error.message == _TOO_MANY_LINES)


_REJECTIONS = {
    HTTPStatus.BAD_REQUEST: Rejection(
        RejectionCode.BAD_REQUEST,
        "Malformed HTTP/1.1 request. Check the request line, the header lines and how the length of the body is given.",
    ),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Rejection(
        RejectionCode.HEAD_TOO_LARGE,
        "The request line or the headers are too large: a line may have about 8,000 bytes, and a request 128 "
        "headers. Send fewer or shorter ones; a common cause is a key or cookie that was pasted twice.",
    ),
}


def _ignore(_descriptor: int) -> None:
    pass


class HTTPServer(web.Server):
    """Makes ``Connection`` objects, and reports the file descriptor of each to ``on_descriptor``."""

    on_descriptor: Callable[[int], None] = staticmethod(_ignore)

    #: Bounds the access lines of requests that did not reach the application.
    unadmitted_log: LineBudget
    metrics: Metrics

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's application runner, with this server's settings."""

    def __init__(self, app: web.Application, *, shutdown_timeout: float) -> None:
        super().__init__(
            app,
            # When a client goes away its handler is cancelled: polling stops, the run goes on upstream.
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEPALIVE_TIMEOUT,
            lingering_time=LINGERING_TIME,
            shutdown_timeout=shutdown_timeout,
            # A compressed body is rejected by its header; it must not be inflated before that.
            auto_decompress=False,
        )
        self.listeners: list[socket.socket] = []
        #: Of the listeners: see ``accepting``.
        self._copies: list[socket.socket] = []
        self._accepting: list[asyncio.AbstractServer] = []

    async def listen(self, sockets: Sequence[socket.socket], backlog: int) -> None:
        """Accept connections on bound sockets, which ``cleanup`` closes. Needs ``setup``. Raises ``ListenError``."""
        self.listeners = list(sockets)
        listening_sockets.listen(sockets, backlog)
        server = cast("HTTPServer", self.server)
        self._copies = [copy for bound in sockets for copy in copies(bound)]
        for listener in (*self.listeners, *self._copies):
            made = await asyncio.get_running_loop().create_server(server, sock=listener, backlog=backlog)
            self._accepting.append(made)

    def close_listeners(self) -> None:
        for accepting in self._accepting:
            accepting.close()
        for listener in (*self.listeners, *self._copies):
            listener.close()
        self._accepting, self.listeners, self._copies = [], [], []

    async def cleanup(self) -> None:
        self.close_listeners()
        await super().cleanup()

    @property
    def connections(self) -> list[Connection]:
        """The open connections, and those that are being closed."""
        connections = self.server.connections if self.server else ()
        return [connection for connection in connections if isinstance(connection, Connection)]

    @property
    def requests_received(self) -> int:
        """Requests whose handling has begun, since the start."""
        return self.server.requests_count if self.server else 0

    @property
    def unsent_bytes(self) -> int:
        """Bytes of answers that clients have not read yet."""
        # Not by class: uvloop's transports have the method, but none of asyncio's classes.
        transports = (connection.transport for connection in self.connections)
        return sum(transport.get_write_buffer_size() for transport in transports if transport is not None)

    @property
    def queued_requests(self) -> int:
        """Pipelined requests that have arrived and are not being handled yet."""
        return sum(connection.queued_requests for connection in self.connections)

    def watch_descriptors(self, watch: Callable[[int], None]) -> None:
        """Call ``watch`` with the file descriptor of each new connection. Effective after ``setup`` only."""
        if isinstance(self.server, HTTPServer):
            self.server.on_descriptor = watch

    def abandon_handlers(self) -> None:
        """Do not wait in ``cleanup`` for handlers that are still running."""
        self._shutdown_timeout = _MINIMAL_TIMEOUT

    async def _make_server(self) -> web.Server:
        base = await super()._make_server()
        server = HTTPServer(
            direct_handler(self.app, base.request_handler),  # type: ignore[arg-type]  # as ``Application`` does
            request_factory=base.request_factory,
            handler_cancellation=base.handler_cancellation,
            loop=asyncio.get_running_loop(),
            **base._kwargs,  # noqa: SLF001 - the runner's options, as ``AppRunner`` passes them on
        )
        server.unadmitted_log = self.app[UNADMITTED_LOG]
        server.metrics = self.app[SERVICES].metrics
        return server
