"""The names with MCP's domain as prefix, of ``_meta`` members and extensions, and reading ``_meta``. Pure."""

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.protocol.jsonrpc import Request

_PREFIX = "io.modelcontextprotocol/"

# Members of a request's ``params._meta`` (2026-07-28, "Request Metadata").
META_VERSION = f"{_PREFIX}protocolVersion"
META_CAPABILITIES = f"{_PREFIX}clientCapabilities"
META_CLIENT_INFO = f"{_PREFIX}clientInfo"
# Members of a result's or a notification's ``_meta``.
META_SERVER_INFO = f"{_PREFIX}serverInfo"
META_SUBSCRIPTION = f"{_PREFIX}subscriptionId"

#: The extension whose calls return a task instead of a result.
TASKS = f"{_PREFIX}tasks"

#: The notifications that the specification has clients send; none of them changes anything here.
NOTIFICATIONS = frozenset(
    f"notifications/{name}" for name in ("initialized", "cancelled", "progress", "roots/list_changed")
)


def read_meta(params: JSONObject) -> JSONObject:
    """The ``_meta`` of a request's params; empty where it is missing or not an object."""
    meta = params.get("_meta")
    return meta if isinstance(meta, dict) else {}


def read_client_info(request: Request) -> tuple[JSON, JSON]:
    """The client's name and version: from ``initialize``, or from the ``_meta`` of a modern request; else None."""
    params = request.params
    info = params.get("clientInfo") if request.method == "initialize" else read_meta(params).get(META_CLIENT_INFO)
    return (info.get("name"), info.get("version")) if isinstance(info, dict) else (None, None)
