"""The suite's tools that ask for input before they answer, in the product's registry."""

from contextvars import ContextVar

import attrs
import orjson

from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.tools.registry import Tool
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.protocol.revisions import Era
from tests.conformance.fixture_documents import text
from tests.conformance.fixture_input_requests import ROOTS, Answers, Interview, elicit, sample
from tests.conformance.fixture_tools import tool

#: The params of the request that is being answered: a tool of the product only gets its arguments.
PARAMS: ContextVar[JSONObject] = ContextVar("params")


async def _thanks(answers: Answers, _call: RequestContext) -> Result:
    return {"content": [text(f"state-ok. Thank you for {orjson.dumps(answers).decode()}.")]}


_ASKING = "test_input_required_result"
NAME = {"user_name": elicit("What is your name?", "name")}
_EVERYTHING = {**NAME, "greeting": sample("Generate a greeting"), "client_roots": ROOTS}
_CONFIRM = {"confirm": elicit("Please confirm", "ok", "boolean")}


INTERVIEWS = (
    Interview(f"{_ASKING}_elicitation", (NAME,), _thanks),
    Interview(f"{_ASKING}_sampling", ({"capital_question": sample("What is the capital of France?")},), _thanks),
    Interview(f"{_ASKING}_list_roots", ({"client_roots": ROOTS},), _thanks),
    Interview(f"{_ASKING}_request_state", (_CONFIRM,), _thanks, sealed=True),
    Interview(f"{_ASKING}_multiple_inputs", (_EVERYTHING,), _thanks, sealed=True),
    Interview(
        f"{_ASKING}_multi_round",
        ({"step1": elicit("Step 1: What is your name?", "name")}, {"step2": elicit("Step 2: Which color?", "color")}),
        _thanks,
        sealed=True,
    ),
    Interview(f"{_ASKING}_tampered_state", (_CONFIRM,), _thanks, sealed=True),
    Interview(f"{_ASKING}_capabilities", (_EVERYTHING,), _thanks),
)


def asks(interview: Interview) -> Tool:
    async def run(_arguments: JSONObject, call: RequestContext) -> Result:
        if call.protocol.era is Era.LEGACY:
            return {"content": [text("This tool asks for input, which needs revision 2026-07-28.")], "isError": True}
        return await interview.hold(PARAMS.get(), call)

    return tool(interview.name, "Asks for input before it answers.", run)


async def _ask_on_stream(_arguments: JSONObject, call: RequestContext) -> Result:
    await call.channel.open()
    return await attrs.evolve(INTERVIEWS[0], name="test_streaming_elicitation").hold(PARAMS.get(), call)


TOOLS = (
    *map(asks, INTERVIEWS),
    tool("test_streaming_elicitation", "Asks on an event stream.", _ask_on_stream),
)
