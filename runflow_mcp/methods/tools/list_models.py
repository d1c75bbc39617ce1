"""``list_models``: the filtered catalog, joined from JSON that is rendered once per snapshot."""

import re
from collections.abc import Awaitable, Iterable, Sequence
from typing import NewType, NoReturn

import attrs
import orjson

from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.tools.arguments import define_type, input_schema, read_arguments
from runflow_mcp.methods.tools.registry import STRING, Tool, output_schema
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.runflow.catalog.catalog import CatalogUnavailable
from runflow_mcp.runflow.catalog.entries import CATEGORIES, Model, Snapshot
from runflow_mcp.runflow.catalog.estimates import estimate
from runflow_mcp.runflow.catalog.model_inputs import Input
from runflow_mcp.runflow.catalog.search import select

MIN_LIMIT, MAX_LIMIT, DEFAULT_LIMIT = 1, 200, 50
#: Answers with more entries than this are brief, since they stay in the context of the model that reads them.
MAX_WHOLE_ENTRIES = 10
#: Limits of a brief entry: characters of the description, bytes of the whole entry and of the price, so that 50 entries
#: stay under 20 KB. Longer descriptions are cut, and longer prices left out.
MAX_BRIEF_DESCRIPTION, MAX_BRIEF_ENTRY, MAX_BRIEF_PRICING = 120, 390, 100
INPUTS_OMITTED: dict[str, JSON] = {
    "inputs_omitted": True,
    "note": f"More than {MAX_WHOLE_ENTRIES} entries are shown, so their inputs are left out and descriptions are cut. "
    "Call list_models again with the name of one model as query to see its inputs before you run it.",
}

#: Answers kept for one snapshot, of at most 50 KB each, and characters of a provider in one.
MAX_KEPT_PAGES, MAX_KEPT_PROVIDER = 64, 64

Category = NewType("Category", str)
Limit = NewType("Limit", int)

_INTEGER = re.compile(r"([+-]?[0-9]{1,15})(?:\.0*)?")


def _category(value: JSON) -> Category:
    """In any case, and with ``_`` or a space for ``-``."""
    category = re.sub(r"[\s_-]+", "-", value.strip().lower()) if isinstance(value, str) else None
    if category not in CATEGORIES:
        raise ValueError("must be one of " + ", ".join(CATEGORIES))
    return Category(category)


def _limit(value: JSON) -> Limit:
    """An integer, also as text or as a float without a fraction."""
    if isinstance(value, str) and (match := _INTEGER.fullmatch(value.strip())):
        value = int(match[1])
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(number, int) or isinstance(number, bool) or not MIN_LIMIT <= number <= MAX_LIMIT:
        raise ValueError(f"must be a whole number from {MIN_LIMIT} to {MAX_LIMIT}")
    return Limit(number)


define_type(Category, {"type": "string", "enum": list(CATEGORIES)}, _category)
define_type(Limit, {"type": "integer", "minimum": MIN_LIMIT, "maximum": MAX_LIMIT}, _limit)


@attrs.frozen
class ListModelsArguments:
    category: Category | None = attrs.field(
        default=None, metadata={"description": "What goes in and what comes out; solution: the ready-made workflows."}
    )
    provider: str | None = attrs.field(
        default=None, metadata={"description": "Provider slug, such as runflow, google or openai."}
    )
    query: str | None = attrs.field(
        default=None,
        metadata={"description": "Part of the model's name or slug, in any case; exact hits come first."},
    )
    limit: Limit = Limit(DEFAULT_LIMIT)


@attrs.frozen
class _Entries:
    """Entries as JSON, and once more as JSON inside a JSON string (the text copy)."""

    plain: tuple[bytes, ...]
    escaped: tuple[bytes, ...]

    @classmethod
    def of(cls, entries: Iterable[dict[str, JSON]]) -> "_Entries":
        plain = tuple(map(orjson.dumps, entries))
        return cls(plain, tuple(map(_escape, plain)))

    def at(self, positions: Sequence[int]) -> "_Entries":
        return _Entries(
            tuple([self.plain[position] for position in positions]),
            tuple([self.escaped[position] for position in positions]),
        )


