"""Fetching the public documents (catalog, skill): conditional, capped, redirected at most three times.

No bearer ever goes with these requests.
"""

import aiohttp
import attrs

from runflow_mcp.runflow.api import transport
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError

#: aiohttp counts the request that it refuses as well.
MAX_REDIRECTS = 3
NOT_MODIFIED = 304


@attrs.frozen
class Document:
    """A fetched document; ``etag`` makes the next request conditional."""

    body: bytes
    etag: str | None
    content_type: str


async def fetch(
    session: aiohttp.ClientSession, url: str, *, timeout: float, etag: str | None = None
) -> Document | None:
    """The document, or None when it has not changed since ``etag``. Raises ``UpstreamError``."""
    headers = {"If-None-Match": etag} if etag else {}
    limits = transport.request_timeout(timeout)
    async with (
        transport.translate_errors(url),
        session.get(url, headers=headers, timeout=limits, max_redirects=MAX_REDIRECTS + 1) as response,
    ):
        if response.status == NOT_MODIFIED and etag:
            return None
        if response.status != 200:  # noqa: PLR2004 - HTTP's own figure
            reason = f"the server answered HTTP {response.status}"
            raise UpstreamError(Outcome.REFUSED, url, reason, status=response.status)
        return Document(
            body=await transport.read_capped(response, url),
            etag=response.headers.get("ETag"),
            content_type=response.content_type,
        )
