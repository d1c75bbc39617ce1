"""``completion/complete``: the allowed values of a prompt's argument, as far as typed."""

from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.prompts import current_prompts, find_prompt
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result

#: The specification's cap for one answer.
MAX_VALUES = 100


async def complete(request: Request, ctx: RequestContext) -> Result:
    """Values of the argument that start with what was typed; none for an argument that takes any text."""
    prompt, argument, typed = _asked(request)
    model = find_prompt(await current_prompts(ctx), prompt)
    allowed = next((one.texts for one in model.inputs if one.name == argument), ())
    values = [text for text in allowed if text.casefold().startswith(typed)]
    return {
        "completion": {
            "values": values[:MAX_VALUES],
            "total": len(values),
            "hasMore": len(values) > MAX_VALUES,
        }
    }


def _asked(request: Request) -> tuple[str, str, str]:
    """(prompt, argument, what was typed, case-folded); nothing else of the params is kept."""
    params = request.take_params()
    ref, argument = params.get("ref"), params.get("argument")
    if not isinstance(ref, dict) or ref.get("type") != "ref/prompt" or not isinstance(ref.get("name"), str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, 'The param ref must be {"type": "ref/prompt", "name": …}.')
    if not isinstance(argument, dict) or not all(isinstance(argument.get(key), str) for key in ("name", "value")):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, 'The param argument must be {"name": …, "value": …}.')
    return ref["name"], argument["name"], argument["value"].casefold()
