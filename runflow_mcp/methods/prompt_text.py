"""The message of a prompt: which Solution to use, the exact call of ``generate``, and what to ask the person first.

Pure: takes a Solution and the prompt's arguments, returns the text.
"""

import math
from collections.abc import Mapping

import orjson

from runflow_mcp import lenient_json
from runflow_mcp.bounds import has_too_many_values
from runflow_mcp.json_types import JSON, JSONObject, deeper_than
from runflow_mcp.methods.tools.arguments import BOOLEANS, MAX_INPUT_DEPTH
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError
from runflow_mcp.runflow.assets.media_inputs import Holds
from runflow_mcp.runflow.catalog.entries import Model
from runflow_mcp.runflow.catalog.model_inputs import Input

#: Bytes of the call in a message; escaped in the response it takes up to twice as many.
MAX_CALL = 256 * 1024
_NUMBERS = {"integer": int, "number": float, "float": float}
MEDIA_ADVICE = (
    'Media are public https URLs. For a file on this machine give its path with its size ("./shoe.png#bytes=48213"): '
    "generate answers with a curl line; run it in a shell, then call generate again with the runflow-upload:// value "
    "that came with it."
)
_JSON_KINDS = frozenset({"json", "object", "array"})


def describe_input(model_input: Input) -> str:
    """``What it is (image_url, needed)``"""
    kind = f"{model_input.type}, {'needed' if model_input.required else 'optional'}"
    if model_input.values:
        kind += f"; one of {', '.join(model_input.texts)}"
    return f"{model_input.description} ({kind})" if model_input.description else kind


def render_prompt(model: Model, arguments: Mapping[str, str]) -> str:
    """The message that the slash command sends to the AI model. Raises ``ProtocolError`` when it is too long."""
    texts = {
        model_input.name: text for model_input in model.inputs if (text := arguments.get(model_input.name, "").strip())
    }
    values: dict[str, JSON] = {}
    for model_input in model.inputs:
        if model_input.name in texts:
            values[model_input.name] = _typed_value(model_input, texts[model_input.name])
        elif model_input.required:
            values[model_input.name] = f"<{model_input.name}>"
    required = [model_input for model_input in model.inputs if model_input.required]
    description = f" {model.description}" if model.description else ""
    lines = [
        f"Use the Runflow Solution “{model.model_name}” ({model.name}).{description}",
        "",
        "It needs these inputs:",
        *([f"- {model_input.name}: {describe_input(model_input)}" for model_input in required] or ["- none"]),
        "",
        "Call the Runflow tool generate with exactly:",
        "```json",
        _generate_arguments(model, values),
        "```",
    ]
    if missing := [f"<{model_input.name}>" for model_input in required if model_input.name not in texts]:
        lines += [
            "",
            f"Ask me for {', '.join(missing)} first if this conversation does not say.",
        ]
    if any(model.media_inputs.holds(model_input.name) is Holds.MEDIA for model_input in model.inputs):
        lines += ["", MEDIA_ADVICE]
    lines += ["", "Show me the output URLs when it is done."]
    return "\n".join(lines)


def _generate_arguments(model: Model, values: JSONObject) -> str:
    """The arguments of ``generate`` as JSON, one line per input."""
    inputs = [f"    {_json(name)}: {_json(value)}" for name, value in values.items()]
    input_json = "{\n" + ",\n".join(inputs) + "\n  }" if inputs else "{}"
    arguments = f'{{\n  "model": {_json(model.name)},\n  "input": {input_json}\n}}'
    if len(arguments.encode()) > MAX_CALL:
        raise ProtocolError(
            ErrorCode.INVALID_PARAMS,
            f"The arguments are too long for a prompt: their JSON has over {MAX_CALL} bytes. Pass files as URLs.",
        )
    return arguments


def _json(value: JSON) -> str:
    return orjson.dumps(value).decode()


def _typed_value(model_input: Input, text: str) -> JSON:
    """A prompt argument, which is always a text, converted to the type of its input; unchanged if that fails."""
    try:
        value = _read(model_input.type, text)
        orjson.dumps(value)
    except (ValueError, TypeError):  # not such a value, or one that JSON does not have
        return text
    # ``generate`` rejects an input that is nested more deeply.
    return text if deeper_than(value, MAX_INPUT_DEPTH - 1) else value


def _read(kind: str, text: str) -> JSON:
    if kind in _NUMBERS:
        number = _NUMBERS[kind](text)
        return number if math.isfinite(number) else text
    if kind == "boolean":
        return BOOLEANS.get(text.lower(), text)
    if kind.endswith("_list") and not text.startswith("["):
        return text.split()
    if (kind in _JSON_KINDS or kind.endswith("_list")) and not has_too_many_values(text.encode()):
        return lenient_json.loads_message(text.encode())
    return text
