"""Records the requests that reach the sandbox."""

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import attrs
import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.clock import Clock
from runflow_mcp.sandbox.credentials import bearer_key, fingerprint

RECORDED_HEADERS = (
    "Accept",
    "Content-Type",
    "Cookie",
    "Idempotency-Key",
    "If-None-Match",
    "Traceparent",
    "Tracestate",
    "User-Agent",
    "X-Organization-Id",
    "X-Request-Id",
)


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """``key`` is the fingerprint of the bearer, ``body`` parsed JSON, ``at`` monotonic time."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    key: str | None
    body: Any
    at: float


def record_requests(requests: deque[RecordedRequest], clock: Clock) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        at = clock.monotonic()
        body = None
        with suppress(orjson.JSONDecodeError):
            body = orjson.loads(await request.read())
        key = bearer_key(request.headers.get("Authorization"))
        requests.append(
            RecordedRequest(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers={name: request.headers[name] for name in RECORDED_HEADERS if name in request.headers},
                key=fingerprint(key) if key else None,
                body=body,
                at=at,
            )
        )
        return await handler(request)

    return middleware
