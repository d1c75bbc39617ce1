"""The tasks extension (``io.modelcontextprotocol/tasks``, SEP-2663): a waiting run as a task to be polled.

A task is a Runflow run and its id is the run's, so nothing is kept here: any replica answers, and who may see
a task is upstream's decision, by the caller's own bearer.
"""

from datetime import UTC, datetime

from runflow_mcp.errors import ToolError
from runflow_mcp.identifiers import run_id_problem
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods import run_results
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.run_results import Asked
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.meta import TASKS
from runflow_mcp.protocol.revisions import ProtocolContext, require_extension
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.runs.polling import poll_delay
from runflow_mcp.runflow.runs.run import CANCELLED, Run

#: A task is polled by its client, through the limits of this server.
MIN_POLL_MS = 5000
#: Attempts at upstream within one ``tasks/get``: an error would read as the end of the task.
MAX_ATTEMPTS = 3
FIRST_BACKOFF = 0.5
#: Seconds for one attempt and for all: clients give up on a plain request after a minute.
ATTEMPT_TIMEOUT, BUDGET = 10.0, 25.0
NOT_FOUND = 404
CANNOT_STOP = "Runflow has no way to stop a run: it goes on and is billed; tasks/get still brings its result."
_NO_SUCH_TASK = (
    "There is no such task for this API key (Runflow answered HTTP {status}). Use the key that started it; a run "
    "that exists is also found by calling generate with the same model and client_ref."
)
#: Upstream's refusals that say this caller has no such run.
_NOT_THEIRS = frozenset({401, 403, 404})


def wanted(protocol: ProtocolContext) -> bool:
    """Whether a waiting run may be answered with a task: only to a client that declared it on this request."""
    return protocol.declares(TASKS)


def created(run: Run, asked: Asked, now: float) -> Result:
    """The ``CreateTaskResult`` of a run that exists upstream."""
    note = f" {run_results.INPUT_IGNORED}" if asked.input_ignored else ""
    return {
        "resultType": "task",
        **_task(run, "working", now, f"{run.status}; client_ref {asked.client_ref}.{note}"),
    }


async def get(request: Request, ctx: RequestContext) -> Result:
    """``tasks/get``: the run as it is now, with its result once it has ended."""
    require_extension(ctx.protocol, TASKS)
    run = await _run(_task_id(request.take_params()), ctx)
    now = ctx.services.clock.wall()
    if not run.terminal:
        return _task(run, "working", now, run_results.progress_message(run, run.age(now), None))
    if run.status == CANCELLED:
        return _task(run, "cancelled", now, "The run was cancelled at Runflow.")
    try:
        result = run_results.final_result(run, Asked.remembered(run), ctx.protocol.revision)
    except ToolError as error:  # a failed run is a completed task: only the protocol's own faults are "failed"
        result = error.result(ctx.request_id)
    return {**_task(run, "completed", now, run.status), "result": {"resultType": "complete", **result}}


async def cancel(request: Request, ctx: RequestContext) -> Result:
    """``tasks/cancel``: acknowledged, and honest about what that changes."""
    require_extension(ctx.protocol, TASKS)
    run = await _run(_task_id(request.take_params()), ctx)
    return {} if run.terminal else {"statusMessage": CANNOT_STOP}


async def update(request: Request, ctx: RequestContext) -> Result:
    """``tasks/update``: a run never asks for input, so there is nothing outstanding to answer."""
    require_extension(ctx.protocol, TASKS)
    if not isinstance(request.params.get("inputResponses"), dict):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param inputResponses must be an object.")
    await _run(_task_id(request.take_params()), ctx)
    return {}


def _task_id(params: JSONObject) -> str:
    task_id = params.get("taskId")
    if not isinstance(task_id, str) or run_id_problem(task_id):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param taskId must be a task id as tools/call gave it.")
    return task_id


async def _run(task_id: str, ctx: RequestContext) -> Run:
    try:
        async with ctx.pending_answer.stop_on_drain():
            return await _asked(task_id, ctx)
    except TimeoutError:
        message = "This server is stopping; the task goes on. Ask again in a few seconds, any replica answers."
        raise ProtocolError(ErrorCode.INTERNAL_ERROR, message) from None


async def _asked(task_id: str, ctx: RequestContext) -> Run:
    """The run from upstream, asked more than once where that can help."""
    clock = ctx.services.clock
    deadline = clock.monotonic() + BUDGET
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            timeout = min(ATTEMPT_TIMEOUT, deadline - clock.monotonic())
            return await ctx.services.client.get_run(ctx.bearer, task_id, ctx.trace, timeout=timeout)
        except UpstreamError as error:
            pause = error.retry_after or FIRST_BACKOFF * attempt
            last = attempt == MAX_ATTEMPTS or clock.monotonic() + pause >= deadline
            # A run that was just made may not be readable yet, and its task is promised to be there.
            if error.status in _NOT_THEIRS and (last or error.status != NOT_FOUND):
                raise ProtocolError(ErrorCode.INVALID_PARAMS, _NO_SUCH_TASK.format(status=error.status)) from error
            if last or (error.outcome is Outcome.REFUSED and error.status != NOT_FOUND):
                message = f"The task goes on, but its state cannot be had now: {error.reason}. Ask again shortly."
                raise ProtocolError(ErrorCode.INTERNAL_ERROR, message) from error
            await clock.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _task(run: Run, status: str, now: float, message: str) -> dict[str, JSON]:
    return {
        "taskId": run.id,
        "status": status,
        "statusMessage": message,
        "createdAt": _stamp(run.created_at, now),
        "lastUpdatedAt": _stamp(run.completed_at, now),
        # Upstream keeps runs; this server promises nothing about for how long.
        "ttlMs": None,
        "pollIntervalMs": max(MIN_POLL_MS, int(poll_delay(run.age(now)) * 1000)),
    }


def _stamp(upstream: str | None, now: float) -> str:
    """Upstream's time where it is a whole one, else ours: the extension wants ISO 8601 in every answer."""
    try:
        if upstream and datetime.fromisoformat(upstream).tzinfo is not None:
            return upstream
    except ValueError:
        pass
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
