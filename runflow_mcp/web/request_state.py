"""What the middlewares find out about a request, for other middlewares and for its handler."""

import attrs
from aiohttp import web

from runflow_mcp.credentials import Bearer
from runflow_mcp.errors import Rejection
from runflow_mcp.observability.record import CallRecord
from runflow_mcp.web.app_keys import Parts
from runflow_mcp.web.guards import Guards


@attrs.define(eq=False)
class RequestState:
    """One request, from its head to its access line. A member is None until a middleware has set it."""

    request_id: str
    #: The client's address as the rate limits count it: see ``addresses.rate_limit_key``.
    address: str
    guards: Guards
    #: The path of the resource for the access line; None where there is none. The path as requested could hold
    #: anything, such as an API key.
    log_path: str | None
    parts: Parts
    #: ``Clock.monotonic`` at arrival.
    arrived: float
    #: What the access line reports of the call.
    record: CallRecord
    #: The same for each entry of a batch, once the batch was admitted.
    batch_records: list[CallRecord] | None = None
    #: The request's Origin, once the allowlist has admitted it.
    origin: str | None = None
    bearer: Bearer | None = None
    #: Why the request has no acceptable bearer, although its resource needs one.
    bearer_rejection: Rejection | None = None
    #: When the request was counted in the windows of its address and key.
    admitted_at: int | None = None


STATE = web.RequestKey("state", RequestState)
