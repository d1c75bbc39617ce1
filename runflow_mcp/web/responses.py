"""The responses that aiohttp renders: documents, errors outside JSON-RPC, and JSON for others than MCP clients."""

import hashlib
from collections.abc import Mapping

import orjson
from aiohttp import web

from runflow_mcp.protocol.jsonrpc import internal_error, render_error


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")


def internal_error_response(request_id: str, status: int = 500) -> web.Response:
    """An unexpected exception outside a method; nothing of it is shown."""
    return json_response(render_error(None, internal_error(request_id)), status)


def oauth_style_error(status: int, error: str, description: str, *, allow: str | None = None) -> web.Response:
    """An error outside JSON-RPC, in the shape that OAuth clients show to people. ``allow``: the Allow header."""
    response = json_response(orjson.dumps({"error": error, "error_description": description}), status)
    if allow is not None:
        response.headers["Allow"] = allow
    return response


def entity_tag(body: bytes) -> str:
    """The entity tag of a document, without its quotes."""
    return hashlib.sha256(body).hexdigest()[:32]


def cacheable_response(
    request: web.Request, body: bytes, etag: str, *, content_type: str, headers: Mapping[str, str]
) -> web.Response:
    """A document with its entity tag; 304 without a body if the request shows that the client has it."""
    headers = {**headers, "ETag": f'"{etag}"'}
    if any(known.value in (etag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers={**headers, "Content-Type": content_type})
