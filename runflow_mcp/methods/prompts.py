"""``prompts/list`` and ``prompts/get``: one prompt per Solution, listed from bytes made once per catalog snapshot.

``prompt_text`` renders the message of a prompt.
"""

import re
from collections.abc import Mapping
from functools import partial

import attrs
import orjson
import structlog

from runflow_mcp.bounds import quote, quote_all
from runflow_mcp.json_types import EXACT_FLOAT, JSON
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.pagination import reject_cursor
from runflow_mcp.methods.prompt_text import describe_input, render_prompt
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.results import with_cache_hints
from runflow_mcp.runflow.catalog.entries import Model, Snapshot

log = structlog.get_logger(__name__)

#: Hosts show prompts as ``/<server>:<prompt>``, and some people type all of it.
NAME_PREFIX = "runflow:"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@attrs.frozen
class PromptBook:
    """The prompts of one snapshot: their Solutions by name, and ``prompts/list`` as JSON."""

    solutions: Mapping[str, Model]
    list_json: bytes


EMPTY = PromptBook({}, b"[]")


def prompt_book(snapshot: Snapshot) -> PromptBook:
    """Names are slugs with ``-`` for ``/``; of two equal names the second in slug order gets ``-2``."""
    by_name: dict[str, Model] = {}
    for model in sorted(snapshot.solutions, key=lambda solution: solution.model_slug):
        base = name = _NOT_IN_NAMES.sub("-", model.model_slug)
        count = 1
        while name in by_name:
            count += 1
            name = f"{base}-{count}"
        if name != base:
            log.warning("prompt_name_taken", solution=model.name, name=name)
        by_name[name] = model
    # Listed in the catalog's order, which hosts show to people.
    names = {model.name: name for name, model in by_name.items()}
    return PromptBook(by_name, orjson.dumps([_listing(names[model.name], model) for model in snapshot.solutions]))


def _listing(name: str, model: Model) -> dict[str, JSON]:
    return {
        "name": name,
        "title": model.model_name,
        "description": model.description or f"Run the Runflow Solution {model.model_name}.",
        "arguments": [
            {"name": model_input.name, "description": describe_input(model_input), "required": False}
            for model_input in model.inputs
        ],
    }


async def current_prompts(ctx: RequestContext) -> PromptBook:
    """The prompts of the current snapshot; none while the catalog is unavailable, so that clients can connect."""
    catalog = ctx.services.catalog
    if catalog.current is None:
        await catalog.first_attempt()
    return EMPTY if catalog.current is None else catalog.current.cached(prompt_book)


async def find_prompt(name: str, ctx: RequestContext) -> Model:
    """The Solution of a prompt. Raises ``ProtocolError`` for an unknown name."""
    name = name.removeprefix(NAME_PREFIX)
    model = (await current_prompts(ctx)).solutions.get(name)
    if model is None:
        raise ProtocolError(ErrorCode.INVALID_PARAMS, f"Unknown prompt: {quote(name)}. prompts/list has the names.")
    ctx.record.prompt = name
    return model


async def prompts_list(request: Request, ctx: RequestContext) -> Result:
    """``prompts/list``: everything on one page."""
    reject_cursor(request.take_params())
    snapshot = ctx.services.catalog.current
    if snapshot is not None:
        return _list_result(snapshot.cached(prompt_book), ctx)
    ctx.answer_when_drained = partial(_list_result, EMPTY, ctx)
    return _list_result(await current_prompts(ctx), ctx)


def _list_result(book: PromptBook, ctx: RequestContext) -> Result:
    result: Result = {"prompts": orjson.Fragment(book.list_json)}
    if not ctx.protocol.features.cache_hints:
        return result
    return with_cache_hints(result, ctx.protocol, int(ctx.services.catalog.fresh_for() * 1000))


async def prompts_get(request: Request, ctx: RequestContext) -> Result:
    """``prompts/get``: one user message that needs no other context."""
    name, texts = _read_params(request)
    model = await find_prompt(name, ctx)
    arguments: dict[str, str] = orjson.loads(texts)
    names = [model_input.name for model_input in model.inputs]
    unknown = [name for name in arguments if name not in names]
    if unknown:
        raise ProtocolError(
            ErrorCode.INVALID_PARAMS,
            f"The prompt has no argument {quote_all(unknown)}; it takes {quote_all(names) or 'none'}.",
        )
    return {
        "description": model.description or model.model_name,
        "messages": [{"role": "user", "content": {"type": "text", "text": render_prompt(model, arguments)}}],
    }


def _read_params(request: Request) -> tuple[str, bytes]:
    """(the prompt's name, its arguments as JSON); bytes, since they are kept while the call waits for a catalog."""
    params = request.take_params()
    name, arguments = params.get("name"), params.get("arguments")
    if not isinstance(name, str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param name must be the name of a prompt.")
    return name, orjson.dumps(_texts({} if arguments is None else arguments))


def _texts(arguments: JSON) -> dict[str, str]:
    """The arguments as the strings that the specification requires; null, which some hosts send, counts as absent."""
    if isinstance(arguments, dict):
        texts = {name: _text(value) for name, value in arguments.items() if value is not None}
        if all(text is not None for text in texts.values()):
            return {name: text for name, text in texts.items() if text is not None}
    raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param arguments must be an object of strings.")


def _text(value: JSON) -> str | None:
    """A string unchanged, a number or boolean as its JSON, anything else as None."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOAT:
        value = int(value)
    if isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    return value if isinstance(value, str) else None
