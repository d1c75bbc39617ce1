"""The suite's ``test_*`` tools that answer at once, for the product's own registry."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from multidict import CIMultiDictProxy

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.tools.registry import Tool
from runflow_mcp.protocol.inbound import RoutingHeaders, classify
from runflow_mcp.protocol.jsonrpc import ProtocolError, Request, Result
from runflow_mcp.protocol.meta import META_CAPABILITIES, META_VERSION
from runflow_mcp.protocol.progress import METHOD
from runflow_mcp.protocol.revisions import Era
from tests.conformance.fixture_documents import PNG, WAV, embedded, text
from tests.conformance.fixture_input_requests import lacks

#: The headers of the request that is being answered, which no tool of the product ever sees.
HEADERS: ContextVar[CIMultiDictProxy[str]] = ContextVar("headers")

Run = Callable[[JSONObject, RequestContext], Awaitable[Result]]


def tool(name: str, description: str, run: Run, schema: JSONObject | None = None) -> Tool:
    empty = {"type": "object", "properties": {}, "additionalProperties": False}
    return Tool({"name": name, "description": description, "inputSchema": schema or empty}, run)


def strings(**properties: JSONObject) -> JSONObject:
    return {"type": "object", "properties": {name: {"type": "string", **schema} for name, schema in properties.items()}}


# Tools that return fixed content


def _gives(*content: JSONObject, error: bool = False) -> Run:
    async def run(_arguments: JSONObject, _call: RequestContext) -> Result:
        result: dict[str, JSON] = {"content": list(content)}
        return {**result, "isError": True} if error else result

    return run


async def _with_progress(_arguments: JSONObject, call: RequestContext) -> Result:
    await call.channel.open()
    for done in (0, 50, 100):
        if call.progress_token is not None:
            params = {"progressToken": call.progress_token, "progress": done, "total": 100, "message": f"{done} of 100"}
            await call.channel.notify(METHOD, params)
    return {"content": [text("Done.")]}


async def _streamed(_arguments: JSONObject, call: RequestContext) -> Result:
    await call.channel.open()
    return {"content": [text("Nothing was logged: this server has no logging.")]}


async def _change_prompts(_arguments: JSONObject, call: RequestContext) -> Result:
    call.services.subscriptions.notify_all()
    return {"content": [text("Every subscriber has been notified.")]}


async def _needs_sampling(_arguments: JSONObject, call: RequestContext) -> Result:
    if "sampling" not in call.protocol.capabilities:
        raise lacks("sampling")
    return {"content": [text("The client can sample.")]}


async def _with_header(arguments: JSONObject, call: RequestContext) -> Result:
    """The server validates no parameter headers, for none of its own tools has one; they are checked as Mcp-Name is."""
    region = arguments.get("region")
    if call.protocol.era is Era.MODERN and isinstance(region, str):
        version, method = call.protocol.revision, "tools/call"
        params = {"name": region, "_meta": {META_VERSION: version, META_CAPABILITIES: {}}}
        sent = tuple(HEADERS.get().getall("Mcp-Param-Region", ()))
        judged = classify(Request(0, method, params), RoutingHeaders((version,), (method,), sent))
        if isinstance(judged, ProtocolError):
            raise judged
    return {"content": [text(f"The region is {region}.")]}


_ADDRESS = {
    "$anchor": "addressDef",
    "type": "object",
    "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
}
#: The suite compares it word by word.
_WHOLE_VOCABULARY: JSONObject = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": _ADDRESS},
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

TOOLS = (
    tool("test_simple_text", "Gives a text.", _gives(text("This is a simple text response for testing."))),
    tool("test_image_content", "Gives an image.", _gives(PNG)),
    tool("test_audio_content", "Gives a sound.", _gives(WAV)),
    tool(
        "test_embedded_resource",
        "Gives a resource.",
        _gives(embedded("test://embedded-resource", "This is an embedded resource content.")),
    ),
    tool(
        "test_multiple_content_types",
        "Gives several kinds.",
        _gives(text("Multiple content types test:"), PNG, embedded("test://mixed-content-resource", "mixed")),
    ),
    tool(
        "test_error_handling",
        "Fails.",
        _gives(text("This tool intentionally returns an error for testing"), error=True),
    ),
    tool("test_tool_with_progress", "Reports its progress.", _with_progress),
    tool("test_logging_tool", "Would log if it could.", _streamed),
    tool("test_trigger_prompt_change", "Notifies subscribers that the prompts have changed.", _change_prompts),
    tool("test_missing_capability", "Needs a client that can sample.", _needs_sampling),
    tool(
        "test_custom_header",
        "Has a parameter that is a header too.",
        _with_header,
        strings(region={"x-mcp-header": "Region"}),
    ),
    tool(
        "json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", _gives(text("Seen.")), _WHOLE_VOCABULARY
    ),
)
