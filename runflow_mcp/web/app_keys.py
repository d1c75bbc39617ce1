"""The typed keys under which the application and a request carry what middlewares and handlers need."""

import asyncio

from aiohttp import web

from runflow_mcp.credentials import Bearer
from runflow_mcp.methods.context import Services
from runflow_mcp.methods.router import MethodTable
from runflow_mcp.observability.line_budget import LineBudget
from runflow_mcp.observability.record import CallRecord
from runflow_mcp.observability.sink import Sink
from runflow_mcp.ratelimit.limits import Admission, Limits
from runflow_mcp.web.backpressure import UnreadBudget

SERVICES = web.AppKey("services", Services)
LIMITS = web.AppKey("limits", Limits)
METHODS = web.AppKey("methods", MethodTable)
UNREAD_BUDGET = web.AppKey("unread", UnreadBudget)
#: Held while a request with a large body is handled up to its first wait.
LARGE_BODY_TURN = web.AppKey("large_body_turn", asyncio.Lock)
UNADMITTED_LOG = web.AppKey("unadmitted_log", LineBudget)
#: Where the log goes; None where no command has configured it.
LOG_SINK: web.AppKey[Sink | None] = web.AppKey("log_sink")

REQUEST_ID = web.RequestKey("request_id", str)
#: What the access line reports of the call.
RECORD = web.RequestKey("record", CallRecord)
#: The same for each entry of a batch, once the batch was admitted.
BATCH_RECORDS = web.RequestKey("batch_records", list[CallRecord])
#: The client's address as the rate limits count it: see ``addresses.rate_limit_key``.
ADDRESS = web.RequestKey("address", str)
#: The request's Origin, once the allowlist has admitted it.
ORIGIN = web.RequestKey("origin", str)
BEARER = web.RequestKey("bearer", Bearer)
#: The windows that the request was counted in.
ADMISSION = web.RequestKey("admission", Admission)
