"""The application factory: from a config to services, middlewares and routes. No globals, no work at import."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from random import Random

from aiohttp import web

from runflow_mcp.clock import Clock, SystemClock
from runflow_mcp.methods.context import Services
from runflow_mcp.methods.inflight import InFlight
from runflow_mcp.methods.listeners import Subscriptions
from runflow_mcp.methods.router import TOOLS, MethodTable, method_table
from runflow_mcp.methods.subscriptions import notify_prompts_changed
from runflow_mcp.observability.line_budget import LineBudget
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.observability.run_log import RunLog
from runflow_mcp.observability.sink import Sink
from runflow_mcp.ratelimit.limits import Limits, Store
from runflow_mcp.ratelimit.memory import MemoryStore
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.key_trials import KeyTrials
from runflow_mcp.runflow.api.shared_reads import SharedReads
from runflow_mcp.runflow.api.transport import open_session
from runflow_mcp.runflow.catalog.catalog import Catalog
from runflow_mcp.runflow.catalog.documents import Source
from runflow_mcp.runflow.catalog.skill import Skill
from runflow_mcp.runflow.dispatch.dispatcher import Dispatcher
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import LARGE_BODY_TURN, LIMITS, LOG_SINK, METHODS, SERVICES, UNADMITTED_LOG, UNREAD_BUDGET
from runflow_mcp.web.backpressure import UnreadBudget
from runflow_mcp.web.closing import announce_close
from runflow_mcp.web.middlewares import cors, stack
from runflow_mcp.web.request_id import add_request_id
from runflow_mcp.web.routes import add_routes
from runflow_mcp.web.sampling import sampling


def create_app(
    config: Config,
    *,
    clock: Clock | None = None,
    random: Random | None = None,
    table: MethodTable | None = None,
    sink: Sink | None = None,
    metrics: Metrics | None = None,
) -> web.Application:
    """The server as an aiohttp application.

    ``table``: replaces the product's methods, for tests. ``sink``: where the log goes, for the readiness probe.
    ``metrics``: None to record nothing.
    """
    app = web.Application(middlewares=stack(config))
    app[METHODS] = table or method_table(*TOOLS)
    app[UNREAD_BUDGET] = UnreadBudget()
    app[LARGE_BODY_TURN] = asyncio.Lock()
    app[UNADMITTED_LOG] = LineBudget("requests_not_logged")
    app.on_cleanup.append(_report_unlogged)
    app[LOG_SINK] = sink
    clock = clock or SystemClock()
    app.cleanup_ctx.append(_limits(config, clock))
    app.cleanup_ctx.append(_services(config, clock, random or Random(), metrics or Metrics()))
    if metrics is not None:
        app.cleanup_ctx.append(sampling(metrics, clock))
    app.on_response_prepare.append(add_request_id)
    app.on_response_prepare.append(cors.add_cors_headers)
    app.on_response_prepare.append(announce_close)
    add_routes(app)
    return app


async def _report_unlogged(app: web.Application) -> None:
    app[UNADMITTED_LOG].report()


def _limits(config: Config, clock: Clock) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(app: web.Application) -> AsyncIterator[None]:
        store = _store(config, clock)
        app[LIMITS] = Limits(store, config)
        background = [
            asyncio.create_task(store.probe(), name="probe limit store"),
            asyncio.create_task(_evict_expired(store, config, clock), name="evict expired windows"),
        ]
        yield
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        await store.close()

    return context


def _store(config: Config, clock: Clock) -> Store:
    if config.rate_limit_store == "memory://":
        return MemoryStore.make(config, clock)
    # The package is an extra, needed only for limits shared between processes.
    from runflow_mcp.ratelimit.redis import RedisStore  # noqa: PLC0415

    return RedisStore.make(config, clock)


async def _evict_expired(store: Store, config: Config, clock: Clock) -> None:
    """Free the memory of expired windows even when no request arrives."""
    while True:
        await clock.sleep(config.rate_limit_window)
        store.evict_expired()


def _services(
    config: Config, clock: Clock, random: Random, metrics: Metrics
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(app: web.Application) -> AsyncIterator[None]:
        session = open_session(config.max_waits, config.egress)
        timeout, ttl = config.upstream_timeout, config.catalog_ttl
        trials = KeyTrials(app[LIMITS])
        client = RunflowClient(session, config.api_url, timeout, clock, trials, metrics)
        catalog = Source("catalog", session, config.catalog_url, timeout, clock, metrics)
        skill = Source("skill", session, config.skill_url, timeout, clock, metrics)
        subscriptions = Subscriptions()
        runs = RunLog(metrics)
        services = app[SERVICES] = Services(
            config=config,
            clock=clock,
            random=random,
            catalog=Catalog(catalog, ttl, clock, partial(notify_prompts_changed, subscriptions)),
            skill=Skill(skill, ttl, clock),
            client=client,
            metrics=metrics,
            runs=runs,
            dispatcher=Dispatcher(client, clock, random, runs),
            reads=SharedReads(client, clock),
            inflight=InFlight(config.max_waits, config.waits_per_key),
            subscriptions=subscriptions,
            started_at=clock.monotonic(),
        )
        background = [
            asyncio.create_task(services.catalog.keep_fresh(), name="keep catalog fresh"),
            asyncio.create_task(services.skill.keep_fresh(), name="keep skill fresh"),
        ]
        yield
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        await services.catalog.close()
        await services.dispatcher.close()
        await trials.close()
        client.failures.close()
        await session.close()

    return context
