"""Liveness and readiness, for load balancers and orchestrators: no bearer, no allowlists, no rate limits."""

import orjson
from aiohttp import web

from runflow_mcp import __version__
from runflow_mcp.json_types import JSON
from runflow_mcp.web.app_keys import LIMITS, LOG_SINK, SERVICES
from runflow_mcp.web.responses import json_response

HEALTHZ, READYZ = "/healthz", "/readyz"
#: Seconds after the start within which readiness waits for the first attempt to fetch the catalog.
STARTUP_GRACE = 5.0


async def healthz(_request: web.Request) -> web.Response:
    """Whether the process answers. Sends nothing upstream."""
    return json_response(orjson.dumps({"status": "ok", "version": __version__}))


async def readyz(request: web.Request) -> web.Response:
    """Whether this replica should get traffic. A missing catalog does not make it unready: generate needs none."""
    services = request.app[SERVICES]
    catalog = services.catalog
    reasons = []
    if services.inflight.draining:
        reasons.append("draining")
    if not catalog.first_attempt_done.is_set() and services.clock.monotonic() - services.started_at < STARTUP_GRACE:
        reasons.append("starting: the first attempt to fetch the catalog has not ended")
    catalog_state: dict[str, JSON] = {"state": "missing"}
    if catalog.current is not None:
        stale = catalog.stale_seconds()
        catalog_state = {
            "state": "fresh" if stale is None else "stale",
            "models": len(catalog.current.models),
            "skipped": catalog.current.skipped,
        }
        if stale is not None:
            catalog_state["stale_seconds"] = stale
    body: dict[str, JSON] = {
        "status": "unready" if reasons else "ready",
        "version": __version__,
        "reasons": [*reasons],
        "catalog": catalog_state,
        "limits": request.app[LIMITS].store.state(),
        "waits": services.inflight.slots_used,
    }
    sink = request.app[LOG_SINK]
    if sink is not None:  # reported only: a log that cannot be written does not make it unready either
        body["log"] = sink.state()
    return json_response(orjson.dumps(body), 503 if reasons else 200)
