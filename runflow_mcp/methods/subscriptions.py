"""``subscriptions/listen`` (2026-07-28): a stream of notifications that the list of prompts has changed."""

from runflow_mcp.json_types import JSON
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.listeners import Subscriptions
from runflow_mcp.methods.prompts import prompt_book
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.meta import META_SUBSCRIPTION
from runflow_mcp.runflow.catalog.entries import Snapshot

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
PROMPTS_CHANGED = "notifications/prompts/list_changed"


async def listen(request: Request, ctx: RequestContext) -> Result:
    """Notify until the client closes the stream or this server drains; then end with a result."""
    granted = _granted(request)
    if not ctx.channel.accepts_stream:
        raise ProtocolError(
            ErrorCode.INVALID_REQUEST, "A subscription is a stream: list text/event-stream in the Accept header."
        )
    tag: dict[str, JSON] = {"_meta": {META_SUBSCRIPTION: request.id}}
    bearer = ctx.bearer
    with ctx.services.subscriptions.subscribe(bearer.digest, bearer.source.address) as subscription:
        await ctx.channel.open()
        await ctx.channel.notify(ACKNOWLEDGED, {**tag, "notifications": granted})
        while await subscription.changed():
            if granted:
                await ctx.channel.notify(PROMPTS_CHANGED, tag)
    # The result marks a graceful end. ``notifications/cancelled`` is for stdio, by its schema, and the Python SDK's
    # client takes it for a lost stream.
    return tag


def _granted(request: Request) -> dict[str, JSON]:
    """The requested notifications that this server sends: only those about prompts.

    The params are not kept: the stream may stay open for days.
    """
    requested = request.take_params().get("notifications")
    if not isinstance(requested, dict):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param notifications must be an object.")
    return {"promptsListChanged": True} if requested.get("promptsListChanged") is True else {}


def notify_prompts_changed(subscriptions: Subscriptions, before: Snapshot | None, after: Snapshot) -> None:
    """Notify every subscriber when a new catalog snapshot lists other prompts than the one before."""
    old_list = b"[]" if before is None else before.cached(prompt_book).list_json
    if old_list != after.cached(prompt_book).list_json:
        subscriptions.notify_all()
