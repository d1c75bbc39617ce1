"""The typed keys under which the application carries what middlewares and handlers need."""

import asyncio

import attrs
from aiohttp import web

from runflow_mcp.methods.context import Services
from runflow_mcp.methods.router import MethodTable
from runflow_mcp.observability.line_budget import LineBudget
from runflow_mcp.observability.sink import Sink
from runflow_mcp.ratelimit.limits import Limits
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


@attrs.frozen
class Parts:
    """The objects under those keys that every request needs, each as an attribute: a key takes four times as long."""

    services: Services
    limits: Limits
    methods: MethodTable
    unadmitted_log: LineBudget
    sink: Sink | None

    @classmethod
    def of(cls, app: web.Application) -> "Parts":
        """Needs an application that has started."""
        return cls(app[SERVICES], app[LIMITS], app[METHODS], app[UNADMITTED_LOG], app[LOG_SINK])