@attrs.frozen
class _Prepared:
    """Every entry of a snapshot: whole, and brief for long lists."""

    whole: _Entries
    brief: _Entries


def _no_pages(_snapshot: Snapshot) -> dict[ListModelsArguments, Result]:
    """The answers of a snapshot that are kept: those without a query, which most calls ask for."""
    return {}


def list_models(arguments: JSONObject, ctx: RequestContext) -> Awaitable[Result]:
    """The entries that match. Raises ``ToolError`` ``catalog_fetch_failed`` while no catalog has been fetched."""
    return _list(read_arguments(ListModelsArguments, arguments), ctx)


async def _list(args: ListModelsArguments, ctx: RequestContext) -> Result:
    catalog = ctx.services.catalog
    snapshot = catalog.current or await _first_snapshot(ctx)
    stale = catalog.stale_seconds()
    pages = snapshot.cached(_no_pages)
    page = pages.get(args) if stale is None else None
    if page is None:
        page = _render(args, snapshot, stale)
        is_ordinary = stale is None and args.query is None and len(args.provider or "") <= MAX_KEPT_PROVIDER
        if is_ordinary and len(pages) < MAX_KEPT_PAGES:
            pages[args] = page
    return page


def _render(args: ListModelsArguments, snapshot: Snapshot, stale: int | None) -> Result:
    positions = select(snapshot, category=args.category, provider=args.provider, query=args.query)
    page = positions[: args.limit]
    counts: dict[str, JSON] = {"returned": len(page), "total": len(positions)}
    if stale is not None:
        counts["stale_seconds"] = stale
    prepared = snapshot.cached(_prepare)
    if len(page) > MAX_WHOLE_ENTRIES:
        counts |= INPUTS_OMITTED
        entries = prepared.brief.at(page)
    elif page and (len(page) == 1 or _is_named(args.query, snapshot.models[page[0]])):
        first, *others = (snapshot.models[position] for position in page)
        entries = _Entries.of([single_listing(first), *map(listing, others)])
    else:
        entries = prepared.whole.at(page)
    tail = orjson.dumps(counts)[1:]
    plain = b"".join((b'{"models":[', b",".join(entries.plain), b"],", tail))
    escaped = b"".join((b'"{\\"models\\":[', b",".join(entries.escaped), b"],", _escape(tail), b'"'))
    return {
        "content": [{"type": "text", "text": orjson.Fragment(escaped)}],
        "structuredContent": orjson.Fragment(plain),
        "isError": False,
    }


async def _first_snapshot(ctx: RequestContext) -> Snapshot:
    ctx.answer_when_drained = _raise_stopping
    try:
        return await ctx.services.catalog.snapshot()
    except CatalogUnavailable as error:
        message = f"The model catalog is unavailable: {error.reason}."
        raise ToolError(ToolErrorCode.CATALOG_FETCH_FAILED, message, error.status) from error


def _raise_stopping() -> NoReturn:
    message = "This server is stopping before its first copy of the model catalog has arrived."
    raise ToolError(ToolErrorCode.CATALOG_FETCH_FAILED, message)


def _escape(json: bytes) -> bytes:
    """JSON, escaped to stand inside a JSON string."""
    return orjson.dumps(json.decode())[1:-1]


def _is_named(query: str | None, model: Model) -> bool:
    """Whether the query is the whole name of the model."""
    return query is not None and query.strip().casefold() == model.name.casefold()


def _prepare(snapshot: Snapshot) -> _Prepared:
    return _Prepared(
        _Entries.of(map(listing, snapshot.models)),
        _Entries.of(map(brief_listing, snapshot.models)),
    )


def single_listing(model: Model) -> dict[str, JSON]:
    """The entry of a model that is shown alone or was named: with an estimate of a run's cost, where there is one."""
    estimated = estimate(model)
    return listing(model) | ({"estimate": estimated.listing()} if estimated else {})


