"""The rate limits: requests without an acceptable bearer count by address, all others by address and by key."""

from aiohttp import web
from aiohttp.typedefs import Handler

from runflow_mcp.web.request_state import STATE


@web.middleware
async def rate_limit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count the request, or reject it. ``rpc`` counts the further entries of a batch."""
    state = request[STATE]
    if state.bearer is not None:
        state.admitted_at = await state.parts.limits.count_authenticated(state.bearer)
    elif state.bearer_rejection is not None:
        # A 401 becomes a 429 once the window of its address is full.
        await state.parts.limits.count_unauthenticated(state.address)
        raise state.bearer_rejection
    return await handler(request)
