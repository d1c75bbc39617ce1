"""The tool errors of ``generate``: runs that failed, dispatches without a run, and waits that were interrupted.

Pure: takes runs and upstream errors, returns ``ToolError``.
"""

import difflib

import orjson

from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.json_types import JSON
from runflow_mcp.methods.run_state import RunState
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError, meaning_of
from runflow_mcp.runflow.catalog.entries import Snapshot
from runflow_mcp.runflow.dispatch.errors import DispatchFailed
from runflow_mcp.runflow.dispatch.not_found import names_another_thing
from runflow_mcp.runflow.dispatch.order import RunRef
from runflow_mcp.runflow.dispatch.slots import NoSlot
from runflow_mcp.runflow.reading.trimming import MAX_SIZE, trimmed
from runflow_mcp.runflow.runs.run import Run

MAX_SUGGESTIONS = 5
#: Bytes of upstream's ``errors`` in an answer, and of the first ten in its text: ordinary errors fit.
MAX_ERRORS, MAX_ERRORS_TEXT = 64 * 1024, 4096
INPUT_IGNORED = (
    "This client_ref belongs to an existing run, which was made from another input; "
    "the new input was not used. Call with a new client_ref to run it."
)

Details = dict[str, JSON]
Hints = tuple[str, ...]


def run_failed(run: Run, ref: RunRef) -> ToolError:
    details, hints = _identify(RunState.of(run, MAX_SIZE), ref)
    code = run.failure_code.lower() if run.failure_code else None
    reason = ": ".join(filter(None, (code, run.failure_message))) or "Runflow gave no reason"
    details["failure_code"] = code
    return ToolError(ToolErrorCode.RUN_FAILED, f"The run failed: {reason}", details=details, hints=hints)


def run_cancelled(run: Run, ref: RunRef) -> ToolError:
    details, hints = _identify(RunState.of(run, MAX_SIZE), ref)
    return ToolError(ToolErrorCode.RUN_CANCELLED, "The run was cancelled.", details=details, hints=hints)


def wait_interrupted(code: ToolErrorCode, run: RunState | None, ref: RunRef) -> ToolError:
    """The wait ended before the run: ``polling_timeout`` at the call's time limit, ``server_draining`` in a drain."""
    details, hints = _identify(run, ref)
    timed_out = code is ToolErrorCode.POLLING_TIMEOUT
    cause = "The time limit of this call has passed" if timed_out else "This server is stopping"
    state = (
        f"the run continues at Runflow (last status: {run.status})"
        if run is not None
        else "Runflow has not confirmed the run yet, but it may exist under this client_ref"
    )
    return ToolError(code, f"{cause}; {state}.", details=details, hints=hints)


def not_started(code: ToolErrorCode, message: str, ref: RunRef) -> ToolError:
    """The call was refused before anything was started."""
    details, hints = _identify(None, ref)
    return ToolError(code, message, details=details, hints=hints)


def too_many_dispatches(error: NoSlot, ref: RunRef) -> ToolError:
    share = error.share
    message = (
        f"Too many runs are being started {share.whose} at this moment (at most {share.dispatches:,}, with "
        f"{share.size_mib} MiB of inputs), so nothing was started."
    )
    return not_started(ToolErrorCode.SERVER_BUSY, message, ref)


def internal_error(run: RunState | None, ref: RunRef) -> ToolError:
    """An unexpected exception; its text is in the log only."""
    details, hints = _identify(run, ref)
    message = "An internal error occurred; the server's log has it under this request id."
    return ToolError(ToolErrorCode.GENERATE_FAILED, message, details=details, hints=hints)


def dispatch_error(error: DispatchFailed, ref: RunRef, catalog: Snapshot | None) -> ToolError:
    """The dispatch brought no run. ``catalog``: for suggestions when there is no such model."""
    cause = error.cause
    details, hints = _identify_refusal(cause, None if error.other_run is None else RunState.of(error.other_run), ref)
    if error.uncertain:
        return _uncertain(error, details, hints)
    if meaning_of(cause.status).missing and not names_another_thing(ref.model or "", cause.code, cause.message):
        return _model_not_found(cause, ref.model or "", catalog, details, hints)
    return _upstream_error(cause, details, hints)


