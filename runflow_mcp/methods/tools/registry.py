"""The tools and their dispatch: ``tools/list``, ``tools/call``, a fixed set in a fixed order."""

from collections.abc import Awaitable, Callable

import attrs
import orjson

from runflow_mcp.bounds import quote
from runflow_mcp.errors import ToolError
from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods.context import Call
from runflow_mcp.methods.prompts import refuse_cursor
from runflow_mcp.protocol.jsonrpc import Code, ProtocolError, Request, Result
from runflow_mcp.protocol.revisions import cacheable

#: The tools change with a new version of the server only.
TOOLS_TTL_MS = 3_600_000

#: Reads the arguments, and returns the work to be awaited, which keeps none of their JSON. Both raise ``ToolError``.
ToolHandler = Callable[[JSONObject, Call], Awaitable[Result]]


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

    async def list(self, request: Request, call: Call) -> Result:
        """``tools/list``: the same bytes at every call."""
        refuse_cursor(request.params)
        return cacheable(self._listed, call.spoken, TOOLS_TTL_MS)

    async def call(self, request: Request, call: Call) -> Result:
        """``tools/call``. A tool that fails answers with a result; only a call that is none is an error."""
        try:
            return await self._started(request, call)
        except ToolError as fault:
            return fault.result(call.request_id)

    def _started(self, request: Request, call: Call) -> Awaitable[Result]:
        """The tool's work; its params stay in no frame that lasts as long as it does."""
        params = request.take_params()
        name, arguments = params.get("name"), params.get("arguments")
        if not isinstance(name, str):
            raise ProtocolError(Code.INVALID_PARAMS, "The param name must be the name of a tool.")
        if arguments is not None and not isinstance(arguments, dict):
            raise ProtocolError(Code.INVALID_PARAMS, "The param arguments must be an object.")
        tool = self._by_name.get(name)
        if tool is None:
            known = ", ".join(self._by_name)
            raise ProtocolError(Code.INVALID_PARAMS, f"Unknown tool: {quote(name)}. There are {known}.")
        return tool.run(arguments or {}, call)
