"""Reads the body of a POST: no further than the cap, and no longer than the time limit."""

import asyncio

from aiohttp import HttpVersion11, web

from runflow_mcp.bounds import MAX_BODY_VALUES, has_too_many_values
from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.web.app_keys import LARGE_BODY_TURN

#: Seconds for the whole body to arrive.
BODY_TIMEOUT = 10.0
#: Bytes of a body that takes milliseconds to handle. The event loop handles everything that is ready before it looks
#: for more, so of such requests it gets one at a time.
LARGE_BODY = 16 * 1024


async def read_json_body(request: web.Request, cap: int) -> bytes:
    """The whole body. Raises ``Rejection`` past the cap, past the time limit, and for too many JSON values."""
    content = request.content
    if content.is_eof():  # the whole body has arrived
        body = content.read_nowait()
        if len(body) > cap:
            raise too_large(cap)
    else:
        body = await _read_to_end(request, cap)
    if len(body) > LARGE_BODY:
        await _wait_for_turn(request.app[LARGE_BODY_TURN])
    if len(body) > MAX_BODY_VALUES and has_too_many_values(body):
        raise Rejection(
            RejectionCode.BODY_TOO_LARGE,
            f"The body holds more than {MAX_BODY_VALUES:,} JSON values (objects, arrays, strings, numbers). Send less "
            "at once; data for a model belongs at a URL.",
        )
    return body


async def _wait_for_turn(turn: asyncio.Lock) -> None:
    await turn.acquire()
    # Not released by the caller: what it does until its first wait belongs to its turn.
    asyncio.get_running_loop().call_soon(turn.release)


async def _read_to_end(request: web.Request, cap: int) -> bytes:
    content = request.content
    if "Expect" in request.headers and request.version >= HttpVersion11 and not content.is_eof():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in content.iter_any():
                body += chunk
                if len(body) > cap:
                    raise too_large(cap)
    except web.RequestPayloadError:
        message = "The body is incomplete: its length or its chunks are not what the headers announced."
        raise Rejection(RejectionCode.BAD_REQUEST, message) from None
    except TimeoutError:
        message = f"The body did not arrive within {BODY_TIMEOUT:.0f} s; send it again without pauses."
        raise Rejection(RejectionCode.BODY_TIMEOUT, message) from None
    return bytes(body)


def too_large(cap: int) -> Rejection:
    return Rejection(
        RejectionCode.BODY_TOO_LARGE,
        f"The body is over {cap} bytes. Send media as URLs instead of inline data, "
        "or have the operator raise MCP_MAX_BODY_BYTES.",
    )


async def defer_100_continue(_request: web.Request) -> None:
    """Send no ``100 Continue`` yet: a guard may reject the request unread. ``read_json_body`` sends it."""