def brief_listing(model: Model) -> dict[str, JSON]:
    """The entry in a long list: without inputs, at most ``MAX_BRIEF_ENTRY`` bytes for ordinary names."""
    entry = listing(model)
    entry.pop("inputs", None)
    if len(orjson.dumps(entry.get("pricing"))) > MAX_BRIEF_PRICING:
        del entry["pricing"]
    if description := entry.pop("description", None):
        room = MAX_BRIEF_ENTRY - len(orjson.dumps(entry)) - len(',"description":""')
        if short := _shortened(description, room):
            entry["description"] = short
    return entry


def _shortened(text: str, size: int) -> str:
    """The text, cut to ``MAX_BRIEF_DESCRIPTION`` characters and to ``size`` bytes of JSON; empty if nothing fits."""
    if len(text) <= MAX_BRIEF_DESCRIPTION and len(orjson.dumps(text)) - 2 <= size:
        return text
    kept = text[: MAX_BRIEF_DESCRIPTION - 1]
    while kept and len(orjson.dumps(f"{kept}…")) - 2 > size:
        kept = kept[:-1]
    return f"{kept.rstrip()}…" if kept.strip() else ""


def listing(model: Model) -> dict[str, JSON]:
    """One entry of the list, with all that an agent needs to call ``generate``."""
    entry: dict[str, JSON] = {
        "model": model.name,
        "model_name": model.model_name,
        "provider_slug": model.provider_slug,
        "model_slug": model.model_slug,
        "category": model.category,
        "runs_endpoint": model.runs_endpoint,
    }
    if model.description:
        entry["description"] = model.description
    if model.pricing is not None:
        entry["pricing"] = model.pricing
    if model.inputs:
        entry["inputs"] = [_listed_input(model_input) for model_input in model.inputs]
    return entry


def _listed_input(model_input: Input) -> dict[str, JSON]:
    entry: dict[str, JSON] = {
        "name": model_input.name,
        "type": model_input.type,
        "required": model_input.required,
    }
    if model_input.values:
        entry["enum"] = model_input.values
    if model_input.description:
        entry["description"] = model_input.description
    return entry


_INPUT = {
    "type": "object",
    "properties": {
        "name": STRING,
        "type": STRING,
        "required": {"type": "boolean"},
        "enum": {"type": "array"},
        "description": STRING,
    },
}
_MODEL = {
    "type": "object",
    "properties": {
        "model": {"type": "string", "description": "What to give generate as model."},
        **dict.fromkeys(
            ("model_name", "provider_slug", "model_slug", "category", "runs_endpoint", "description"), STRING
        ),
        "pricing": {},
        "estimate": {
            "type": "object",
            "description": "The price of one unit, and the inputs that decide their number.",
        },
        "inputs": {"type": "array", "items": _INPUT},
    },
}

TOOL = Tool(
    {
        "name": "list_models",
        "title": "Browse Runflow models and Solutions",
        "description": (
            "Find what generate can run: Solutions (ready-made workflows; look there first) and models, each with "
            "its inputs and price. Without filters it lists everything, Solutions first."
        ),
        "inputSchema": input_schema(ListModelsArguments),
        "outputSchema": output_schema(
            {
                "models": {"type": "array", "items": _MODEL},
                "returned": {"type": "integer"},
                "total": {"type": "integer"},
                "inputs_omitted": {"type": "boolean"},
                "note": STRING,
                "stale_seconds": {
                    "type": "integer",
                    "description": "Set when the catalog could not be refreshed.",
                },
            }
        ),
        "annotations": {
            "title": "Browse Runflow models and Solutions",
            "readOnlyHint": True,
            "destructiveHint": False,
            "idempotentHint": True,
            "openWorldHint": True,
        },
    },
    list_models,
    may_wait=lambda ctx: ctx.services.catalog.current is None,
)
