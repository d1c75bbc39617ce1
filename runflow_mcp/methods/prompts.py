"""One prompt per Solution: listed from bytes made once per catalog snapshot, and written out on demand."""

import math
import re
from collections.abc import Mapping
from contextlib import suppress

import attrs
import orjson
import structlog

from runflow_mcp import lenient_json
from runflow_mcp.bounds import has_too_many_values, quote, quote_all
from runflow_mcp.json_types import JSON, JSONObject, deeper_than
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.tools.arguments import MAX_INPUT_DEPTH
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.results import with_cache_hints
from runflow_mcp.runflow.catalog.entries import Model, Snapshot
from runflow_mcp.runflow.catalog.model_inputs import Input

log = structlog.get_logger(__name__)

#: Hosts show prompts as ``/<server>:<prompt>``, and some people type the whole of it.
NAME_PREFIX = "runflow:"
#: Floats below this are exact integers.
_EXACT = 2.0**53
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
#: Bytes of the call in a message. Escaped within the answer it takes up to twice that.
MAX_CALL = 256 * 1024
_NUMBERS = {"integer": int, "number": float, "float": float}
_JSON_KINDS = frozenset({"json", "object", "array"})
_WORDS = {"true": True, "false": False}


@attrs.frozen
class PromptBook:
    """The prompts of one snapshot by name, and the serialised list."""

    solutions: Mapping[str, Model]
    listed: bytes


def prompt_book(snapshot: Snapshot) -> PromptBook:
    """Names are slugs with ``/`` as ``-``; of two that fold to one, the second in slug order gets ``-2``."""
    named: dict[str, Model] = {}
    for model in sorted(snapshot.solutions, key=lambda one: one.model_slug):
        folded = name = _NOT_IN_NAMES.sub("-", model.model_slug)
        count = 1
        while name in named:
            count += 1
            name = f"{folded}-{count}"
        if name != folded:
            log.warning("prompt_name_taken", solution=model.name, name=name)
        named[name] = model
    # Listed in the catalog's order, which is the order people see.
    names = {model.name: name for name, model in named.items()}
    listed = [_listed(names[model.name], model) for model in snapshot.solutions]
    return PromptBook(named, orjson.dumps(listed))


def _listed(name: str, model: Model) -> dict[str, JSON]:
    arguments = [{"name": one.name, "description": _describe(one), "required": False} for one in model.inputs]
    return {
        "name": name,
        "title": model.model_name,
        "description": model.description or f"Run the Runflow Solution {model.model_name}.",
        "arguments": arguments,
    }


def _describe(one: Input) -> str:
    kind = f"{one.type}, {'needed' if one.required else 'optional'}"
    allowed = f"; one of {', '.join(one.texts)}" if one.values else ""
    return f"{one.description} ({kind}{allowed})" if one.description else f"{kind}{allowed}"


async def current_prompts(ctx: RequestContext) -> PromptBook:
    """The prompts at hand; none while the catalog cannot be had, since a client must still connect."""
    catalog = ctx.services.catalog
    if catalog.current is None:
        with suppress(TimeoutError):
            async with ctx.pending_answer.stop_on_drain():
                await catalog.first_attempt()
    return PromptBook({}, b"[]") if catalog.current is None else catalog.current.cached(prompt_book)


async def prompts_list(request: Request, ctx: RequestContext) -> Result:
    """``prompts/list``: everything on one page."""
    reject_cursor(request.take_params())
    book = await current_prompts(ctx)
    fresh_ms = int(ctx.services.catalog.fresh_for() * 1000)
    return with_cache_hints({"prompts": orjson.Fragment(book.listed)}, ctx.protocol, fresh_ms)


async def prompts_get(request: Request, ctx: RequestContext) -> Result:
    """``prompts/get``: one user message that stands alone."""
    name, given = _asked(request)
    model = find_prompt(await current_prompts(ctx), name)
    arguments: dict[str, str] = orjson.loads(given)
    known = {one.name for one in model.inputs}
    unknown = [name for name in arguments if name not in known]
    if unknown:
        takes = quote_all([one.name for one in model.inputs]) or "none"
        raise ProtocolError(
            ErrorCode.INVALID_PARAMS, f"The prompt has no argument {quote_all(unknown)}; it takes {takes}."
        )
    return {
        "description": model.description or model.model_name,
        "messages": [{"role": "user", "content": {"type": "text", "text": message(model, arguments)}}],
    }


