"""The suite's long-running tools, as real runs of the simulated Runflow.

So the tasks scenarios test the product's own ``generate`` and ``tasks/*``, not a second implementation.
"""

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.tools.generate import generate
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.protocol.meta import TASKS
from runflow_mcp.protocol.revisions import require_extension
from tests.conformance.fixture_asking_tools import NAME, asks
from tests.conformance.fixture_documents import text
from tests.conformance.fixture_input_requests import Answers, Interview
from tests.conformance.fixture_tools import strings, tool

_SECONDS: JSONObject = {
    "type": "object",
    "properties": {"seconds": {"type": "number"}, "label": {"type": "string"}},
}


async def _start(call: RequestContext, prompt: str, model: str = "google/nano-banana-2", **more: JSON) -> Result:
    return await generate({"model": model, "input": {"prompt": prompt}, **more}, call)


async def _compute(arguments: JSONObject, call: RequestContext) -> Result:
    """Takes as long as the simulation does, whatever ``seconds`` says."""
    return await _start(call, str(arguments.get("label", "a lighthouse")))


async def _fail(_arguments: JSONObject, call: RequestContext) -> Result:
    require_extension(call.protocol, TASKS)
    return await _start(call, "a storm", "sandbox/failing")


async def _greet(arguments: JSONObject, _call: RequestContext) -> Result:
    return {"content": [text(f"Hello, {arguments.get('name')}!")]}


async def _portray(answers: Answers, call: RequestContext) -> Result:
    """The result of a run names its client_ref, and so the person who answered."""
    name = answers["user_name"]["content"]["name"]
    return await _start(call, f"a portrait of {name}", client_ref=f"{name}-{call.request_id}")


TOOLS = (
    tool("greet", "Greets.", _greet, strings(name={})),
    tool("slow_compute", "Starts a run.", _compute, _SECONDS),
    tool("failing_job", "Starts a run that fails; only as a task.", _fail),
    tool("confirm_delete", "Starts a run; nothing is asked.", _compute, strings(filename={})),
    asks(Interview("test_tool_with_task", (NAME,), _portray)),
)
