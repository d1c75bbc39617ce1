"""What every request to the upstream shares: one pooled session, capped bodies, and faults as one type.

The only module, with ``client`` and ``documents``, that touches the aiohttp client.
"""

import math
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto

import aiohttp
import attrs

from runflow_mcp import __version__
from runflow_mcp.jsontypes import JSON

#: The largest body that is read from upstream. Runs with inline media reach megabytes; more is a fault.
MAX_RESPONSE_BYTES = 8 * 1024 * 1024
#: Connections beyond one poll per waiting call: dispatches, look-ups, documents.
SPARE_CONNECTIONS = 100
CONNECT_TIMEOUT = 10.0


class Outcome(Enum):
    """What a failed request leaves known about its effect."""

    #: Nothing reached the upstream.
    NOT_SENT = auto()
    #: Upstream said no, and meant it.
    REFUSED = auto()
    #: Upstream said later (429, 503).
    BUSY = auto()
    #: It may have happened or not: reset, time-out, 5xx, an unreadable answer.
    UNKNOWN = auto()


@attrs.define
class UpstreamError(Exception):
    """A request to the upstream that brought no usable answer.

    ``reason`` is ours and safe to show; ``code``, ``message`` and ``errors`` are upstream's own, if any.
    ``answered``: upstream began a 2xx answer, or sent one that is not what it should be.
    """

    outcome: Outcome
    path: str
    reason: str
    status: int | None = None
    code: str | None = None
    message: str | None = None
    errors: list[JSON] = attrs.field(factory=list)
    retry_after: float | None = None
    answered: bool = False


class TooLong(UpstreamError):
    """An answer past the cap: asking for less may help."""


def open_session(max_waits: int) -> aiohttp.ClientSession:
    """The session for all upstream traffic: no cookies, no transparent decompression, a pool that fits."""
    connector = aiohttp.TCPConnector(limit=max_waits + SPARE_CONNECTIONS, ttl_dns_cache=60)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": f"runflow-mcp/{__version__}", "Accept-Encoding": "identity"},
    )


def timeout(seconds: float) -> aiohttp.ClientTimeout:
    """Limits of one request: in all, and for connecting."""
    return aiohttp.ClientTimeout(
        total=seconds,
        sock_connect=min(CONNECT_TIMEOUT, seconds),
        # aiohttp rounds longer ones up to whole seconds, to save wake-ups that are few here.
        ceil_threshold=math.inf,
    )


@asynccontextmanager
async def faults(path: str, *, answered: bool = False) -> AsyncIterator[None]:
    """Turn whatever aiohttp raises inside into an ``UpstreamError``. ``answered``: the head of a 2xx has arrived."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as fault:
        raise UpstreamError(Outcome.NOT_SENT, path, "no connection to Runflow could be made") from fault
    except TimeoutError as fault:
        raise UpstreamError(Outcome.UNKNOWN, path, "Runflow did not answer in time", answered=answered) from fault
    except (aiohttp.ClientError, OSError, ValueError, zlib.error) as fault:
        # ValueError: a redirect to a URL that is none, a header that cannot be read.
        reason = "the connection to Runflow broke"
        raise UpstreamError(Outcome.UNKNOWN, path, reason, answered=answered) from fault


async def read_capped(response: aiohttp.ClientResponse, path: str) -> bytes:
    """The whole body, decompressed if upstream compressed it unasked, refused past the cap as it arrives."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    decoder = None
    if encoding in ("gzip", "x-gzip", "deflate"):
        decoder = zlib.decompressobj(wbits=47 if encoding != "deflate" else 15)
    elif encoding not in ("", "identity"):
        raise _unreadable(response, path, "an encoding that was not asked for")
    body = bytearray()
    received = 0
    async for chunk in response.content.iter_any():
        received += len(chunk)
        body += decoder.decompress(chunk, MAX_RESPONSE_BYTES + 1 - len(body)) if decoder else chunk
        # What is received counts too: compressed nothing can go on for ever.
        if max(received, len(body)) > MAX_RESPONSE_BYTES:
            raise _unreadable(response, path, "an answer over 8 MiB", TooLong)
    if decoder and not decoder.eof:
        raise _unreadable(response, path, "an answer that was cut short")
    return bytes(body)


def _unreadable(
    response: aiohttp.ClientResponse, path: str, what: str, kind: type[UpstreamError] = UpstreamError
) -> UpstreamError:
    response.close()  # the rest of the body must not be read to reuse the connection
    return kind(Outcome.UNKNOWN, path, f"Runflow sent {what}", status=response.status)
