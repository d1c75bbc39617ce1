"""A run, read tolerantly from whatever upstream sends.

Pure: no HTTP, no clock. Field names and their variants come from Runflow's documentation and from public client
code; every field may be absent or null.
"""

from datetime import datetime
from decimal import Decimal
from itertools import islice

import attrs

from runflow_mcp.identifiers import run_id_problem
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.runflow.reading.trimming import trimmed
from runflow_mcp.runflow.runs.failures import failure_code, failure_reason
from runflow_mcp.runflow.runs.outputs import Output, find_outputs

SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED})
#: The documented states of a run that has not ended; they outweigh its other members.
_ACTIVE = frozenset({"queued", "dispatching", "running"})
#: States of a run that has ended, which do not say how.
_ENDED = frozenset({"done", "finished", "ended"})
#: Other spellings of the terminal states. A run in any other state is active, unless it has a time of completion.
_SPELLINGS = {
    **dict.fromkeys(("succeed", "success", "successful", "complete", "completed"), SUCCEEDED),
    **dict.fromkeys(("fail", "failure", "error", "errored", "timeout", "timed_out", "timedout"), FAILED),
    **dict.fromkeys(("expired", "rejected", "crashed", "killed", "time_out"), FAILED),
    **dict.fromkeys(("canceled", "cancelled", "aborted", "stopped", "terminated"), CANCELLED),
}

#: Members of a run that are kept to show it; a real run has about thirty.
MAX_MEMBERS = 200
#: Characters of an unknown state, which is repeated in every line about the run.
MAX_STATUS_LENGTH = 64
#: A larger number is not taken for a count of nodes.
_MAX_NODES = 1_000_000
#: Members that only a failed run has.
_FAILURE = ("failure_code", "failure_message", "failure_reason", "failure", "error", "error_message")
#: Members that may hold the output, the documented name first.
_OUTPUT = ("output", "outputs", "result", "results", "response", "artifacts", "files", "data")
#: Members that are not kept in ``raw``.
_BULK = frozenset({"input", "logs", "node_runs", *_OUTPUT})


@attrs.frozen
class Run:
    """One run.

    ``output`` and ``raw`` (upstream's object without input, logs and node_runs) are cut to what an answer can carry,
    so that a waiting call keeps little of an output of megabytes; ``outputs`` has the files of the whole output.
    """

    id: str
    status: str
    client_ref: str | None
    nodes_total: int | None
    nodes_completed: int | None
    output: JSON
    outputs: tuple[Output, ...]
    input: JSON
    cost: str | None
    duration_ms: int | float | None
    created_at: str | None
    completed_at: str | None
    failure_code: str | None
    failure_message: str | None
    metadata: JSONObject
    raw: JSONObject

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def model(self) -> str | None:
        """The model that this proxy created the run for, if upstream stored it."""
        return _text(self.metadata, "mcp_model")

    @property
    def input_digest(self) -> str | None:
        """The digest of the input that this proxy created the run from, if upstream stored it."""
        return _text(self.metadata, "mcp_input_sha256")

    def age(self, now: float) -> float:
        """Seconds since ``created_at``, 0 when that cannot be read. ``now``: Unix time."""
        try:
            created = datetime.fromisoformat(self.created_at or "")
        except ValueError:
            return 0.0
        return max(0.0, now - created.timestamp()) if created.tzinfo else 0.0


def parse_run(payload: JSON, base_url: str = "", *, summary: bool = False) -> Run | None:
    """Read a run object; None when it has no usable id.

    ``base_url``: the API's, completes relative addresses of outputs. ``summary``: leave the output out, for a list of
    many runs.
    """
    if not isinstance(payload, dict):
        return None
    id_ = _id(payload)
    if not id_ or run_id_problem(id_):
        return None
    return _read(id_, payload, base_url, summary=summary)


def _read(id_: str, payload: JSONObject, base_url: str, *, summary: bool) -> Run:
    metadata = payload.get("metadata")
    members = {name: value for name, value in islice(payload.items(), MAX_MEMBERS) if name not in _BULK}
    output = next((payload[name] for name in _OUTPUT if payload.get(name)), payload.get("output"))
    trimmed_output = None if summary else trimmed(output)
    return Run(
        id=id_,
        status=_status(payload, failed=any(map(payload.get, _FAILURE)), output=output),
        client_ref=_name(payload.get("client_ref")),
        nodes_total=_count(payload.get("nodes_total")),
        nodes_completed=_count(payload.get("nodes_completed")),
        output=trimmed_output,
        outputs=() if summary or not output else tuple(find_outputs(output, [payload.get("input")], base_url)),
        input=payload.get("input"),
        cost=_decimal(payload.get("cost")),
        duration_ms=_number(payload.get("duration_ms")),
        created_at=_text(payload, "created_at"),
        completed_at=_text(payload, "completed_at", "finished_at"),
        failure_code=failure_code(payload),
        failure_message=failure_reason(payload),
        metadata=metadata if isinstance(metadata, dict) else {},
        raw=members | {"id": id_} | ({"output": trimmed_output} if trimmed_output is not None else {}),
    )


def unread_run(run_id: str, client_ref: str) -> Run:
    """A run that has not been read: its state is unknown. ``run_id``: usable."""
    return _read(run_id, {"id": run_id, "client_ref": client_ref}, "", summary=True)


def _status(payload: JSONObject, *, failed: bool, output: JSON) -> str:
    """The state in its documented spelling. How a run ended in an unknown state follows from its output and failure."""
    spelling = (_text(payload, "status_code", "status", "state") or "unknown").strip().lower()
    spelling = spelling.replace("-", "_").replace(" ", "_")
    status = _SPELLINGS.get(spelling, spelling)[:MAX_STATUS_LENGTH]
    if status in TERMINAL or status in _ACTIVE:
        return status
    if status in _ENDED:
        return FAILED if failed else SUCCEEDED
    if payload.get("completed_at") or payload.get("finished_at"):
        return SUCCEEDED if output and not failed else FAILED
    return status


def _id(payload: JSONObject) -> str | None:
    """A run's id."""
    return _name(payload.get("id")) or _name(payload.get("run_id"))


def _name(value: JSON) -> str | None:
    """A text that is not empty, or the digits of a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _text(payload: JSONObject, *names: str) -> str | None:
    for name in names:
        value = payload.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def _number(value: JSON) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: JSON) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 <= number < _MAX_NODES else None


def _decimal(value: JSON) -> str | None:
    """A decimal string, also from a number."""
    if isinstance(value, str):
        return value
    number = _number(value)
    return None if number is None else f"{Decimal(str(number)):f}"
