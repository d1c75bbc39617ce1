"""The connection under aiohttp's application: its own refusals in our shape, and no half-sent request for ever.

aiohttp answers what it cannot parse by itself, in plain text and with the offending bytes in a traceback;
both are replaced here. The hooks are ``RequestHandler.handle_error`` and ``Server.__call__``.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import structlog
from aiohttp import HttpVersion10, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, render_error
from runflow_mcp.web.app_keys import REFUSAL_LOG
from runflow_mcp.web.middlewares.access_log import SERVER, make_request_id
from runflow_mcp.web.refusal_log import RefusalLog

log = structlog.get_logger(__name__)

#: Seconds for a request head to arrive, from the first byte or from the connection's start.
HEAD_TIMEOUT = 15.0
#: Seconds in which the rest of a refused body is read and thrown away, so that the refusal is seen.
LINGERING = 2.0
#: A proxy must be the one that closes an idle connection, or it sends a request into a closing one; nginx
#: keeps its upstream connections for 60 s.
KEEPALIVE_TIMEOUT = 75.0
#: What aiohttp says of a head with more lines than it reads.
_TOO_MANY_LINES = "Too many headers received"
#: Seconds; aiohttp takes 0 for ever.
AT_ONCE = 0.01


class Connection(RequestHandler):
    """One client connection."""

    __slots__ = ("_head_timer",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._manager.on_descriptor(transport.get_extra_info("socket").fileno())  # type: ignore[union-attr]
        self._head_timer: asyncio.TimerHandle | None = self._loop.call_later(HEAD_TIMEOUT, self._on_head_timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests:
            self._stop_head_timer()
            self._check_newest(self._messages[-1][0])
        elif data and self._head_timer is None and self._waiter is not None:
            # Between two requests: these bytes begin a head that is not complete yet.
            self._head_timer = self._loop.call_later(HEAD_TIMEOUT, self._on_head_timeout)

    def _check_newest(self, newest: object) -> None:
        if isinstance(newest, _ErrInfo):
            if self._current_request is not None:
                # What cannot be parsed is the rest of a body that is being read: it will not come.
                self._current_request.content.set_exception(web.RequestPayloadError("the body broke off"))
        elif newest.version < HttpVersion10:  # type: ignore[attr-defined]
            # A request line without a version; aiohttp would carry it out.
            self._messages[-1] = (_ErrInfo(status=HTTPStatus.BAD_REQUEST, exc=ValueError(), message=""), EMPTY_PAYLOAD)

    def _stop_head_timer(self) -> None:
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
        message: str | None = None,  # noqa: ARG002 - aiohttp's text quotes what was sent, a key perhaps
    ) -> web.StreamResponse:
        """Answer what never reached the application, or fell out of it."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response is under way already")
        if status == HTTPStatus.BAD_REQUEST and _is_head_too_large(exc):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        if cast("HTTPServer", self._manager).refusals.has_room():
            log.info("request", status=int(status), error=type(exc).__name__)
        return _refusal(status)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """aiohttp refuses an unknown ``Expect`` before any middleware sees it, in plain text: put right here."""
        if isinstance(resp, web.HTTPException):
            resp = _refusal(HTTPStatus.BAD_REQUEST)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *_args: object, exc_info: object = None, **_kwargs: object) -> None:
        """A fault of aiohttp's own; its text may quote what was sent."""
        log.error("connection_fault", error=type(exc_info).__name__)


def _is_head_too_large(error: BaseException | None) -> bool:
    """Whether aiohttp gave up a request for the length or number of its lines; for the number it has no type."""
    return isinstance(error, LineTooLong) or (isinstance(error, BadHttpMessage) and error.message == _TOO_MANY_LINES)


_REJECTIONS = {
    HTTPStatus.BAD_REQUEST: Rejection(
        RejectionCode.BAD_REQUEST,
        "This is no well-formed HTTP/1.1 request. Check the request line, the header lines and how the "
        "body's length is given.",
    ),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Rejection(
        RejectionCode.HEAD_TOO_LARGE,
        "The request line or the headers are too large: each line may have about 8,000 bytes and there may be "
        "128 headers. Send fewer or shorter ones; a key or cookie that was pasted twice is a usual cause.",
    ),
}


def _refusal(status: int) -> web.Response:
    request_id = make_request_id()
    if rejection := _REJECTIONS.get(HTTPStatus(status)):
        body = rejection.envelope(request_id)
    else:
        body = render_error(
            None, ProtocolError(ErrorCode.INTERNAL_ERROR, f"An internal error happened here: {request_id}.")
        )
    response = web.Response(
        status=status,
        body=body,
        content_type="application/json",
        headers={"X-Request-Id": request_id, "Server": SERVER},
    )
    response.force_close()
    return response


def _ignore(_descriptor: int) -> None:
    pass


class HTTPServer(web.Server):
    """Makes our connections in place of aiohttp's, and reports the file descriptor of each to ``on_descriptor``."""

    on_descriptor: Callable[[int], None] = staticmethod(_ignore)

    #: Bounds the log lines of what never reached the application.
    refusals: RefusalLog

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """An application runner with everything that serving and tests must agree on."""

    def __init__(self, app: web.Application, *, shutdown_timeout: float) -> None:
        super().__init__(
            app,
            # A client that goes away ends its handler: polling stops, the run goes on upstream.
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEPALIVE_TIMEOUT,
            lingering_time=LINGERING,
            shutdown_timeout=shutdown_timeout,
            # A compressed body is refused by its header; it must not be inflated before that.
            auto_decompress=False,
        )

    @property
    def unsent_bytes(self) -> int:
        """Bytes of answers that clients have not taken yet."""
        connections = self.server.connections if self.server else ()
        # uvloop's transports have the method and none of asyncio's classes.
        return sum(one.transport.get_write_buffer_size() for one in connections if one.transport is not None)

    def watch_descriptors(self, watch: Callable[[int], None]) -> None:
        """Call ``watch`` with the file descriptor of each new connection; after ``setup``."""
        if isinstance(self.server, HTTPServer):
            self.server.on_descriptor = watch

    def abandon_handlers(self) -> None:
        """Give handlers that are still at work no time to end when this is cleaned up."""
        self._shutdown_timeout = AT_ONCE

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        listener = HTTPServer(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=asyncio.get_running_loop(),
            **made._kwargs,  # noqa: SLF001 - what the runner was given, as aiohttp sorted it
        )
        listener.refusals = self.app[REFUSAL_LOG]
        return listener
