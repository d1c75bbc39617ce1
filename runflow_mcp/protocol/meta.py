"""The names with MCP's domain as prefix, of ``_meta`` members and extensions, and reading ``_meta``. Pure."""

from runflow_mcp.json_types import JSONObject

_PREFIX = "io.modelcontextprotocol/"

# Members of a request's ``params._meta`` (2026-07-28, "Request Metadata").
META_VERSION = f"{_PREFIX}protocolVersion"
META_CAPABILITIES = f"{_PREFIX}clientCapabilities"
# Members of a result's or a notification's ``_meta``.
META_SERVER_INFO = f"{_PREFIX}serverInfo"
META_SUBSCRIPTION = f"{_PREFIX}subscriptionId"

#: The extension whose calls return a task instead of a result.
TASKS = f"{_PREFIX}tasks"
#: The extension that lists skills, which are read as resources.
SKILLS = f"{_PREFIX}skills"


def read_meta(params: JSONObject) -> JSONObject:
    """The ``_meta`` of a request's params; empty where it is missing or not an object."""
    meta = params.get("_meta")
    return meta if isinstance(meta, dict) else {}