def poll_error(cause: UpstreamError, run: RunState | None, ref: RunRef) -> ToolError:
    """Runflow refused to show a run that exists."""
    details, hints = _identify_refusal(cause, run, ref)
    return _upstream_error(cause, details, hints)


def upload_refused(cause: UpstreamError, ref: RunRef) -> ToolError:
    """Runflow did not prepare an upload; nothing was started."""
    details, hints = _identify_refusal(cause, None, ref)
    error = _upstream_error(cause, details, ("Nothing was started. You can host the file and pass its URL.", *hints))
    if cause.message is None:
        error.message = f"The file cannot be uploaded to Runflow: {cause.reason}."
    return error


def _uncertain(error: DispatchFailed, details: Details, hints: Hints) -> ToolError:
    cause = error.cause
    if not error.sent:
        message = f"{_reason(cause)}. This call started no run, since one may exist under this client_ref."
    else:
        quoted = f" ({cause.message})" if cause.message else ""
        doubt = "Runflow did not show whether the run exists; it may exist under this client_ref."
        message = f"{_reason(cause)}{quoted}. {doubt}"
    # Keep a code of Runflow's; an error between here and Runflow must not look like one.
    code = ToolErrorCode.GENERATE_FAILED if cause.outcome is Outcome.UNKNOWN else _code(cause)
    return ToolError(code, message, cause.status, details, hints)


def _model_not_found(
    cause: UpstreamError, model: str, catalog: Snapshot | None, details: Details, hints: Hints
) -> ToolError:
    suggestions = _suggestions(model, catalog)
    details["suggestions"] = suggestions
    if suggestions:
        hints += ("Did you mean: " + ", ".join(suggestions),)
    if cause.message:
        hints += (f"Runflow's message: {cause.message}",)
    message = f"Runflow has no model {model}."
    return ToolError(ToolErrorCode.MODEL_NOT_FOUND, message, cause.status, details, hints)


def _upstream_error(cause: UpstreamError, details: Details, hints: Hints) -> ToolError:
    message = cause.message or f"{_reason(cause)}."
    refused = cause.outcome is Outcome.REFUSED
    return ToolError(_code(cause), message, cause.status, details, hints, refused=refused)


def _identify(run: RunState | None, ref: RunRef) -> tuple[Details, Hints]:
    """(details, hints) that identify the run, as far as it is known."""
    details: Details = {}
    hints: list[str] = []
    if ref.client_ref is not None:
        details["client_ref"] = ref.client_ref
        hints.append(f"client_ref: {ref.client_ref}")
    if ref.model is not None:
        details["model"] = ref.model
    if run is not None:
        details |= {"run_id": run.id, "run": orjson.Fragment(run.json)}
        hints.insert(0, f"run_id: {run.id}")
        if ref.input_ignored:
            details["input_ignored"] = True
            hints.append(INPUT_IGNORED)
    return details, tuple(hints)


def _identify_refusal(cause: UpstreamError, run: RunState | None, ref: RunRef) -> tuple[Details, Hints]:
    """``_identify``, with the errors that upstream listed."""
    details, hints = _identify(run, ref)
    errors = trimmed(cause.errors, MAX_ERRORS)
    details |= {"errors": errors, "path": cause.path}
    if errors:
        listed = orjson.dumps(errors[:10])
        more = "…" if len(listed) > MAX_ERRORS_TEXT else ""
        hints = (f"errors: {listed[:MAX_ERRORS_TEXT].decode(errors='ignore')}{more}", *hints)
    return details, hints


def _code(cause: UpstreamError) -> str:
    return meaning_of(cause.status).code or cause.code or ToolErrorCode.GENERATE_FAILED


def _reason(cause: UpstreamError) -> str:
    """The reason as the beginning of a sentence."""
    return cause.reason[:1].upper() + cause.reason[1:]


def _suggestions(model: str, catalog: Snapshot | None) -> list[str]:
    if catalog is None:
        return []
    names = [entry.name for entry in catalog.models]
    suggestions = difflib.get_close_matches(model, names, n=MAX_SUGGESTIONS, cutoff=0.5)
    slug = model.rpartition("/")[2].lower()
    suggestions += [name for name in names if slug and slug in name.lower() and name not in suggestions]
    return suggestions[:MAX_SUGGESTIONS]
