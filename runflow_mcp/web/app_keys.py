"""What the guards and the handlers leave on the application and on a request, with their types."""

from aiohttp import web

from runflow_mcp.credentials import Bearer
from runflow_mcp.methods.context import Services
from runflow_mcp.methods.router import MethodTable
from runflow_mcp.observability.sink import Sink
from runflow_mcp.ratelimit.limits import Admission, Limits
from runflow_mcp.web.backpressure import UnreadBudget
from runflow_mcp.web.refusal_log import RefusalLog

SERVICES = web.AppKey("services", Services)
LIMITS = web.AppKey("limits", Limits)
METHODS = web.AppKey("methods", MethodTable)
UNREAD_BUDGET = web.AppKey("unread", UnreadBudget)
REFUSAL_LOG = web.AppKey("refusal_log", RefusalLog)
#: Where the log goes; None where no command has configured it.
LOG_SINK: web.AppKey[Sink | None] = web.AppKey("log_sink")

REQUEST_ID = web.RequestKey("request_id", str)
BEARER = web.RequestKey("bearer", Bearer)
#: The windows that the request was counted in.
ADMISSION = web.RequestKey("admission", Admission)
#: The address that the request is limited by.
ADDRESS = web.RequestKey("address", str)
#: The request's Origin, once it has been found on the allowlist.
ORIGIN = web.RequestKey("origin", str)
#: The JSON-RPC method, for the access line.
RPC_METHOD = web.RequestKey("rpc_method", str)

#: The path of the JSON-RPC endpoint.
MCP_PATH = "/mcp"
#: The names of its routes, and their paths: a slash at the end makes no difference.
MCP_ROUTES = {"mcp": MCP_PATH, "mcp-slash": f"{MCP_PATH}/"}


def is_mcp(request: web.Request) -> bool:
    """Whether the request is for the JSON-RPC endpoint, which alone the body and bearer guards protect."""
    return request.match_info.route.name in MCP_ROUTES
