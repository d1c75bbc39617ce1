"""The tools and their dispatch: ``tools/list``, ``tools/call``, a fixed set in a fixed order."""

from collections.abc import Awaitable, Callable

import attrs
import orjson

from runflow_mcp.bounds import quote
from runflow_mcp.errors import ToolError
from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.prompts import reject_cursor
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.results import with_cache_hints

#: The tools change with a new version of the server only.
TOOLS_TTL_MS = 3_600_000

#: Reads the arguments, and returns the work to be awaited, which keeps none of their JSON. Both raise ``ToolError``.
ToolHandler = Callable[[JSONObject, RequestContext], Awaitable[Result]]


@attrs.frozen
class Tool:
    """A tool: what ``tools/list`` says of it, and what runs it with its arguments."""

    definition: JSONObject
    run: ToolHandler

    @property
    def name(self) -> str:
        return str(self.definition["name"])


class Tools:
    """The tools of a server, in their fixed order."""

    def __init__(self, *tools: Tool) -> None:
        self._by_name = {tool.name: tool for tool in tools}
        self._listed = {"tools": orjson.Fragment(orjson.dumps([tool.definition for tool in tools]))}

    async def list(self, request: Request, call: RequestContext) -> Result:
        """``tools/list``: the same bytes at every call."""
        reject_cursor(request.params)
        return with_cache_hints(self._listed, call.protocol, TOOLS_TTL_MS)

    async def call(self, request: Request, call: RequestContext) -> Result:
        """``tools/call``. A tool that fails answers with a result; only a call that is none is an error."""
        try:
            return await self._started(request, call)
        except ToolError as error:
            return error.result(call.request_id)

    def _started(self, request: Request, call: RequestContext) -> Awaitable[Result]:
        """The tool's work; its params stay in no frame that lasts as long as it does."""
        params = request.take_params()
        name, arguments = params.get("name"), params.get("arguments")
        if not isinstance(name, str):
            raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param name must be the name of a tool.")
        if arguments is not None and not isinstance(arguments, dict):
            raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param arguments must be an object.")
        tool = self._by_name.get(name)
        if tool is None:
            known = ", ".join(self._by_name)
            raise ProtocolError(ErrorCode.INVALID_PARAMS, f"Unknown tool: {quote(name)}. There are {known}.")
        return tool.run(arguments or {}, call)
