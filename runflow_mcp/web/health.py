"""Liveness and readiness, for machines that ask by address: no bearer, no host check, no limits."""

import orjson
from aiohttp import web

from runflow_mcp import __version__
from runflow_mcp.json_types import JSON
from runflow_mcp.web.app_keys import LIMITS, LOG_SINK, SERVICES

HEALTHZ, READYZ = "/healthz", "/readyz"
PROBES = frozenset({HEALTHZ, READYZ})
#: Seconds after start within which readiness waits for the first attempt at the catalog.
STARTING = 5.0


async def healthz(_request: web.Request) -> web.Response:
    """The process answers; says nothing of the upstream."""
    return _json(200, {"status": "ok", "version": __version__})


async def readyz(request: web.Request) -> web.Response:
    """Whether this replica should get traffic. A missing catalog alone is no reason against it."""
    services = request.app[SERVICES]
    catalog = services.catalog
    reasons = []
    if services.inflight.draining:
        reasons.append("draining")
    if not catalog.first_attempt_done.is_set() and services.clock.monotonic() - services.started_at < STARTING:
        reasons.append("starting: the first attempt at the catalog has not ended")
    state: dict[str, JSON] = {"state": "missing"}
    if catalog.current is not None:
        stale = catalog.stale_seconds()
        state = {
            "state": "fresh" if stale is None else "stale",
            "models": len(catalog.current.models),
            "skipped": catalog.current.skipped,
        }
        if stale is not None:
            state["stale_seconds"] = stale
    body: dict[str, JSON] = {
        "status": "unready" if reasons else "ready",
        "version": __version__,
        "reasons": [*reasons],
        "catalog": state,
        "limits": request.app[LIMITS].store.state(),
        "waits": services.inflight.slots_used,
    }
    sink = request.app[LOG_SINK]
    if sink is not None:  # a log that cannot be written is no reason against it either
        body["log"] = sink.state()
    return _json(503 if reasons else 200, body)


def _json(status: int, body: JSON) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
