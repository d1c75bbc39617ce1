"""Method name → handler: the one table, and the one function that answers a request through it."""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from runflow_mcp.bounds import quote
from runflow_mcp.methods import completion, lifecycle, prompts, resources, subscriptions, tasks
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.tools import schemas
from runflow_mcp.methods.tools.generate import generate
from runflow_mcp.methods.tools.list_models import list_models
from runflow_mcp.methods.tools.registry import Tool, Tools
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.results import finalize_result
from runflow_mcp.protocol.revisions import Era

log = structlog.get_logger(__name__)

Handler = Callable[[Request, RequestContext], Awaitable[Result]]
MethodTable = Mapping[Era, Mapping[str, Handler]]

TOOLS = (Tool(schemas.GENERATE, generate), Tool(schemas.LIST_MODELS, list_models))


def method_table(*tools: Tool) -> dict[Era, dict[str, Handler]]:
    """The methods of a server with these tools, by era."""
    registered = Tools(*tools)
    both: dict[str, Handler] = {
        "tools/list": registered.list,
        "tools/call": registered.call,
        "prompts/list": prompts.prompts_list,
        "prompts/get": prompts.prompts_get,
        "completion/complete": completion.complete,
        "resources/read": resources.read,
    }
    return {
        Era.LEGACY: {"initialize": lifecycle.initialize, "ping": lifecycle.ping, **both},
        Era.MODERN: {
            "server/discover": lifecycle.discover,
            "subscriptions/listen": subscriptions.listen,
            "tasks/get": tasks.get,
            "tasks/update": tasks.update,
            "tasks/cancel": tasks.cancel,
            **both,
        },
    }


async def handle(table: MethodTable, request: Request, ctx: RequestContext) -> Result:
    """The result of a request. Raises ``ProtocolError``; an unexpected fault shows nothing of itself."""
    handler = table[ctx.protocol.era].get(request.method)
    if handler is None:
        raise ProtocolError(ErrorCode.METHOD_NOT_FOUND, f"Unknown method: {quote(request.method)}.")
    try:
        return finalize_result(await handler(request, ctx), ctx.protocol, lifecycle.SERVER_INFO)
    except ProtocolError:
        raise
    except Exception as error:
        log.exception("method_failed", method=request.method, request_id=ctx.request_id)
        message = f"An internal error happened here; the operator's log has it under {ctx.request_id}."
        raise ProtocolError(ErrorCode.INTERNAL_ERROR, message) from error
