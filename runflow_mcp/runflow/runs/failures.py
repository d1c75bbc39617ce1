"""Why a run failed: a code, and a reason in words, wherever the run object has them.

Pure. ``failure_code`` and ``failure_message`` are documented; clients and similar APIs use other members.
"""

from collections.abc import Iterable

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.runflow.reading.error_bodies import MAX_LEVELS, one_line, reason_of

#: Characters of a reason in a message; details.run has all of it.
MAX_FAILURE_REASON = 2000
#: Members that hold the reason, the most specific first.
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
#: Members that hold the output, and members of it that hold a reason: some providers return an error as the output.
_RESULTS = ("output", "outputs", "result")
_RESULT_MEMBERS = ("error", "errors", "error_message", "detail", "message")
_NODE_MEMBERS = ("failure_message", "failure", "error", "error_message")
#: Members whose objects may hold the code.
_WRAPPED = ("error", "failure")
_CODES = ("code", "failure_code", "type")
#: Nodes that are searched for a reason when the run itself has none.
MAX_NODES = 100


def failure_code(run: JSONObject) -> str | None:
    """The code of the failure in upstream's spelling."""
    codes = [run.get(name) for name in ("failure_code", "error_code", "failureCode", "errorCode")]
    for name in _WRAPPED:
        inner = run.get(name)
        if isinstance(inner, dict):
            codes += [inner.get(name) for name in _CODES]
    return next((line for code in codes if isinstance(code, str) and (line := one_line(code))), None)


def failure_reason(run: JSONObject) -> str | None:
    """The reason on one line: the run's own, else its output's, else that of the first node with a reason."""
    nodes = run.get("node_runs")
    return (
        _reason(run, _MEMBERS)
        or _first_reason((run.get(name) for name in _RESULTS), _RESULT_MEMBERS)
        or _first_reason(nodes[:MAX_NODES] if isinstance(nodes, list) else (), _NODE_MEMBERS)
    )


def _first_reason(objects: Iterable[JSON], members: tuple[str, ...]) -> str | None:
    return next((reason for item in objects if isinstance(item, dict) and (reason := _reason(item, members))), None)


def _reason(value: JSONObject, members: tuple[str, ...]) -> str | None:
    return next((reason for name in members if (item := value.get(name)) and (reason := _line(item))), None)


def _line(value: JSON) -> str | None:
    return one_line(value, MAX_FAILURE_REASON) if isinstance(value, str) else reason_of(value, MAX_LEVELS - 1)
