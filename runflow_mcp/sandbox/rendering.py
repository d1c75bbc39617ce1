"""A run at a moment as the API's run object.

Pure; the only place that knows the names of the upstream's fields.
"""

from datetime import UTC, datetime
from hashlib import sha256
from uuid import NAMESPACE_URL, UUID, uuid5

from runflow_mcp.sandbox.course import Ending, Moment
from runflow_mcp.sandbox.outputs import output
from runflow_mcp.sandbox.payload import JsonObject
from runflow_mcp.sandbox.pricing import cost
from runflow_mcp.sandbox.runs import Run

FAILURE_CODE = "CONTENT_POLICY_VIOLATION"
FAILURE_MESSAGE = "The input was refused by the content policy"
#: What a sparse run still says; without its client_ref nobody could find it again.
SPARSE_FIELDS = frozenset({"id", "status_code", "client_ref", "output"})


def render(run: Run, now: float, origin: str) -> JsonObject:
    """``origin`` is the scheme and host under which the client reached the sandbox."""
    moment = run.at(now)
    order, course = run.order, run.behaviour.course
    failed = moment.status == Ending.FAILED
    result: JsonObject = {
        "id": run.id,
        "flow_id": None,
        "model_id": str(uuid5(NAMESPACE_URL, order.model.name)),
        "target_type": "model",
        "org_id": str(UUID(bytes=sha256(run.owner.encode()).digest()[:16])),
        "status_code": moment.status,
        "source_code": "api",
        "input": order.input,
        "output": output(run, origin) if moment.succeeded else None,
        "context": None,
        "duration_ms": _milliseconds(moment),
        "cost": cost(order.model, order.input) if moment.succeeded else None,
        "cost_breakdown": None,
        "nodes_total": None if moment.started is None else course.nodes,
        "nodes_completed": moment.nodes_completed,
        "batch_id": None,
        "client_ref": order.client_ref,
        "request_id": f"req_{sha256(run.id.encode()).hexdigest()[:24]}",
        "created_at": _stamp(run, 0),
        "started_at": _stamp(run, moment.started),
        "completed_at": _stamp(run, moment.ended),
        "callback_url": order.callback_url,
        "metadata": order.metadata,
        "has_logs": moment.started is not None,
        "has_node_runs": moment.started is not None,
        "links": {"self": f"{origin}/v1/runs/{run.id}"},
        "failure_code": FAILURE_CODE if failed else None,
        "failure_message": FAILURE_MESSAGE if failed else None,
        "failure_stage_code": "running" if failed else None,
        "node_runs": _node_runs(run, moment),
        "logs": _logs(run, moment),
    }
    if run.behaviour.sparse:
        return {name: value if name in SPARSE_FIELDS else None for name, value in result.items()}
    return result


def _milliseconds(moment: Moment) -> int | None:
    if moment.started is None or moment.ended is None:
        return None
    return round((moment.ended - moment.started) * 1000)


def _stamp(run: Run, offset: float | None) -> str | None:
    """ISO 8601 in UTC, ``offset`` seconds after the run's creation."""
    if offset is None:
        return None
    instant = datetime.fromtimestamp(run.created_at + offset, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _node_runs(run: Run, moment: Moment) -> list[JsonObject]:
    course = run.behaviour.course
    return [
        {
            "node_id": f"step-{node + 1}",
            "status_code": "succeeded",
            "started_at": _stamp(run, course.node_started(node)),
            "completed_at": _stamp(run, course.node_started(node + 1)),
        }
        for node in range(moment.nodes_completed)
    ]


def _logs(run: Run, moment: Moment) -> list[JsonObject]:
    lines = [(moment.started, "run started"), (moment.ended, f"run {moment.status}")]
    return [
        {"timestamp": _stamp(run, offset), "level": "info", "message": message}
        for offset, message in lines
        if offset is not None
    ]