def _asked(request: Request) -> tuple[str, bytes]:
    """The prompt's name and the given texts; as JSON, since the catalog may have to be waited for."""
    params = request.take_params()
    name, arguments = params.get("name"), params.get("arguments")
    if not isinstance(name, str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param name must be the name of a prompt.")
    return name, orjson.dumps(_texts({} if arguments is None else arguments))


def _texts(arguments: JSON) -> dict[str, str]:
    """The given arguments as the texts that the specification wants; null is how some hosts leave one out."""
    if isinstance(arguments, dict):
        texts = {name: _text(value) for name, value in arguments.items() if value is not None}
        if all(text is not None for text in texts.values()):
            return {name: text for name, text in texts.items() if text is not None}
    raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param arguments must be an object of strings.")


def _text(value: JSON) -> str | None:
    """A string as it is, a number or boolean as it is written in JSON, anything else as None."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    return value if isinstance(value, str) else None


def find_prompt(book: PromptBook, name: str) -> Model:
    """The Solution behind a prompt's name. Raises ``ProtocolError`` for an unknown one."""
    model = book.solutions.get(name.removeprefix(NAME_PREFIX))
    if model is None:
        raise ProtocolError(
            ErrorCode.INVALID_PARAMS, f"Unknown prompt: {quote(name)}. prompts/list names the ones there are."
        )
    return model


def message(model: Model, arguments: Mapping[str, str]) -> str:
    """What the person's slash command says to the model. Raises ``ProtocolError`` when that is too long."""
    given = {one.name: arguments[one.name].strip() for one in model.inputs if one.name in arguments}
    values: dict[str, JSON] = {}
    for one in model.inputs:
        if given.get(one.name):
            values[one.name] = _value(one, given[one.name])
        elif one.required:
            values[one.name] = f"<{one.name}>"
    ctx = _call(model, values)
    missing = [one for one in model.inputs if one.required and not given.get(one.name)]
    needed = [f"- {one.name}: {_describe(one)}" for one in model.inputs if one.required] or ["- none"]
    lines = [
        f"Use the Runflow Solution “{model.model_name}” ({model.name})."
        + (f" {model.description}" if model.description else ""),
        "",
        "It needs these inputs:",
        *needed,
        "",
        "Call the Runflow tool generate with exactly:",
        "```json",
        ctx,
        "```",
    ]
    if missing:
        names = ", ".join(f"<{one.name}>" for one in missing)
        lines += [
            "",
            f"Ask me for {names} first if this conversation does not say; media must be public URLs.",
        ]
    lines += ["", "Show me the output URLs when it is done."]
    return "\n".join(lines)


def _call(model: Model, values: JSONObject) -> str:
    """The arguments of ``generate``: one input a line, and each value on its line however it was written."""
    inputs = [f"    {_json(name)}: {_json(value)}" for name, value in values.items()]
    shown = "{\n" + ",\n".join(inputs) + "\n  }" if inputs else "{}"
    ctx = f'{{\n  "model": {_json(model.name)},\n  "input": {shown}\n}}'
    if len(ctx.encode()) > MAX_CALL:
        raise ProtocolError(
            ErrorCode.INVALID_PARAMS,
            f"The arguments are too long for a prompt: their JSON has over {MAX_CALL} bytes. Pass files as URLs.",
        )
    return ctx


def _json(value: JSON) -> str:
    return orjson.dumps(value).decode()


def _value(one: Input, text: str) -> JSON:
    """A prompt argument is always a text; the tool wants it in the input's own type, where it reads as that."""
    try:
        value = _read(one.type, text)
        orjson.dumps(value)
    except (ValueError, TypeError):  # no such value, or one that JSON cannot carry
        return text
    # generate refuses an input that nests more deeply.
    return text if deeper_than(value, MAX_INPUT_DEPTH - 1) else value


def _read(kind: str, text: str) -> JSON:
    if kind in _NUMBERS:
        number = _NUMBERS[kind](text)
        return number if math.isfinite(number) else text
    if kind == "boolean":
        return _WORDS.get(text.lower(), text)
    if kind.endswith("_list") and not text.startswith("["):
        return text.split()
    if (kind in _JSON_KINDS or kind.endswith("_list")) and not has_too_many_values(text.encode()):
        return lenient_json.loads_message(text.encode())
    return text


def reject_cursor(params: JSONObject) -> None:
    """Lists have one page, so no cursor was ever issued. Raises ``ProtocolError`` for any."""
    cursor = params.get("cursor")
    if cursor is not None and cursor != "":
        raise ProtocolError(
            ErrorCode.INVALID_PARAMS, "This cursor was never issued here; the list has one page, ask without it."
        )
