"""Fetching the public documents (catalog, skill): conditional, capped, redirected at most three times.

These requests never carry a bearer. What a document says is read by its owner, ``catalog`` or ``skill``.
"""

from collections.abc import Awaitable, Callable

import aiohttp
import attrs

from runflow_mcp.clock import Clock
from runflow_mcp.observability.metrics import Metrics, Operation
from runflow_mcp.runflow.api import transport
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.api.failure_log import FailureLog
from runflow_mcp.runflow.api.telemetry import Measurement
from runflow_mcp.runflow.backoff import Backoff

#: aiohttp's own count includes the redirect that it refuses.
MAX_REDIRECTS = 3
NOT_MODIFIED = 304


@attrs.frozen
class Document:
    """A fetched document; ``etag`` makes the next request conditional."""

    body: bytes
    etag: str | None
    content_type: str


@attrs.frozen
class Source:
    """Where a document is published. ``operation``: its name in metrics. ``timeout``: seconds."""

    operation: Operation
    session: aiohttp.ClientSession = attrs.field(repr=False)
    url: str
    timeout: float
    clock: Clock = attrs.field(repr=False)
    metrics: Metrics = attrs.field(factory=Metrics, repr=False)
    failures: FailureLog = attrs.field(factory=FailureLog, repr=False)

    async def fetch(self, etag: str | None = None) -> Document | None:
        """The document, or None when it has not changed since ``etag``. Raises ``UpstreamError``."""
        headers = {"If-None-Match": etag} if etag else {}
        limits = transport.request_timeout(self.timeout)
        with Measurement(self.clock, self.metrics, self.operation) as measurement:
            async with (
                transport.translate_errors(self.url),
                self.session.get(
                    self.url, headers=headers, timeout=limits, max_redirects=MAX_REDIRECTS + 1
                ) as response,
            ):
                measurement.status = response.status
                if response.status == NOT_MODIFIED and etag:
                    return None
                if response.status != 200:  # noqa: PLR2004 - HTTP's own figure
                    reason = f"the server answered HTTP {response.status}"
                    raise UpstreamError(Outcome.REFUSED, self.url, reason, status=response.status)
                return Document(
                    body=await transport.read_capped(response, self.url),
                    etag=response.headers.get("ETag"),
                    content_type=response.content_type,
                )

    async def refresh_forever(
        self, refresh: Callable[[], Awaitable[UpstreamError | None]], *, interval: float, backoff: Backoff
    ) -> None:
        """Call ``refresh``, which fetches, every ``interval`` seconds, and sooner after it returned an error."""
        failures = 0
        while True:
            error = await refresh()
            failures = 0 if error is None else failures + 1
            pause = interval if error is None else backoff.after(failures)
            if error is not None:
                self.failures.retried(self.operation, error, failures, pause)
            await self.clock.sleep(pause)
            if error is not None:
                self.metrics.upstream_retry(self.operation)
