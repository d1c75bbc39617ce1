"""The table of JSON-RPC methods, and the function that answers a request with it.

Owns what applies to every handler: the eras of its method, the drain, and the rendering of exceptions. A new method
is one row here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import attrs
import structlog

from runflow_mcp.bounds import quote
from runflow_mcp.errors import ToolError
from runflow_mcp.methods import completion, lifecycle, prompts, resources, skills, subscriptions, tasks
from runflow_mcp.methods.context import RequestContext, raise_server_stopping
from runflow_mcp.methods.tools import generate, list_models
from runflow_mcp.methods.tools.registry import Tool, Tools
from runflow_mcp.observability.record import CURRENT
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result, internal_error
from runflow_mcp.protocol.results import finalize_result
from runflow_mcp.protocol.revisions import Era

log = structlog.get_logger(__name__)

#: Returns the result; raises ``ProtocolError``, or ``ToolError`` for a result with ``isError``.
Handler = Callable[[Request, RequestContext], Awaitable[Result]]

LEGACY, MODERN = frozenset({Era.LEGACY}), frozenset({Era.MODERN})
BOTH = LEGACY | MODERN


@attrs.frozen
class Method:
    """A JSON-RPC method.

    ``may_wait``: a drain interrupts the handler at its cutoff, and waits until its answer is written. False only for
    a handler that never waits for the network, or ends by itself when a drain begins; a function for one that waits
    on some calls only, since the scope of a drain is 4 us of a short answer's 100.
    """

    name: str
    handler: Handler
    eras: frozenset[Era] = BOTH
    may_wait: bool | Callable[[Request, RequestContext], bool] = True


MethodTable = Mapping[str, Method]

#: The tools, in the order of ``tools/list``.
TOOLS = (generate.TOOL, list_models.TOOL)


def method_table(*tools: Tool) -> dict[str, Method]:
    """The methods of a server with these tools."""
    registry = Tools(*tools)
    methods = (
        Method("initialize", lifecycle.initialize, LEGACY, may_wait=False),
        Method("ping", lifecycle.ping, LEGACY, may_wait=False),
        Method("server/discover", lifecycle.discover, MODERN, may_wait=False),
        Method("tools/list", registry.list, may_wait=False),
        Method("tools/call", registry.call, may_wait=registry.may_wait),
        Method(
            "prompts/list", prompts.prompts_list, may_wait=lambda _request, ctx: ctx.services.catalog.current is None
        ),
        Method("prompts/get", prompts.prompts_get),
        Method("completion/complete", completion.complete),
        Method("resources/list", resources.list_resources, may_wait=False),
        Method("resources/templates/list", resources.list_templates, may_wait=False),
        Method("resources/read", resources.read),
        Method("skills/list", skills.skills_list, may_wait=False),
        Method("skills/get", skills.skills_get, may_wait=False),
        # Its stream ends with a result when a drain begins: see ``Subscriptions.drain``.
        Method("subscriptions/listen", subscriptions.listen, MODERN, may_wait=False),
        Method("tasks/get", tasks.get, MODERN),
        Method("tasks/update", tasks.update, MODERN),
        Method("tasks/cancel", tasks.cancel, MODERN),
    )
    return {method.name: method for method in methods}


async def handle(table: MethodTable, request: Request, ctx: RequestContext) -> Result:
    """The result of a request. Raises ``ProtocolError``; an unexpected exception is logged and not shown."""
    method = table.get(request.method)
    try:
        if method is None or ctx.protocol.features.era not in method.eras:
            raise ProtocolError(ErrorCode.METHOD_NOT_FOUND, f"Unknown method: {quote(request.method)}.")
        may_wait = method.may_wait
        if may_wait is True or (may_wait and may_wait(request, ctx)):
            result = await _until_drained(method, request, ctx)
        else:
            result = await method.handler(request, ctx)
    except ToolError as error:
        ctx.record.error_code = str(error.code)
        result = error.result(ctx.request_id)
    except ProtocolError:
        raise
    except Exception as error:
        log.exception("method_failed", method=request.method, request_id=ctx.request_id)
        raise internal_error(ctx.request_id) from error
    return finalize_result(result, ctx.protocol, lifecycle.SERVER_META)


async def _until_drained(method: Method, request: Request, ctx: RequestContext) -> Result:
    ctx.record.key = ctx.bearer.fingerprint
    current = CURRENT.set(ctx.record)
    scope = ctx.pending_answer.open_scope()
    try:
        return await method.handler(request, ctx)
    except asyncio.CancelledError:
        if not scope.ended_by_drain():
            raise
        return ctx.answer_when_drained()
    finally:
        scope.close()
        CURRENT.reset(current)
        # Breaks a reference cycle: what a handler sets refers to the context.
        ctx.answer_when_drained = raise_server_stopping
