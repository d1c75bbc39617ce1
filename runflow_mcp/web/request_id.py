"""The id of a request, and the two headers of every response: X-Request-Id and Server."""

import re
import secrets

from aiohttp import web

from runflow_mcp.web.app_keys import REQUEST_ID

#: The Server header; it does not reveal the software behind it.
SERVER = "runflow-mcp"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def make_request_id() -> str:
    return secrets.token_hex(8)


def choose_request_id(header: str | None, key_prefixes: tuple[str, ...]) -> str:
    """The caller's X-Request-Id where it is 1–128 of ``[A-Za-z0-9._-]`` and holds no API key, else a new one."""
    if header and _REQUEST_ID.fullmatch(header) and not any(prefix in header for prefix in key_prefixes):
        return header
    return make_request_id()


async def add_request_id(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Set both headers; an ``on_response_prepare`` signal, so that streams get them too."""
    if REQUEST_ID in request:
        response.headers["X-Request-Id"] = request[REQUEST_ID]
    response.headers["Server"] = SERVER
