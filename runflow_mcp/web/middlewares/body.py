"""The POST body: judged by its headers before it is read, and read no further than the cap."""

import asyncio

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.bounds import MAX_VALUES
from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import is_mcp

#: Seconds for the whole body to arrive.
BODY_TIMEOUT = 10.0
#: Content codings that change nothing (RFC 9110, 12.5.3).
_UNENCODED = frozenset({"", "identity"})


def too_large(cap: int) -> Rejection:
    return Rejection(
        RejectionCode.BODY_TOO_LARGE,
        f"The body is over {cap} bytes. Send media as URLs instead of inline data, "
        "or have the operator raise MCP_MAX_BODY_BYTES.",
    )


def too_many_values() -> Rejection:
    return Rejection(
        RejectionCode.BODY_TOO_LARGE,
        f"The body holds more than {MAX_VALUES:,} JSON values (objects, arrays, texts, numbers). Send less at once; "
        "data for a model belongs at a URL.",
    )


def body_guard(config: Config) -> Middleware:
    cap = config.max_body_bytes

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "POST" and is_mcp(request):
            headers = request.headers
            types = headers.getall("Content-Type", ())
            # No Content-Type is let pass; a wrong one is what a form or a text post of a foreign page has.
            if len(types) > 1 or (types and request.content_type != "application/json"):
                raise Rejection(
                    RejectionCode.UNSUPPORTED_MEDIA_TYPE,
                    "Send the JSON-RPC message with Content-Type: application/json.",
                )
            if "Content-Encoding" in headers and not _unencoded(headers.getall("Content-Encoding")):
                raise Rejection(
                    RejectionCode.UNSUPPORTED_MEDIA_TYPE,
                    "Send the body uncompressed, without Content-Encoding.",
                )
            if (request.content_length or 0) > cap:
                raise too_large(cap)
        return await handler(request)

    return middleware


def _unencoded(values: list[str]) -> bool:
    return all(coding.strip().lower() in _UNENCODED for coding in ",".join(values).split(","))


async def defer_100_continue(_request: web.Request) -> None:
    """The route's answer to ``Expect: 100-continue``: none yet, a guard may refuse the body unseen."""


async def read_body(request: web.Request, cap: int) -> bytes:
    """The whole body. Raises ``Rejection`` past the cap (nothing beyond it is kept) or past the time."""
    content = request.content
    if "Expect" in request.headers and request.version >= HttpVersion11 and not content.is_eof():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    if content.is_eof() and (request.content_length or cap + 1) <= cap:
        return content.read_nowait()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in content.iter_any():
                body += chunk
                if len(body) > cap:
                    raise too_large(cap)
    except web.RequestPayloadError:
        raise Rejection(
            RejectionCode.BAD_REQUEST, "The body broke off: its length or its chunks are not what the head promised."
        ) from None
    except TimeoutError:
        raise Rejection(
            RejectionCode.BODY_TIMEOUT,
            f"The body did not arrive within {BODY_TIMEOUT:.0f} s; send it again in one go.",
        ) from None
    return bytes(body)
