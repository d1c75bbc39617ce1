"""``generate``: start a run, wait for it, and return its outputs.

Owns the tool's definition, its arguments and the three ways to answer; the wait itself is in ``methods.waiting``.
"""

from collections.abc import Awaitable
from enum import Enum, auto
from functools import partial
from typing import NoReturn, assert_never

import attrs
import structlog

from runflow_mcp.bounds import quote
from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods import run_errors, run_results, tasks
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.inflight import WaitRefused
from runflow_mcp.methods.tools import balance, local_files
from runflow_mcp.methods.tools.arguments import ClientRef, ModelName, input_schema, invalid_arguments, read_arguments
from runflow_mcp.methods.tools.registry import Tool, output_schema
from runflow_mcp.methods.waiting import RunWait
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.runflow.assets.named_files import NamedFiles, NamedFilesError, find_files
from runflow_mcp.runflow.dispatch.errors import FilesNeeded, NotUploaded
from runflow_mcp.runflow.dispatch.inputs import RunInput
from runflow_mcp.runflow.dispatch.order import Order
from runflow_mcp.runflow.dispatch.slots import NoSlot
from runflow_mcp.view import result_view

log = structlog.get_logger(__name__)


@attrs.frozen
class GenerateArguments:
    model: ModelName = attrs.field(
        metadata={
            "description": "provider/slug as in list_models, such as runflow/object-removal/prompt. "
            "A runs_endpoint is accepted too."
        }
    )
    input: RunInput = attrs.field(
        metadata={
            "description": "The model's own inputs, as its list_models entry names them. Media as a public URL, or "
            'as the path of a local file with its size: "./shoe.png#bytes=48213".'
        }
    )
    wait: bool = attrs.field(
        default=True,
        metadata={"description": "false: return the run_id at once instead of waiting for the result."},
    )
    client_ref: ClientRef | None = attrs.field(
        default=None,
        metadata={
            "description": "Your own name for this run. Reuse the same value when you retry or go on waiting: it "
            "returns to the same run. A new value starts and bills a new run."
        },
    )


class _Mode(Enum):
    """The kind of answer to a call."""

    #: The run as it is once it exists.
    STARTED = auto()
    #: A task, which the client polls.
    TASK = auto()
    #: The run once it has ended.
    ENDED = auto()


def generate(arguments: JSONObject, ctx: RequestContext) -> Awaitable[Result]:
    """Run a model. Raises ``ToolError``, also for unexpected exceptions.

    Not a coroutine: its frame would keep the arguments and the order in memory while the call waits.
    """
    args = read_arguments(GenerateArguments, arguments)
    run_input, files = _named_files(args, ctx)
    order = Order.make(ctx.bearer, args.model, run_input, args.client_ref, ctx.trace, files=files)
    ctx.record.model, ctx.record.client_ref = order.model, order.client_ref
    mode = _mode(ctx, wait=args.wait)
    try:
        if mode is _Mode.ENDED:
            ctx.pending_answer.acquire_slot(ctx.bearer.digest)
        joined = ctx.services.dispatcher.start(order)
    except WaitRefused as error:
        raise run_errors.not_started(error.code, error.message, order.run_ref) from None
    except NoSlot as error:
        raise run_errors.too_many_dispatches(error, order.run_ref) from None
    wait = RunWait(ctx, order.run_ref, joined)
    ctx.answer_when_drained = partial(_raise_draining, wait)
    return _answer(wait, mode)


def _named_files(args: GenerateArguments, ctx: RequestContext) -> tuple[RunInput, NamedFiles]:
    """(the input to send, the files that it names). Raises ``ToolError`` ``invalid_arguments``."""
    try:
        files, replaced = find_files(
            args.input.json, lambda: local_files.media_inputs(ctx.services.catalog.current, args.model)
        )
    except NamedFilesError as error:
        place = "input" if error.place is None else f"input.{quote(error.place)}"
        raise invalid_arguments({place: error.problem}) from None
    return args.input if replaced is None else RunInput.of(replaced), files


def _mode(ctx: RequestContext, *, wait: bool) -> _Mode:
    if not wait:
        return _Mode.STARTED
    return _Mode.TASK if tasks.client_supports_tasks(ctx.protocol) else _Mode.ENDED


def _raise_draining(wait: RunWait) -> NoReturn:
    raise wait.interrupted_error(ToolErrorCode.SERVER_DRAINING)


async def _answer(wait: RunWait, mode: _Mode) -> Result:
    ctx = wait.ctx
    try:
        return await _with_explained_errors(wait, mode)
    except ToolError:
        raise
    except Exception as error:
        log.exception("generate_failed", request_id=ctx.request_id, key=ctx.bearer.fingerprint)
        raise run_errors.internal_error(wait.latest, wait.ref) from error
    finally:
        wait.leave()


async def _with_explained_errors(wait: RunWait, mode: _Mode) -> Result:
    """The result. Raises ``ToolError``; some of these need further requests to Runflow: an upload, the balance."""
    try:
        return await _result(wait, mode)
    except FilesNeeded as needed:
        error = await local_files.files_needed(wait.ctx, needed.files, wait.ref)
    except NotUploaded as missing:
        error = local_files.not_uploaded(missing, wait.ref)
    except ToolError as refused:
        error = await balance.with_balance(wait.ctx, refused)
    raise error


async def _result(wait: RunWait, mode: _Mode) -> Result:
    ctx = wait.ctx
    run = await (wait.until_ended() if mode is _Mode.ENDED else wait.until_started())
    match mode:
        case _Mode.STARTED:
            return run_results.started_result(run, wait.ref, ctx.services.config.api_url)
        case _Mode.TASK if not run.terminal:
            return tasks.task_result(run, wait.ref, ctx.services.clock.wall())
        case _Mode.TASK | _Mode.ENDED:
            return run_results.final_result(run, wait.ref, ctx.protocol.revision)
        case _:
            assert_never(mode)


TOOL = Tool(
    {
        "name": "generate",
        "title": "Run a Runflow model or Solution",
        "description": (
            "Run a Runflow model or Solution and, by default, wait for the result, with progress. Costs money per "
            "run. Safe to repeat with the same model and client_ref: the existing run is found and waited for, not "
            "billed again. Do so after a time-out or a lost connection, and for fresh links: output URLs expire. "
            "For runs of many minutes (video) use wait=false. "
            'A file on your machine: give "<path>#bytes=<size>" as the input, and the answer is a curl line that '
            "uploads it. Run that line in a shell, then call again with the runflow-upload:// value that came with it."
        ),
        "inputSchema": input_schema(GenerateArguments),
        "outputSchema": output_schema(run_results.SCHEMA),
        "annotations": {
            "title": "Run a Runflow model or Solution",
            "readOnlyHint": False,
            "destructiveHint": False,
            "idempotentHint": False,
            "openWorldHint": True,
        },
        "_meta": result_view.TOOL_META,
    },
    generate,
)
