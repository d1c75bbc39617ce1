"""The tools and their methods: ``tools/list`` and ``tools/call`` over a fixed set in a fixed order.

Must not import a tool: each tool's file imports ``Tool`` from here, and ``router.TOOLS`` lists them.
"""

from collections.abc import Awaitable, Callable

import attrs
import orjson

from runflow_mcp.bounds import quote
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.pagination import reject_cursor
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.results import with_cache_hints

#: The tools change only with a new version of the server.
TOOLS_TTL_MS = 3_600_000

#: Reads the arguments and returns an awaitable, which keeps none of their JSON. Both may raise ``ToolError``.
ToolHandler = Callable[[JSONObject, RequestContext], Awaitable[Result]]


@attrs.frozen
class Tool:
    """A tool. ``definition``: as ``tools/list`` shows it. ``handler``: answers ``tools/call``.

    ``may_wait``: whether the handler may wait for the network on this call, as ``router.Method`` has it.
    """

    definition: JSONObject
    handler: ToolHandler
    may_wait: Callable[[RequestContext], bool] = lambda _ctx: True

    @property
    def name(self) -> str:
        return str(self.definition["name"])


STRING: JSONObject = {"type": "string"}


def output_schema(properties: JSONObject) -> dict[str, JSON]:
    """The schema of a tool's ``structuredContent``: these members, or ``error`` alone.

    No member is required: a widely used client validates tool errors against it too.
    """
    error = {
        "type": "object",
        "description": "Present instead of everything else when the call failed.",
        "properties": {
            "code": STRING,
            "message": STRING,
            "upstream_status": {"type": ["integer", "null"]},
            "next_action": STRING,
            "details": {"type": "object"},
        },
    }
    return {"type": "object", "properties": {**properties, "error": error}}


class Tools:
    """The tools of a server, in their fixed order."""

    def __init__(self, *tools: Tool) -> None:
        self._by_name = {tool.name: tool for tool in tools}
        self._list_result = {"tools": orjson.Fragment(orjson.dumps([tool.definition for tool in tools]))}

    async def list(self, request: Request, ctx: RequestContext) -> Result:
        """``tools/list``: the same bytes at every call."""
        reject_cursor(request.params)
        return with_cache_hints(self._list_result, ctx.protocol, TOOLS_TTL_MS)

    def may_wait(self, request: Request, ctx: RequestContext) -> bool:
        name = request.params.get("name")
        tool = self._by_name.get(name) if isinstance(name, str) else None
        return tool is not None and tool.may_wait(ctx)

    def call(self, request: Request, ctx: RequestContext) -> Awaitable[Result]:
        """``tools/call``. Not a coroutine, whose frame would keep the params while the tool works."""
        params = request.take_params()
        name, arguments = params.get("name"), params.get("arguments")
        if not isinstance(name, str):
            raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param name must be the name of a tool.")
        if arguments is not None and not isinstance(arguments, dict):
            raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param arguments must be an object.")
        tool = self._by_name.get(name)
        if tool is None:
            tools = ", ".join(self._by_name)
            raise ProtocolError(ErrorCode.INVALID_PARAMS, f"Unknown tool: {quote(name)}. The tools are {tools}.")
        ctx.record.tool = name
        return tool.handler(arguments or {}, ctx)
