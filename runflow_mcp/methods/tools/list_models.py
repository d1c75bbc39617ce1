"""``list_models``: the catalog filtered for an agent, joined from bytes prepared once per snapshot."""

from collections.abc import Awaitable

import attrs
import orjson

from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.tools.arguments import ListModelsArguments, read_arguments
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.runflow.catalog.catalog import CatalogUnavailable
from runflow_mcp.runflow.catalog.entries import Model, Snapshot
from runflow_mcp.runflow.catalog.model_inputs import Input
from runflow_mcp.runflow.catalog.search import select


@attrs.frozen
class _Prepared:
    """Every entry of a snapshot as JSON, and once more as JSON inside a JSON string (the text copy)."""

    plain: tuple[bytes, ...]
    escaped: tuple[bytes, ...]


def list_models(arguments: JSONObject, ctx: RequestContext) -> Awaitable[Result]:
    """The entries that fit. Raises ``ToolError`` ``catalog_fetch_failed`` when no catalog was ever had."""
    return _select(read_arguments(ListModelsArguments, arguments), ctx)


async def _select(wanted: ListModelsArguments, ctx: RequestContext) -> Result:
    catalog = ctx.services.catalog
    snapshot = catalog.current or await _first(ctx)
    positions = select(snapshot, category=wanted.category, provider=wanted.provider, query=wanted.query)
    shown = positions[: wanted.limit]
    counts: dict[str, JSON] = {"returned": len(shown), "total": len(positions)}
    if (stale := catalog.stale_seconds()) is not None:
        counts["stale_seconds"] = stale
    prepared = snapshot.cached(_prepare)
    tail = orjson.dumps(counts)[1:]
    plain = b'{"models":[' + b",".join([prepared.plain[one] for one in shown]) + b"]," + tail
    escaped = b'"{\\"models\\":[' + b",".join([prepared.escaped[one] for one in shown]) + b"]," + _escape(tail) + b'"'
    return {
        "content": [{"type": "text", "text": orjson.Fragment(escaped)}],
        "structuredContent": orjson.Fragment(plain),
        "isError": False,
    }


async def _first(ctx: RequestContext) -> Snapshot:
    try:
        async with ctx.pending_answer.stop_on_drain():
            return await ctx.services.catalog.snapshot()
    except CatalogUnavailable as error:
        message = f"The model catalog is unavailable: {error.reason}."
        raise ToolError(ToolErrorCode.CATALOG_FETCH_FAILED, message, error.status) from error
    except TimeoutError:
        message = "This server is stopping, and its model catalog has not arrived."
        raise ToolError(ToolErrorCode.CATALOG_FETCH_FAILED, message) from None


def _escape(json: bytes) -> bytes:
    """JSON as the inside of a JSON string."""
    return orjson.dumps(json.decode())[1:-1]


def _prepare(snapshot: Snapshot) -> _Prepared:
    plain = tuple(orjson.dumps(entry(model)) for model in snapshot.models)
    return _Prepared(plain, tuple(map(_escape, plain)))


def entry(model: Model) -> dict[str, JSON]:
    """One model as an agent sees it: enough to call ``generate`` without a detour."""
    shown: dict[str, JSON] = {
        "model": model.name,
        "model_name": model.model_name,
        "provider_slug": model.provider_slug,
        "model_slug": model.model_slug,
        "category": model.category,
        "runs_endpoint": model.runs_endpoint,
    }
    if model.description:
        shown["description"] = model.description
    if model.pricing is not None:
        shown["pricing"] = model.pricing
    if model.inputs:
        shown["inputs"] = [_input(one) for one in model.inputs]
    return shown


def _input(one: Input) -> dict[str, JSON]:
    shown: dict[str, JSON] = {"name": one.name, "type": one.type, "required": one.required}
    if one.values:
        shown["enum"] = one.values
    if one.description:
        shown["description"] = one.description
    return shown
