"""The tasks extension (``io.modelcontextprotocol/tasks``, SEP-2663): a waiting run as a task that its client polls.

A task is a Runflow run and its id is the run's, so nothing is kept here: any replica answers, and Runflow decides by
the caller's key who may see a task.
"""

from datetime import UTC, datetime
from itertools import count
from typing import NoReturn

from runflow_mcp.errors import ToolError
from runflow_mcp.identifiers import run_id_problem
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods import run_results
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.run_errors import INPUT_IGNORED
from runflow_mcp.methods.run_state import progress_message
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.meta import TASKS
from runflow_mcp.protocol.revisions import ProtocolContext, require_extension
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError, meaning_of
from runflow_mcp.runflow.backoff import Backoff
from runflow_mcp.runflow.dispatch.order import RunRef
from runflow_mcp.runflow.runs.polling import task_interval
from runflow_mcp.runflow.runs.run import CANCELLED, Run

#: Reads of the run in one request: clients take an error as the end of the task.
MAX_ATTEMPTS = 3
BACKOFF = Backoff(0.5)
#: Seconds for one read and for all of them: clients give up on a request after a minute.
ATTEMPT_TIMEOUT, BUDGET = 10.0, 25.0
CANNOT_STOP = (
    "Runflow cannot stop a run: it continues and is billed. tasks/get still returns its result once it has ended."
)
_NO_SUCH_TASK = (
    "There is no such task for this API key (Runflow answered HTTP {status}). Use the key that started it; an "
    "existing run is also found by calling generate with the same model and client_ref."
)


def client_supports_tasks(protocol: ProtocolContext) -> bool:
    """Whether the answer may be a task: the client must declare the extension on each request."""
    return protocol.declares(TASKS)


def task_result(run: Run, ref: RunRef, now: float) -> Result:
    """The ``CreateTaskResult`` of a run that exists upstream. ``now``: Unix time."""
    note = f" {INPUT_IGNORED}" if ref.input_ignored else ""
    return {
        "resultType": "task",
        **_task(run, "working", now, f"{run.status}; client_ref {ref.client_ref}.{note}"),
    }


async def get(request: Request, ctx: RequestContext) -> Result:
    """``tasks/get``: the run as it is now, with its result once it has ended."""
    run = await _read_run(request, ctx)
    now = ctx.services.clock.wall()
    if not run.terminal:
        return _task(run, "working", now, progress_message(run, run.age(now)))
    if run.status == CANCELLED:
        return _task(run, "cancelled", now, "The run was cancelled at Runflow.")
    try:
        result = run_results.final_result(run, RunRef.of_run(run), ctx.protocol.revision)
    except ToolError as error:
        # The task itself has completed; its status "failed" is for JSON-RPC errors.
        ctx.record.error_code = str(error.code)
        result = error.result(ctx.request_id)
    return {**_task(run, "completed", now, run.status), "result": {"resultType": "complete", **result}}


async def cancel(request: Request, ctx: RequestContext) -> Result:
    """``tasks/cancel``: acknowledged, with a message that the run continues."""
    run = await _read_run(request, ctx)
    return {} if run.terminal else {"statusMessage": CANNOT_STOP}


async def update(request: Request, ctx: RequestContext) -> Result:
    """``tasks/update``: acknowledged and ignored, since a run never asks for input."""
    require_extension(ctx.protocol, TASKS)
    if not isinstance(request.params.get("inputResponses"), dict):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param inputResponses must be an object.")
    await _read_run(request, ctx)
    return {}


async def _read_run(request: Request, ctx: RequestContext) -> Run:
    """The run of the request's task. Raises ``ProtocolError``."""
    require_extension(ctx.protocol, TASKS)
    task_id = _task_id(request.take_params())
    ctx.record.run_id = task_id
    ctx.answer_when_drained = _raise_stopping
    clock = ctx.services.clock
    deadline = clock.monotonic() + BUDGET
    for attempt in count(1):
        timeout = min(ATTEMPT_TIMEOUT, deadline - clock.monotonic())
        try:
            run = await ctx.services.client.get_run(ctx.bearer, task_id, ctx.trace, timeout=timeout)
        except UpstreamError as error:
            # A Retry-After of zero would spend every attempt within one moment.
            pause = BACKOFF.after(attempt, retry_after=error.retry_after or None)
            last = attempt == MAX_ATTEMPTS or clock.monotonic() + pause >= deadline
            if last or not _may_succeed_later(error):
                ctx.services.client.failures.given_up("get_run", error, attempt)
                raise _read_error(error) from error
            ctx.services.client.failures.retried("get_run", error, attempt, pause)
        else:
            ctx.services.runs.seen(run)
            return run
        await clock.sleep(pause)
        ctx.services.metrics.upstream_retry("get_run")
    raise AssertionError("the last attempt returns or raises")


def _task_id(params: JSONObject) -> str:
    task_id = params.get("taskId")
    if not isinstance(task_id, str) or run_id_problem(task_id):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param taskId must be a task id from a tools/call result.")
    return task_id


def _may_succeed_later(error: UpstreamError) -> bool:
    """Whether another read may succeed: the run of a new task may not be readable yet."""
    return error.outcome is not Outcome.REFUSED or meaning_of(error.status).missing


def _read_error(error: UpstreamError) -> ProtocolError:
    if meaning_of(error.status).final:
        return ProtocolError(ErrorCode.INVALID_PARAMS, _NO_SUCH_TASK.format(status=error.status))
    message = f"The task is still running, but its state could not be read: {error.reason}. Ask again shortly."
    return ProtocolError(ErrorCode.INTERNAL_ERROR, message)


def _raise_stopping() -> NoReturn:
    message = "This server is stopping; the task continues. Ask again in a few seconds; any replica answers."
    raise ProtocolError(ErrorCode.INTERNAL_ERROR, message)


def _task(run: Run, status: str, now: float, message: str) -> dict[str, JSON]:
    return {
        "taskId": run.id,
        "status": status,
        "statusMessage": message,
        "createdAt": _timestamp(run.created_at, now),
        "lastUpdatedAt": _timestamp(run.completed_at, now),
        # Runflow does not promise how long it keeps a run.
        "ttlMs": None,
        "pollIntervalMs": int(task_interval(run.age(now)) * 1000),
    }


def _timestamp(upstream: str | None, now: float) -> str:
    """Upstream's time where it is complete, else ``now``: the extension requires ISO 8601 in every answer."""
    try:
        if upstream and datetime.fromisoformat(upstream).tzinfo is not None:
            return upstream
    except ValueError:
        pass
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
