"""Why a run failed, wherever its object says so: a code, and a reason in words.

Pure. Documented are ``failure_code`` and ``failure_message``; clients and similar APIs know other places.
"""

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.runflow.reading.error_bodies import MAX_LEVELS, one_line, reason_of

#: Characters of a reason: as much as is told in a sentence; details.run has all of it.
MAX_REASON = 2000
#: Members that say why, the most specific first.
_MEMBERS = (
    "failure_message",
    "failure_reason",
    "failureMessage",
    "failureReason",
    "failure",
    "error",
    "error_message",
    "errorMessage",
    "error_description",
    "error_detail",
    "error_details",
    "failure_description",
    "failure_detail",
    "failure_details",
    "errors",
    "status_message",
    "status_reason",
    "status_detail",
    "reason",
    "message",
    "detail",
)
#: Where a result stands, and what in it says that it is none: some providers answer with an error for an output.
_RESULTS = ("output", "outputs", "result")
_RESULT_MEMBERS = ("error", "errors", "error_message", "detail", "message")
_NODE_MEMBERS = ("failure_message", "failure", "error", "error_message")
#: Objects that may hold the code.
_WRAPPED = ("error", "failure")
_CODES = ("code", "failure_code", "type")
#: The nodes of a run that are asked when the run itself says nothing.
MAX_NODES = 100


def failure_code(run: JSONObject) -> str | None:
    """The code of the failure as upstream spells it."""
    found = [run.get(name) for name in ("failure_code", "error_code", "failureCode", "errorCode")]
    for name in _WRAPPED:
        inner = run.get(name)
        if isinstance(inner, dict):
            found += [inner.get(code) for code in _CODES]
    return next((line for one in found if isinstance(one, str) and (line := one_line(one))), None)


def failure_reason(run: JSONObject) -> str | None:
    """The reason on one line: the run's own, else its output's, else that of its first node that has one."""
    if found := _reason(run):
        return found
    results = [one for name in _RESULTS if isinstance(one := run.get(name), dict)]
    if found := next((found for one in results if (found := _reason(one, _RESULT_MEMBERS))), None):
        return found
    nodes = run.get("node_runs")
    listed = nodes[:MAX_NODES] if isinstance(nodes, list) else []
    return next((found for node in listed if isinstance(node, dict) and (found := _reason(node, _NODE_MEMBERS))), None)


def _reason(value: JSONObject, members: tuple[str, ...] = _MEMBERS) -> str | None:
    return next((found for name in members if (found := _words(value.get(name)))), None)


def _words(value: JSON) -> str | None:
    return one_line(value, MAX_REASON) if isinstance(value, str) else reason_of(value, MAX_LEVELS - 1)
