"""The suite's prompts and resources, next to the product's own."""

import orjson

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.router import Handler
from runflow_mcp.protocol.jsonrpc import Request, Result
from runflow_mcp.protocol.results import with_cache_hints
from tests.conformance.fixture_input_requests import Answers, Interview, elicit

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
AUDIO = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
TTL_MS = 60_000

PNG: JSONObject = {"type": "image", "data": IMAGE, "mimeType": "image/png"}
WAV: JSONObject = {"type": "audio", "data": AUDIO, "mimeType": "audio/wav"}


def text(words: str) -> JSONObject:
    return {"type": "text", "text": words}


def embedded(uri: str, words: str) -> JSONObject:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": "text/plain", "text": words}}


# Prompts.


def _prompt(name: str, description: str, *arguments: str) -> JSONObject:
    listed = [
        {"name": argument, "description": f"The {argument} of the test.", "required": True} for argument in arguments
    ]
    return {"name": name, "description": description, "arguments": listed}


PROMPTS = (
    _prompt("test_simple_prompt", "A prompt without arguments."),
    _prompt("test_prompt_with_arguments", "A prompt with two arguments.", "arg1", "arg2"),
    _prompt("test_prompt_with_embedded_resource", "A prompt that holds a resource.", "resourceUri"),
    _prompt("test_prompt_with_image", "A prompt that holds an image."),
    _prompt("test_input_required_result_prompt", "A prompt that asks for context first."),
)


def _messages(*contents: JSONObject) -> dict[str, JSON]:
    return {"messages": [{"role": "user", "content": content} for content in contents]}


async def _with_context(answers: Answers, _call: RequestContext) -> Result:
    return _messages(text(f"Use this context: {answers['user_context']}."))


_ASKING = Interview(
    "test_input_required_result_prompt",
    ({"user_context": elicit("What context should the prompt use?", "context")},),
    _with_context,
)


def listing_prompts(product: Handler) -> Handler:
    """``prompts/list``: the product's and these."""

    async def prompts_list(request: Request, call: RequestContext) -> Result:
        result = await product(request, call)
        return {**result, "prompts": [*orjson.loads(orjson.dumps(result["prompts"])), *PROMPTS]}

    return prompts_list


def getting_prompts(product: Handler) -> Handler:
    """``prompts/get``: one of these, else the product's answer."""

    async def prompts_get(request: Request, call: RequestContext) -> Result:
        arguments = request.params.get("arguments") or {}
        match request.params.get("name"):
            case "test_simple_prompt":
                return _messages(text("This is a simple prompt for testing."))
            case "test_prompt_with_arguments":
                return _messages(text(f"arg1 is '{arguments.get('arg1')}', arg2 is '{arguments.get('arg2')}'."))
            case "test_prompt_with_embedded_resource":
                held = embedded(str(arguments.get("resourceUri")), "The resource that the prompt holds.")
                return _messages(held, text("Please process the resource above."))
            case "test_prompt_with_image":
                return _messages(PNG, text("Please analyze the image above."))
            case _ASKING.name:
                return await _ASKING.hold(request.params, call)
        return await product(request, call)

    return prompts_get


def completing(product: Handler) -> Handler:
    """``completion/complete``: nothing for an argument of these prompts, else the product's answer."""
    own = {prompt["name"] for prompt in PROMPTS}

    async def complete(request: Request, call: RequestContext) -> Result:
        ref = request.params.get("ref")
        if isinstance(ref, dict) and ref.get("name") in own:
            return {"completion": {"values": [], "total": 0, "hasMore": False}}
        return await product(request, call)

    return complete


# Resources.

STATIC = {
    "test://static-text": {"mimeType": "text/plain", "text": "This is the content of the static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": IMAGE},
}
_TEMPLATE = "test://template/{id}/data"
_BEFORE, _AFTER = _TEMPLATE.split("{id}")


def listing_resources(product: Handler) -> Handler:
    """``resources/list``: the product's and these."""
    listed = [{"uri": uri, "name": uri, "mimeType": content["mimeType"]} for uri, content in STATIC.items()]
    return _extending("resources", listed, product)


def listing_templates(product: Handler) -> Handler:
    """``resources/templates/list``: the product's and this one."""
    listed = [{"uriTemplate": _TEMPLATE, "name": "template", "mimeType": "application/json"}]
    return _extending("resourceTemplates", listed, product)


def _extending(member: str, more: list[dict[str, JSON]], product: Handler) -> Handler:
    async def handler(request: Request, call: RequestContext) -> Result:
        result = await product(request, call)
        return {**result, member: [*orjson.loads(orjson.dumps(result[member])), *more]}

    return handler


def reading_resources(product: Handler) -> Handler:
    """``resources/read``: one of these, else the product's answer."""

    async def read(request: Request, call: RequestContext) -> Result:
        content = _content(request.params.get("uri"))
        if content is None:
            return await product(request, call)
        return with_cache_hints({"contents": [content]}, call.protocol, TTL_MS)

    return read


def _content(uri: JSON) -> dict[str, JSON] | None:
    if isinstance(uri, str) and uri in STATIC:
        return {"uri": uri, **STATIC[uri]}
    if isinstance(uri, str) and uri.startswith(_BEFORE) and uri.endswith(_AFTER):
        filled = orjson.dumps({"id": uri.removeprefix(_BEFORE).removesuffix(_AFTER)}).decode()
        return {"uri": uri, "mimeType": "application/json", "text": filled}
    return None
