"""Measures the state of the process for its metrics, four times a second: its gauges, and the lag of its event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from runflow_mcp.clock import Clock
from runflow_mcp.observability.metrics import Gauges, Metrics
from runflow_mcp.web.app_keys import LIMITS, SERVICES, UNREAD_BUDGET

#: Seconds between two samples: how old a gauge can be.
INTERVAL = 0.25


def sampling(metrics: Metrics, clock: Clock) -> Callable[[web.Application], AsyncIterator[None]]:
    """A ``cleanup_ctx`` that samples while the application runs."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(_sample_forever(app, metrics, clock), name="sample gauges")
        yield
        task.cancel()
        await asyncio.wait([task])

    return context


async def _sample_forever(app: web.Application, metrics: Metrics, clock: Clock) -> None:
    while True:
        due = clock.monotonic() + INTERVAL
        await clock.sleep(INTERVAL)
        metrics.sample(_gauges(app), lag=clock.monotonic() - due)


def _gauges(app: web.Application) -> Gauges:
    services, store = app[SERVICES], app[LIMITS].store.state()
    catalog = services.catalog
    fallbacks = store.get("fallbacks")
    return Gauges(
        waits=services.inflight.slots_used,
        subscriptions=len(services.subscriptions),
        unread_bytes=app[UNREAD_BUDGET].held,
        catalog_age=catalog.age(),
        catalog_models=0 if catalog.current is None else len(catalog.current.models),
        limit_store_up=store.get("state", "ok") == "ok",
        limit_store_fallbacks=fallbacks if isinstance(fallbacks, int) else 0,
    )
