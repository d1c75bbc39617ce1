"""The HTTP responses of the sandbox: JSON, errors, documents with an ETag, files with ranges.

Must not import the simulation.
"""

from hashlib import sha256
from http import HTTPStatus

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.sandbox.errors import APIError


def json_response(value: object, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")


def document_response(request: web.Request, content: bytes, content_type: str) -> web.Response:
    """200 with ``content``, or 304 without a body for a client that has it already."""
    tag = sha256(content).hexdigest()[:16]
    if any(etag.value in {tag, "*"} for etag in request.if_none_match or ()):
        response = web.Response(status=304)
    else:
        response = web.Response(body=content, content_type=content_type, charset="utf-8")
    response.etag = tag
    return response


def file_response(request: web.Request, content: bytes, content_type: str) -> web.Response:
    """200 with ``content``, or 206 with the single range that ``Range`` names: players read videos in ranges.

    Raises a 416 ``APIError`` for a range beyond the end. A header with several ranges is ignored (RFC 9110 §14.2).
    """
    headers = {"Accept-Ranges": "bytes"}
    try:
        requested = request.http_range
    except ValueError:  # a malformed Range is ignored
        requested = slice(None)
    if requested.start is None:
        return web.Response(body=content, content_type=content_type, headers=headers)
    start, stop, _ = requested.indices(len(content))
    if start >= stop:
        unsatisfied = {"Content-Range": f"bytes */{len(content)}"}
        raise APIError(416, "RANGE_NOT_SATISFIABLE", "The file is shorter than that", headers=unsatisfied)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
    return web.Response(status=206, body=content[start:stop], content_type=content_type, headers=headers)


def render_errors() -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except APIError as error:
            return _error_response(error)
        except web.HTTPException as error:
            # aiohttp renders its own errors (unknown routes, wrong methods, large bodies) as plain text.
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return _error_response(APIError(error.status, HTTPStatus(error.status).name, error.reason, headers=headers))

    return middleware


def _error_response(error: APIError) -> web.Response:
    return web.Response(status=error.status, body=error.body(), content_type="application/json", headers=error.headers)
