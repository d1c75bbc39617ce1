"""The id of a request, and the two headers of every response: X-Request-Id and Server."""

import re
from random import Random

from aiohttp import web
from multidict import istr

from runflow_mcp.web.request_state import STATE

#: The Server header; it does not reveal the software behind it.
SERVER = "runflow-mcp"
_X_REQUEST_ID, _SERVER = istr("X-Request-Id"), istr("Server")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


#: Not for secrets: request ids must only be unique, also between processes. Entropy from the kernel would take 1.2 µs
#: for each id, this takes 0.3 µs.
_random = Random()


def make_request_id() -> str:
    """16 hex digits."""
    return f"{_random.getrandbits(64):016x}"


def choose_request_id(header: str | None, key_prefixes: tuple[str, ...]) -> str:
    """The caller's X-Request-Id where it is 1–128 of ``[A-Za-z0-9._-]`` and holds no API key, else a new one."""
    if header is None:
        return make_request_id()
    usable = _REQUEST_ID.fullmatch(header) and not any(prefix in header for prefix in key_prefixes)
    return header if usable else make_request_id()


async def add_request_id(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Set both headers; an ``on_response_prepare`` signal, so that streams get them too."""
    state = request.get(STATE)
    if state is not None:
        response.headers[_X_REQUEST_ID] = state.request_id
    response.headers[_SERVER] = SERVER
