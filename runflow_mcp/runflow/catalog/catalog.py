"""The owner of the current catalog snapshot: fetched once at a time, refreshed in the background, kept on error.

Mutable state lives here alone; reading a document is ``models``' business, fetching it ``documents``'.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable

import aiohttp
import attrs
import structlog

from runflow_mcp.clock import Clock
from runflow_mcp.runflow.api.errors import UpstreamError
from runflow_mcp.runflow.catalog import documents
from runflow_mcp.runflow.catalog.entries import CatalogUnreadable, Snapshot, parse_catalog

log = structlog.get_logger(__name__)

#: A snapshot is refreshed when this share of its freshness has passed, so that callers never wait.
REFRESH_AT = 0.8
#: Seconds between attempts after a failure: doubled up to the last.
FIRST_RETRY, LAST_RETRY = 1.0, 60.0
#: Seconds for which a client that connects to a server just started waits for the first catalog.
PATIENCE = 5.0


@attrs.define
class CatalogUnavailable(Exception):
    """There is no snapshot and none can be had. ``status``: what the catalog's server answered, if anything."""

    reason: str
    status: int | None = None


@attrs.define
class Catalog:
    """The catalog as this process last saw it. ``ttl``: seconds a snapshot is fresh."""

    session: aiohttp.ClientSession = attrs.field(repr=False)
    url: str
    ttl: float
    timeout: float
    clock: Clock = attrs.field(repr=False)
    #: Called with the last snapshot, if any, and the new one that takes its place.
    on_replaced: Callable[[Snapshot | None, Snapshot], None] = attrs.field(repr=False)
    #: Set when the first attempt has ended, well or badly.
    first_attempt_done: asyncio.Event = attrs.field(factory=asyncio.Event, repr=False)
    current: Snapshot | None = None
    _etag: str | None = None
    _confirmed: float = -math.inf
    _flight: asyncio.Task[Snapshot] | None = attrs.field(default=None, repr=False)

    async def snapshot(self) -> Snapshot:
        """The snapshot at hand, however old; the first callers share one fetch and wait for it."""
        return self.current if self.current is not None else await self._refresh()

    async def first_attempt(self) -> None:
        """Wait while the very first attempt is under way, but not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self.first_attempt_done.wait()

    def stale_seconds(self) -> int | None:
        """Whole seconds by which the snapshot has outlived its freshness, rounded up; None while fresh."""
        past = self.clock.monotonic() - self._confirmed - self.ttl
        return math.ceil(past) if past > 0 and self.current is not None else None

    def fresh_for(self) -> float:
        """Seconds of freshness left."""
        return max(0.0, self._confirmed + self.ttl - self.clock.monotonic())

    async def keep_fresh(self) -> None:
        """Refresh for ever; the body of a background task."""
        retry = FIRST_RETRY
        while True:
            try:
                await self._refresh()
            except CatalogUnavailable:
                pause, retry = retry, min(retry * 2, LAST_RETRY)
            else:
                pause, retry = self.ttl * REFRESH_AT, FIRST_RETRY
            await self.clock.sleep(pause)

    async def _refresh(self) -> Snapshot:
        if self._flight is None:
            self._flight = asyncio.create_task(self._fetch(), name="catalog")
            self._flight.add_done_callback(self._on_done)
        # A caller that goes away must not take the fetch of the others with it.
        return await asyncio.shield(self._flight)

    def _on_done(self, flight: asyncio.Task[Snapshot]) -> None:
        self._flight = None
        self.first_attempt_done.set()
        if not flight.cancelled():
            flight.exception()  # seen, even if every caller has gone

    async def _fetch(self) -> Snapshot:
        try:
            document = await documents.fetch(self.session, self.url, timeout=self.timeout, etag=self._etag)
            if document is not None:
                snapshot = await asyncio.to_thread(parse_catalog, document.body)
                before, self.current = self.current, self._accepted(snapshot)
                self._etag = document.etag
                self.on_replaced(before, self.current)
                log.info(
                    "catalog_refreshed",
                    models=len(self.current.models),
                    solutions=len(self.current.solutions),
                    skipped=self.current.skipped,
                )
        except UpstreamError as error:
            raise self._failed(error.reason, error.status, error.problem) from error
        except CatalogUnreadable as error:
            raise self._failed(str(error), None) from error
        except Exception as error:
            # A bug in reading must not end the refreshing for good.
            log.exception("catalog_fetch_crashed")
            raise CatalogUnavailable("an internal error") from error
        self._confirmed = self.clock.monotonic()
        if self.current is None:
            raise CatalogUnavailable("the server answered 304 (not modified), but nothing is cached")
        return self.current

    def _accepted(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot, unless it lost every entry at once: that is a publishing accident more often than the truth."""
        if not snapshot.models:
            if self.current is not None and self.current.models:
                raise CatalogUnreadable("the catalog lists no active model any more; the last one that did is kept")
            log.warning("catalog_empty", skipped=snapshot.skipped)
        return snapshot

    def _failed(self, reason: str, status: int | None, problem: str | None = None) -> CatalogUnavailable:
        log.warning("catalog_fetch_failed", reason=reason, problem=problem, stale=self.current is not None)
        return CatalogUnavailable(reason, status)

    async def close(self) -> None:
        """Stop a fetch that is still under way."""
        if self._flight is not None:
            self._flight.cancel()
            with contextlib.suppress(asyncio.CancelledError, CatalogUnavailable):
                await self._flight
