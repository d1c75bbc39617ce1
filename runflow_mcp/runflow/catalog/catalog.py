"""The owner of the current catalog snapshot: fetched once at a time, refreshed in the background, kept on error.

A document is read in ``entries`` and fetched in ``documents``.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable

import attrs
import structlog

from runflow_mcp.clock import Clock
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.api.responses import LARGE_BODY
from runflow_mcp.runflow.backoff import Backoff
from runflow_mcp.runflow.catalog.documents import NOT_MODIFIED, Source
from runflow_mcp.runflow.catalog.entries import CatalogUnreadable, Snapshot, parse_catalog

log = structlog.get_logger(__name__)

#: A snapshot is refreshed when this share of its freshness has passed, so that callers never wait.
REFRESH_AT = 0.8
BACKOFF = Backoff(first=1.0, limit=60.0)
#: Seconds that a client which connects just after the start waits for the first catalog.
FIRST_ATTEMPT_WAIT = 5.0


@attrs.define
class CatalogUnavailable(Exception):
    """No snapshot could be fetched or read. ``status``, ``problem``: as in ``UpstreamError``."""

    reason: str
    status: int | None = None
    problem: str | None = None


@attrs.define
class Catalog:
    """The catalog as this process last saw it. ``ttl``: seconds for which a snapshot is fresh."""

    source: Source
    ttl: float
    clock: Clock = attrs.field(repr=False)
    #: Called with the previous snapshot, if any, and the new one.
    on_replaced: Callable[[Snapshot | None, Snapshot], None] = attrs.field(repr=False)
    #: Set when the first attempt has ended, in success or failure.
    first_attempt_done: asyncio.Event = attrs.field(factory=asyncio.Event, repr=False)
    current: Snapshot | None = None
    _etag: str | None = None
    _confirmed: float = -math.inf
    _flight: asyncio.Task[Snapshot] | None = attrs.field(default=None, repr=False)

    async def snapshot(self) -> Snapshot:
        """The current snapshot, however old; the first callers share one fetch and wait for it."""
        return self.current if self.current is not None else await self._refresh()

    async def first_attempt(self) -> None:
        """Wait while the first attempt is under way, ``FIRST_ATTEMPT_WAIT`` seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ATTEMPT_WAIT):
                await self.first_attempt_done.wait()

    def stale_seconds(self) -> int | None:
        """Whole seconds since the snapshot stopped being fresh, rounded up; None while it is fresh."""
        past = self.clock.monotonic() - self._confirmed - self.ttl
        return math.ceil(past) if past > 0 and self.current is not None else None

    def age(self) -> float | None:
        """Seconds since the snapshot was last confirmed; None while there is none."""
        return None if self.current is None else self.clock.monotonic() - self._confirmed

    def fresh_for(self) -> float:
        """Seconds of freshness left."""
        return max(0.0, self._confirmed + self.ttl - self.clock.monotonic())

    async def keep_fresh(self) -> None:
        """Refresh forever; the body of a background task."""
        await self.source.refresh_forever(self._try_refresh, interval=self.ttl * REFRESH_AT, backoff=BACKOFF)

    async def _try_refresh(self) -> UpstreamError | None:
        try:
            await self._refresh()
        except CatalogUnavailable as error:
            return UpstreamError(Outcome.UNKNOWN, self.source.url, error.reason, error.status, problem=error.problem)
        return None

    async def _refresh(self) -> Snapshot:
        if self._flight is None:
            self._flight = asyncio.create_task(self._fetch(), name="catalog")
            self._flight.add_done_callback(self._on_done)
        # A caller that leaves must not cancel the fetch of the others.
        return await asyncio.shield(self._flight)

    def _on_done(self, flight: asyncio.Task[Snapshot]) -> None:
        self._flight = None
        self.first_attempt_done.set()
        if not flight.cancelled():
            flight.exception()  # retrieved even if every caller has left

    async def _fetch(self) -> Snapshot:
        metrics = self.source.metrics
        try:
            document = await self.source.fetch(self._etag)
            if document is not None:
                previous, self.current = self.current, self._checked(await _parse(document.body))
                self._etag = document.etag
                self.on_replaced(previous, self.current)
                metrics.providers({model.provider_slug for model in self.current.models})
                log.info(
                    "catalog_refreshed",
                    models=len(self.current.models),
                    solutions=len(self.current.solutions),
                    skipped=self.current.skipped,
                )
        except UpstreamError as error:
            raise self._log_failure(error.reason, error.status, error.problem) from error
        except CatalogUnreadable as error:
            raise self._log_failure(str(error), None) from error
        except Exception as error:
            # A bug in reading must not end the background task.
            metrics.catalog_refresh("failed")
            log.exception("catalog_fetch_crashed")
            raise CatalogUnavailable("an internal error") from error
        if self.current is None:
            raise self._log_failure("the server answered 304 (not modified), but nothing is cached", NOT_MODIFIED)
        metrics.catalog_refresh("unchanged" if document is None else "updated")
        self._confirmed = self.clock.monotonic()
        return self.current

    def _checked(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot. Raises if all entries are gone at once: that is probably a mistake in publishing."""
        if not snapshot.models:
            if self.current is not None and self.current.models:
                raise CatalogUnreadable("the catalog lists no active model any more; the previous one is kept")
            log.warning("catalog_empty", skipped=snapshot.skipped)
        return snapshot

    def _log_failure(self, reason: str, status: int | None, problem: str | None = None) -> CatalogUnavailable:
        self.source.metrics.catalog_refresh("failed")
        stale = self.current is not None
        log.warning("catalog_fetch_failed", reason=reason, status=status, problem=problem, stale=stale)
        return CatalogUnavailable(reason, status, problem)

    async def close(self) -> None:
        """Cancel a fetch that is still under way."""
        if self._flight is not None:
            self._flight.cancel()
            with contextlib.suppress(asyncio.CancelledError, CatalogUnavailable):
                await self._flight


async def _parse(body: bytes) -> Snapshot:
    """The snapshot in a document. A large one takes seconds: it is parsed in a thread."""
    return await asyncio.to_thread(parse_catalog, body) if len(body) > LARGE_BODY else parse_catalog(body)
