"""A run as a tool result, complete both as text and as structured content: hosts show the model one of the two.

Pure: takes runs, returns results; runs that did not succeed are in ``run_errors``.
"""

import orjson

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods.run_errors import INPUT_IGNORED, run_cancelled, run_failed
from runflow_mcp.methods.run_state import short_figure
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.protocol.revisions import FEATURES, Revision
from runflow_mcp.runflow.api.paths import run_path
from runflow_mcp.runflow.dispatch.order import RunRef
from runflow_mcp.runflow.reading.link_expiry import link_expiry
from runflow_mcp.runflow.reading.trimming import MAX_SIZE, MAX_TEXT, trimmed
from runflow_mcp.runflow.runs.outputs import Output
from runflow_mcp.runflow.runs.run import CANCELLED, FAILED, Run

#: Characters of a link's name, which hosts show.
MAX_LINK_NAME = 128

_TEXT: JSONObject = {"type": "string"}
_TEXT_OR_NULL: JSONObject = {"type": ["string", "null"]}
_OUTPUT: JSONObject = {
    "type": "object",
    "properties": {"url": _TEXT, "mime_type": _TEXT, "expires_at": _TEXT},
    "required": ["url"],
}
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
    """The answer to ``wait=false``: the run as it is now, and the URL to poll."""
    structured, _ = _structured(run, ref)
    return _result({**structured, "poll_url": f"{api_url}{run_path(run.id)}"}, [])


def final_result(run: Run, ref: RunRef, revision: Revision) -> Result:
    """The result of a run that has ended. Raises ``ToolError`` when it did not succeed."""
    if run.status == FAILED:
        raise run_failed(run, ref)
    if run.status == CANCELLED:
        raise run_cancelled(run, ref)
    structured, outputs = _structured(run, ref)
    links = outputs if FEATURES[revision].resource_links else []
    return _result(structured, [_link(position, output) for position, output in enumerate(links, 1)])


def run_json(run: Run, ref: RunRef) -> bytes:
    """A run in any state as JSON: the members of a result, its progress, and its failure."""
    structured, _ = _structured(run, ref)
    progress = {"nodes_completed": run.nodes_completed, "nodes_total": run.nodes_total}
    failure = {"failure_code": run.failure_code and run.failure_code.lower(), "failure_message": run.failure_message}
    more = progress | (failure if run.status == FAILED else {})
    return orjson.dumps({**structured, **{name: value for name, value in more.items() if value is not None}})


def _structured(run: Run, ref: RunRef) -> tuple[dict[str, JSON], list[Output]]:
    """(``structuredContent``, the outputs in it). Together they exceed ``MAX_SIZE`` by one text at most."""
    outputs = [output for output in run.outputs if output.url not in ref.input_urls]
    remaining = MAX_SIZE - sum(len(output.url.encode()) for output in outputs)
    structured: dict[str, JSON] = {"run_id": run.id, "status": run.status}
    if ref.model is not None:
        structured["model"] = ref.model
    if ref.client_ref is not None:
        structured["client_ref"] = ref.client_ref
    structured |= {
        "outputs": [_output(output) for output in outputs],
        "output": trimmed(run.output, max(remaining, MAX_TEXT)),
        "cost": short_figure(run.cost),
        "duration_ms": run.duration_ms,
        "created_at": short_figure(run.created_at),
        "completed_at": short_figure(run.completed_at),
    }
    if ref.input_ignored:
        structured |= {"input_ignored": True, "note": INPUT_IGNORED}
    return structured, outputs


def _output(output: Output) -> dict[str, str]:
    listed = {"url": output.url, "mime_type": output.mime_type, "expires_at": link_expiry(output.url)}
    return {name: text for name, text in listed.items() if text is not None}


def _link(position: int, output: Output) -> dict[str, str]:
    path = output.url.partition("?")[0].partition("#")[0].rstrip("/")
    name = path.rpartition("/")[2][-MAX_LINK_NAME:] or f"output-{position}"
    link = {"type": "resource_link", "uri": output.url, "name": name}
    return {**link, "mimeType": output.mime_type} if output.mime_type else link


def _result(structured: JSONObject, links: list[dict[str, str]]) -> Result:
    as_json = orjson.dumps(structured)
    return {
        "content": [{"type": "text", "text": as_json.decode()}, *links],
        "structuredContent": orjson.Fragment(as_json),
        "isError": False,
    }
