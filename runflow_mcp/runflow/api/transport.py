"""The I/O edge of the upstream: one pooled session, time limits, capped bodies, aiohttp's errors as one type.

Knows aiohttp, but not what an answer means. The only other module that sends requests upstream is ``documents``.
"""

import math
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Literal
from urllib.parse import urlencode

import aiohttp
import attrs
from yarl import URL

from runflow_mcp import __version__
from runflow_mcp.observability.metrics import Operation
from runflow_mcp.runflow.api.connection_errors import PROXY_AUTHENTICATION_REQUIRED, ProxyFailed, problem_of
from runflow_mcp.runflow.api.errors import Outcome, ResponseTooLarge, UpstreamError, is_success
from runflow_mcp.runflow.api.responses import LARGE_BODY, Response
from runflow_mcp.settings.egress import Egress

#: The largest body that is read from upstream. Runs with inline media reach megabytes.
MAX_RESPONSE_BYTES = 8 * 1024 * 1024
#: Large bodies that are read at the same time: thirty callers of runs with huge outputs would hold 500 MB.
LARGE_BODIES = 4
#: Connections beyond one poll per waiting call: dispatches, look-ups, documents.
SPARE_CONNECTIONS = 100
CONNECT_TIMEOUT = 10.0
#: What aiohttp raises for a request. ValueError: a redirect to an invalid URL, or an unreadable header.
EXCEPTIONS = (aiohttp.ClientError, OSError, ValueError, zlib.error)
#: No proxy, and the system's certificates.
DIRECT = Egress()


@attrs.frozen
class Request:
    """One request to the API. ``operation``: its name in metrics. ``path``: below the API's base URL."""

    operation: Operation
    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, object] | None = None
    body: bytes | None = attrs.field(default=None, repr=False)


def open_session(max_waits: int, egress: Egress = DIRECT) -> aiohttp.ClientSession:
    """The session for all upstream traffic: no cookies, no transparent decompression, a pool for all waits."""
    connector = aiohttp.TCPConnector(
        limit=max_waits + SPARE_CONNECTIONS,
        ttl_dns_cache=60,
        ssl=_tls_context(egress.ca_file),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": f"runflow-mcp/{__version__}", "Accept-Encoding": "identity"},
        middlewares=(proxy_middleware(egress),) if egress.has_proxy else (),
    )


def _tls_context(ca_file: str) -> ssl.SSLContext | Literal[True]:
    """What trusts the system's certificates and those of the file; True for aiohttp's own, which has the system's."""
    # A file that the process environment names is the system's already, and loading it again takes 0.1 s.
    if ca_file in ("", ssl.get_default_verify_paths().cafile):
        return True
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=ca_file)
    return context


