"""Checks the body of a POST by its headers, before any of it is read."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.settings.config import Config
from runflow_mcp.web.body import too_large
from runflow_mcp.web.guards import guards_of

#: Content codings that change nothing (RFC 9110, 12.5.3).
_UNENCODED = frozenset({"", "identity"})


def body_guard(config: Config) -> Middleware:
    cap = config.max_body_bytes

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "POST" and guards_of(request).json_body:
            headers = request.headers
            types = headers.getall("Content-Type", ())
            # A missing Content-Type passes: a form or text post from a foreign page always has one.
            if len(types) > 1 or (types and request.content_type != "application/json"):
                raise Rejection(
                    RejectionCode.UNSUPPORTED_MEDIA_TYPE,
                    "Send the JSON-RPC message with Content-Type: application/json.",
                )
            if "Content-Encoding" in headers and not _is_unencoded(headers.getall("Content-Encoding")):
                raise Rejection(
                    RejectionCode.UNSUPPORTED_MEDIA_TYPE,
                    "Send the body uncompressed, without Content-Encoding.",
                )
            if (request.content_length or 0) > cap:
                raise too_large(cap)
        return await handler(request)

    return middleware


def _is_unencoded(values: list[str]) -> bool:
    return all(coding.strip().lower() in _UNENCODED for coding in ",".join(values).split(","))
