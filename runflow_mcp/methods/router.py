"""Method name → handler: the one table, and the one function that answers a request through it."""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from runflow_mcp.bounds import quote
from runflow_mcp.methods import completion, lifecycle, prompts, resources, subscriptions, tasks
from runflow_mcp.methods.context import Call
from runflow_mcp.methods.tools import schemas
from runflow_mcp.methods.tools.generate import generate
from runflow_mcp.methods.tools.list_models import list_models
from runflow_mcp.methods.tools.registry import Tool, Tools
from runflow_mcp.protocol.jsonrpc import Code, ProtocolError, Request, Result
from runflow_mcp.protocol.revisions import Era, dress

log = structlog.get_logger(__name__)

Handler = Callable[[Request, Call], Awaitable[Result]]
Methods = Mapping[Era, Mapping[str, Handler]]

TOOLS = (Tool(schemas.GENERATE, generate), Tool(schemas.LIST_MODELS, list_models))


def methods(*tools: Tool) -> dict[Era, dict[str, Handler]]:
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


async def dispatch(table: Methods, request: Request, call: Call) -> Result:
    """The result of a request. Raises ``ProtocolError``; an unexpected fault shows nothing of itself."""
    handler = table[call.spoken.era].get(request.method)
    if handler is None:
        raise ProtocolError(Code.METHOD_NOT_FOUND, f"Unknown method: {quote(request.method)}.")
    try:
        return dress(await handler(request, call), call.spoken, lifecycle.SERVER_INFO)
    except ProtocolError:
        raise
    except Exception as fault:
        log.exception("method_failed", method=request.method, request_id=call.request_id)
        message = f"An internal error happened here; the operator's log has it under {call.request_id}."
        raise ProtocolError(Code.INTERNAL_ERROR, message) from fault