def proxy_middleware(egress: Egress) -> aiohttp.ClientMiddlewareType:
    """Choose the proxy for each request and each redirect, and raise ``ProxyFailed`` for the proxy's own errors."""

    async def send(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        url = request.url
        proxy = egress.proxy_for(url.scheme, url.host or "", url.port)
        if proxy is None:
            return await handler(request)
        credentials = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
        tunnelled = url.scheme == "https"
        request.update_proxy(URL(proxy.url), None, credentials if tunnelled else None)
        if not tunnelled:
            request.headers.update(credentials)
        try:
            response = await handler(request)
        except aiohttp.ClientHttpProxyError as error:
            raise ProxyFailed(error.status) from None  # it has the credentials among its headers
        except aiohttp.ClientConnectorError as error:
            # A connector error of a tunnelled request is the proxy's only if it names the proxy's host.
            if isinstance(error, aiohttp.ClientProxyConnectionError) or error.host == proxy.host:
                raise ProxyFailed from error
            raise
        if response.status == PROXY_AUTHENTICATION_REQUIRED and not tunnelled:
            response.close()
            raise ProxyFailed(response.status)
        return response

    return send


@lru_cache(maxsize=16)  # nearly every request has the configured limit; making the object takes 2 µs
def request_timeout(seconds: float) -> aiohttp.ClientTimeout:
    """Limits of one request: for all of it, and for connecting."""
    return aiohttp.ClientTimeout(
        total=seconds,
        # Shorter than the total, so that a failure to connect is distinguished from a missing answer.
        sock_connect=min(CONNECT_TIMEOUT, 0.9 * seconds),
        # aiohttp rounds longer ones up to whole seconds, to save wake-ups that are few here.
        ceil_threshold=math.inf,
    )


async def send(
    session: aiohttp.ClientSession,
    base_url: str,
    request: Request,
    *,
    credentials: Mapping[str, str],
    timeout: float,
    on_large: Callable[[], Awaitable[None]],
) -> Response:
    """The whole answer, whatever its status. Raises ``UpstreamError`` when none came or it cannot be read.

    ``timeout``: seconds, more than 0. ``on_large``: see ``read_capped``.
    """
    path = request.path
    target = f"{base_url}{path}" + (f"?{urlencode(request.query)}" if request.query else "")
    answered = False
    try:
        # Not ``async with``, whose frames and second release would cost time in every poll.
        response = await session.request(
            request.method,
            URL(target, encoded=True),
            data=request.body,
            headers={**credentials, "Accept": "application/json", **request.headers},
            timeout=request_timeout(timeout),
            # A redirect would carry the bearer to wherever it points.
            allow_redirects=False,
        )
        try:
            answered = is_success(response.status)
            body = await read_capped(response, path, on_large)
        finally:
            response.release()
    except EXCEPTIONS as error:
        raise upstream_error(error, path, answered=answered) from error
    return Response(response.status, response.headers, body)


def upstream_error(error: Exception, path: str, *, answered: bool = False) -> UpstreamError:
    """What one of ``EXCEPTIONS`` means. ``answered``: the head of a 2xx had arrived."""
    problem = problem_of(error)
    outcome = Outcome.UNKNOWN if problem.sent or answered else Outcome.NOT_SENT
    return UpstreamError(outcome, path, problem.reason, problem=problem.kind, answered=answered)


@asynccontextmanager
async def translate_errors(path: str) -> AsyncIterator[None]:
    """Turn what aiohttp raises inside into an ``UpstreamError``."""
    try:
        yield
    except EXCEPTIONS as error:
        raise upstream_error(error, path) from error


async def read_capped(
    response: aiohttp.ClientResponse, path: str, on_large: Callable[[], Awaitable[None]] | None = None
) -> bytes:
    """The whole body, decompressed if upstream compressed it unasked; an error as soon as it exceeds the cap.

    ``on_large`` is awaited once the body exceeds ``LARGE_BODY``; nothing more is read until it returns.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    decoder = None
    if encoding in ("gzip", "x-gzip", "deflate"):
        decoder = zlib.decompressobj(wbits=47 if encoding != "deflate" else 15)
    elif encoding not in ("", "identity"):
        raise _unreadable(response, path, "an encoding that was not asked for")
    body = bytearray()
    received = 0
    content = response.content
    while not content.at_eof():
        chunk = await content.readany()
        received += len(chunk)
        body += decoder.decompress(chunk, MAX_RESPONSE_BYTES + 1 - len(body)) if decoder else chunk
        # The compressed size counts too: an endless body may decompress to nothing.
        if max(received, len(body)) > MAX_RESPONSE_BYTES:
            raise _unreadable(response, path, "an answer over 8 MiB", ResponseTooLarge)
        if on_large is not None and len(body) > LARGE_BODY:
            await on_large()
            on_large = None
    if decoder and not decoder.eof:
        raise _unreadable(response, path, "an answer that was cut short")
    return bytes(body)


def _unreadable(
    response: aiohttp.ClientResponse, path: str, what: str, error: type[UpstreamError] = UpstreamError
) -> UpstreamError:
    response.close()  # the rest of the body must not be read to reuse the connection
    return error(Outcome.UNKNOWN, path, f"Runflow sent {what}", status=response.status)
