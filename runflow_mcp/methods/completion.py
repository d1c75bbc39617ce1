"""``completion/complete``: the allowed values of a prompt's argument that begin with what has been typed."""

from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.prompts import find_prompt
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result

#: The specification's limit for one answer.
MAX_COMPLETIONS = 100


async def complete(request: Request, ctx: RequestContext) -> Result:
    """The values that match, ignoring case; none for an argument that takes any text."""
    prompt, argument, typed = _read_params(request)
    model = await find_prompt(prompt, ctx)
    allowed = next((model_input.texts for model_input in model.inputs if model_input.name == argument), ())
    values = [text for text in allowed if text.casefold().startswith(typed)]
    return {
        "completion": {
            "values": values[:MAX_COMPLETIONS],
            "total": len(values),
            "hasMore": len(values) > MAX_COMPLETIONS,
        }
    }


def _read_params(request: Request) -> tuple[str, str, str]:
    """(the prompt, the argument, the typed text without case); nothing else of the params is kept."""
    params = request.take_params()
    ref, argument = params.get("ref"), params.get("argument")
    if not isinstance(ref, dict) or ref.get("type") != "ref/prompt" or not isinstance(ref.get("name"), str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, 'The param ref must be {"type": "ref/prompt", "name": …}.')
    if not isinstance(argument, dict) or not all(isinstance(argument.get(key), str) for key in ("name", "value")):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, 'The param argument must be {"name": …, "value": …}.')
    return ref["name"], argument["name"], argument["value"].casefold()
