"""A run as a tool result, whole in its text and in its structured part: hosts show the model one of the two.

Pure: runs in, results out; a run that did not succeed is a ``ToolError`` of ``run_errors``.
"""

import orjson

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods.run_errors import INPUT_IGNORED, run_cancelled, run_failed
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.protocol.revisions import FEATURES, Revision
from runflow_mcp.runflow.api.paths import run_path
from runflow_mcp.runflow.dispatch.order import RunRef
from runflow_mcp.runflow.reading.trimming import MAX_SIZE, MAX_TEXT, trimmed
from runflow_mcp.runflow.runs.outputs import Output
from runflow_mcp.runflow.runs.run import CANCELLED, FAILED, Run

#: Characters of a cost or a time.
MAX_FIGURE = 64
#: Characters of a link's name, which hosts show.
MAX_LINK_NAME = 128

_TEXT: JSONObject = {"type": "string"}
_TEXT_OR_NULL: JSONObject = {"type": ["string", "null"]}
_OUTPUT: JSONObject = {"type": "object", "properties": {"url": _TEXT, "mime_type": _TEXT}, "required": ["url"]}
#: The members of a run's ``structuredContent``, each with its schema.
SCHEMA: JSONObject = {
    "run_id": _TEXT,
    "status": _TEXT,
    "model": _TEXT,
    "client_ref": _TEXT,
    "outputs": {"type": "array", "items": _OUTPUT},
    "output": {"description": "The model's output as Runflow returned it."},
    "cost": _TEXT_OR_NULL,
    "duration_ms": {"type": ["number", "null"]},
    "created_at": _TEXT_OR_NULL,
    "completed_at": _TEXT_OR_NULL,
    "poll_url": _TEXT,
    "input_ignored": {"type": "boolean"},
    "note": _TEXT,
}


def started_result(run: Run, ref: RunRef, api_url: str) -> Result:
    """The answer of ``wait=false``: the run's state as it is, and the URL to poll."""
    facts, _ = _facts(run, ref)
    return _result({**facts, "poll_url": f"{api_url}{run_path(run.id)}"}, [])


def final_result(run: Run, ref: RunRef, revision: Revision) -> Result:
    """The answer of a run that has ended. Raises ``ToolError`` when it did not succeed."""
    if run.status == FAILED:
        raise run_failed(run, ref)
    if run.status == CANCELLED:
        raise run_cancelled(run, ref)
    facts, outputs = _facts(run, ref)
    links = outputs if FEATURES[revision].resource_links else []
    return _result(facts, [_link(position, output) for position, output in enumerate(links, 1)])


def _facts(run: Run, ref: RunRef) -> tuple[dict[str, JSON], list[Output]]:
    """(``structuredContent``, the outputs in it). Together they stay within ``MAX_SIZE`` and one text."""
    outputs = [output for output in run.outputs if output.url not in ref.input_urls]
    left = MAX_SIZE - sum(len(output.url.encode()) for output in outputs)
    facts: dict[str, JSON] = {"run_id": run.id, "status": run.status}
    if ref.model is not None:
        facts["model"] = ref.model
    if ref.client_ref is not None:
        facts["client_ref"] = ref.client_ref
    facts |= {
        "outputs": [_shown_output(output) for output in outputs],
        "output": trimmed(run.output, max(left, MAX_TEXT)),
        "cost": _short(run.cost),
        "duration_ms": run.duration_ms,
        "created_at": _short(run.created_at),
        "completed_at": _short(run.completed_at),
    }
    if ref.input_ignored:
        facts |= {"input_ignored": True, "note": INPUT_IGNORED}
    return facts, outputs


def _shown_output(output: Output) -> dict[str, str]:
    return {"url": output.url, "mime_type": output.mime_type} if output.mime_type else {"url": output.url}


def _short(text: str | None) -> str | None:
    """A figure or a time as upstream spells it; None for a text that is too long to be one."""
    return text if text is None or len(text) <= MAX_FIGURE else None


def _link(position: int, output: Output) -> dict[str, str]:
    path = output.url.partition("?")[0].partition("#")[0].rstrip("/")
    name = path.rpartition("/")[2][-MAX_LINK_NAME:] or f"output-{position}"
    link = {"type": "resource_link", "uri": output.url, "name": name}
    return {**link, "mimeType": output.mime_type} if output.mime_type else link


def _result(facts: JSONObject, links: list[dict[str, str]]) -> Result:
    structured = orjson.dumps(facts)
    return {
        "content": [{"type": "text", "text": structured.decode()}, *links],
        "structuredContent": orjson.Fragment(structured),
        "isError": False,
    }
