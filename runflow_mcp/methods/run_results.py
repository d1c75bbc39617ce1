"""Every way a ``generate`` can end, put into words and shapes: results, refusals, time-outs, progress lines.

Pure: runs and faults in, results and ``ToolError`` out. Each result is whole in its text and in its
structured part, since hosts show the model one of the two.
"""

import difflib

import attrs
import orjson

from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.protocol.revisions import FEATURES, Revision
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.api.paths import run_path
from runflow_mcp.runflow.catalog.entries import Snapshot
from runflow_mcp.runflow.dispatch.errors import DispatchFailed
from runflow_mcp.runflow.dispatch.not_found import names_another_thing
from runflow_mcp.runflow.dispatch.slots import MIB, NoPlace
from runflow_mcp.runflow.reading.trimming import MAX_NAME, MAX_SIZE, MAX_TEXT, trimmed
from runflow_mcp.runflow.runs.outputs import Output
from runflow_mcp.runflow.runs.run import CANCELLED, FAILED, Run

MAX_SUGGESTIONS = 5
#: Characters of a cost or a time.
MAX_FIGURE = 64
#: Characters of a link's name, which hosts show.
MAX_LINK_NAME = 128
#: Bytes of upstream's ``errors`` in an answer, and of the first ten in its text: both hold ordinary ones whole.
MAX_ERRORS, MAX_ERRORS_TEXT = 64 * 1024, 4096
#: Bytes of a run that a waiting call keeps, within one text: an ordinary one has 1 to 2 KB.
MAX_SEEN = 4096
PAYMENT_REQUIRED, UNAUTHORIZED, NOT_FOUND = 402, 401, 404
INPUT_IGNORED = (
    "This client_ref belongs to an existing run, which was made from another input; "
    "the new input was not used. Call with a new client_ref to run it."
)
_CREDIT_CODES = frozenset({"insufficient_credit", "insufficient_credits"})


@attrs.frozen
class Seen:
    """What a waiting call keeps of its run between two polls: what its errors and progress need.

    ``shown``: the run as an error shows it, as JSON. A run may repeat its input under any name, and parsed it would
    take many times its bytes.
    """

    id: str
    status: str
    nodes_completed: int | None
    nodes_total: int | None
    shown: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, run: Run, size: int = MAX_SEEN) -> "Seen":
        """``size``: bytes of JSON that are shown, to within one text."""
        # A copy, since the bytes that orjson returns keep the room that it wrote in: up to 70 times their length.
        shown = bytes(memoryview(orjson.dumps(_shown(run, size))))
        return cls(run.id, run.status, run.nodes_completed, run.nodes_total, shown)


@attrs.frozen
class Asked:
    """What a run was asked for, as far as the answer must say it.

    ``input_ignored``: the run was made from another input than the one that this call brought. ``input_urls``:
    addresses in the call's input, which are no outputs where the run repeats them.
    """

    model: str
    client_ref: str
    input_urls: tuple[str, ...] = ()
    input_ignored: bool = False

    @classmethod
    def remembered(cls, run: Run) -> "Asked":
        """As the run itself remembers it, for whoever only knows its id."""
        return cls((run.model or "")[:MAX_NAME], (run.client_ref or "")[:MAX_NAME])


# Successes


def started_result(run: Run, asked: Asked, api_url: str) -> Result:
    """The answer of ``wait=false``: the run's state as it is, and where to ask for it."""
    facts, _ = _facts(run, asked)
    return _result({**facts, "poll_url": f"{api_url}{run_path(run.id)}"}, [])


def final_result(run: Run, asked: Asked, revision: Revision) -> Result:
    """The answer of a run that has ended. Raises ``ToolError`` when it did not succeed."""
    if run.status == FAILED:
        raise _failed(run, asked)
    if run.status == CANCELLED:
        raise _cancelled(run, asked)
    facts, outputs = _facts(run, asked)
    links = outputs if FEATURES[revision].resource_links else []
    return _result(facts, [_link(position, output) for position, output in enumerate(links, 1)])


def _facts(run: Run, asked: Asked) -> tuple[dict[str, JSON], list[Output]]:
    """(the members of the answer, the outputs among them). All together stay within ``MAX_SIZE`` and a text."""
    outputs = [output for output in run.outputs if output.url not in asked.input_urls]
    left = MAX_SIZE - sum(len(output.url.encode()) for output in outputs)
    facts: dict[str, JSON] = {
        "run_id": run.id,
        "status": run.status,
        "model": asked.model,
        "client_ref": asked.client_ref,
        "outputs": [_shown_output(output) for output in outputs],
        "output": trimmed(run.output, max(left, MAX_TEXT)),
        "cost": _short(run.cost),
        "duration_ms": run.duration_ms,
        "created_at": _short(run.created_at),
        "completed_at": _short(run.completed_at),
    }
    if asked.input_ignored:
        facts["input_ignored"] = True
        facts["note"] = INPUT_IGNORED
    return facts, outputs


def _shown_output(output: Output) -> dict[str, str]:
    return {"url": output.url, "mime_type": output.mime_type} if output.mime_type else {"url": output.url}


def _short(text: str | None) -> str | None:
    """A figure or a time as upstream spells it; what is longer than any is not repeated."""
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


# Failures


def _shown(run: Run, size: int) -> JSON:
    """The run as an error shows it. Its small members come first, so that a huge one costs none of them."""
    return trimmed(dict(sorted(run.raw.items(), key=lambda member: _bulk(member[1]))), size)


def _bulk(value: JSON) -> int:
    if isinstance(value, list | dict):
        return 2
    return int(isinstance(value, str) and len(value) > MAX_NAME)


def _with_run(run: Seen | None, asked: Asked) -> tuple[dict[str, JSON], tuple[str, ...]]:
    """(details, hints) that name the run, if there is one, and its client_ref."""
    details: dict[str, JSON] = {"client_ref": asked.client_ref, "model": asked.model}
    hints = [f"client_ref: {asked.client_ref}"]
    if run is not None:
        details |= {"run_id": run.id, "run": orjson.Fragment(run.shown)}
        hints.insert(0, f"run_id: {run.id}")
        if asked.input_ignored:
            details["input_ignored"] = True
            hints.append(INPUT_IGNORED)
    return details, tuple(hints)


def name_run(refusal: ToolError, asked: Asked) -> None:
    """Add the client_ref, under which a run may be found, to an error that does not name it."""
    if "client_ref" not in refusal.details:
        refusal.details["client_ref"] = asked.client_ref
        refusal.hints += (f"client_ref: {asked.client_ref}",)


def _failed(run: Run, asked: Asked) -> ToolError:
    details, hints = _with_run(Seen.of(run, MAX_SIZE), asked)
    code = run.failure_code.lower() if run.failure_code else None
    reason = ": ".join(filter(None, (code, run.failure_message))) or "Runflow gave no reason"
    details["failure_code"] = code
    return ToolError(ToolErrorCode.RUN_FAILED, f"The run failed: {reason}", details=details, hints=hints)


def _cancelled(run: Run, asked: Asked) -> ToolError:
    details, hints = _with_run(Seen.of(run, MAX_SIZE), asked)
    return ToolError(ToolErrorCode.RUN_CANCELLED, "The run was cancelled.", details=details, hints=hints)


def wait_interrupted(code: ToolErrorCode, run: Seen | None, asked: Asked) -> ToolError:
    """The wait ended before the run did: the ceiling passed, or the process stops."""
    details, hints = _with_run(run, asked)
    why = "The wait's ceiling passed" if code is ToolErrorCode.POLLING_TIMEOUT else "This server is stopping"
    state = (
        f"the run goes on at Runflow (last seen: {run.status})"
        if run is not None
        else "Runflow had not yet confirmed the run, which may exist under this client_ref"
    )
    return ToolError(code, f"{why}; {state}.", details=details, hints=hints)


def busy(full: NoPlace, asked: Asked) -> ToolError:
    """Too many dispatches are under way."""
    share = full.share
    message = (
        f"Too many runs are being started {share.whose} at this moment (at most {share.dispatches:,}, with "
        f"{share.size // MIB} MiB of inputs), so nothing was started."
    )
    details, hints = _with_run(None, asked)
    return ToolError(ToolErrorCode.SERVER_BUSY, message, details=details, hints=hints)


def internal_error(run: Seen | None, asked: Asked) -> ToolError:
    """A fault of our own; its text stays in the log."""
    details, hints = _with_run(run, asked)
    message = "An internal error happened here; the operator's log has it under this request id."
    return ToolError(ToolErrorCode.GENERATE_FAILED, message, details=details, hints=hints)


def dispatch_error(failed: DispatchFailed, asked: Asked, catalog: Snapshot | None) -> ToolError:
    """No run could be had from Runflow."""
    cause = failed.cause
    details, hints = _refusal_details(cause, None if failed.named is None else Seen.of(failed.named), asked)
    if failed.uncertain:
        if not failed.sent:
            message = f"{_reason(cause)}. This call started no run, since one may exist under this client_ref."
        else:
            said = f" ({cause.message})" if cause.message else ""
            doubt = "and Runflow did not show whether the run exists: it may, under this client_ref"
            message = f"{_reason(cause)}{said}, {doubt}."
        # What Runflow itself said keeps its name; a fault on the way must not read as its word.
        code = ToolErrorCode.GENERATE_FAILED if cause.outcome is Outcome.UNKNOWN else _code(cause)
        return ToolError(code, message, cause.status, details, hints)
    if cause.status == NOT_FOUND and not names_another_thing(asked.model, cause.code, cause.message):
        near = _suggestions(asked.model, catalog)
        details["suggestions"] = near
        if near:
            hints += ("Did you mean: " + ", ".join(near),)
        if cause.message:
            hints += (f"Runflow said: {cause.message}",)
        message = f"Runflow has no model {asked.model}."
        return ToolError(ToolErrorCode.MODEL_NOT_FOUND, message, cause.status, details, hints)
    return _refused(cause, details, hints)


def poll_error(cause: UpstreamError, run: Seen | None, asked: Asked) -> ToolError:
    """Runflow refuses to show any more of a run that exists."""
    details, hints = _refusal_details(cause, run, asked)
    return _refused(cause, details, hints)


def _refused(cause: UpstreamError, details: dict[str, JSON], hints: tuple[str, ...]) -> ToolError:
    return ToolError(
        _code(cause), _sentence(cause), cause.status, details, hints, refused=cause.outcome is Outcome.REFUSED
    )


def _refusal_details(cause: UpstreamError, run: Seen | None, asked: Asked) -> tuple[dict[str, JSON], tuple[str, ...]]:
    details, hints = _with_run(run, asked)
    errors = trimmed(cause.errors, MAX_ERRORS)
    details |= {"errors": errors, "path": cause.path}
    if errors:
        listed = orjson.dumps(errors[:10])
        more = "…" if len(listed) > MAX_ERRORS_TEXT else ""
        hints = (f"errors: {listed[:MAX_ERRORS_TEXT].decode(errors='ignore')}{more}", *hints)
    return details, hints


def _code(cause: UpstreamError) -> str:
    if cause.status == UNAUTHORIZED:
        return ToolErrorCode.UNAUTHORIZED
    types = {str(one.get("type")).lower() for one in cause.errors if isinstance(one, dict)}
    if cause.status == PAYMENT_REQUIRED or _CREDIT_CODES & {cause.code, *types}:
        return ToolErrorCode.INSUFFICIENT_CREDITS
    return cause.code or ToolErrorCode.GENERATE_FAILED


def _sentence(cause: UpstreamError) -> str:
    return cause.message or f"{_reason(cause)}."


def _reason(cause: UpstreamError) -> str:
    """As the beginning of a sentence."""
    return cause.reason[:1].upper() + cause.reason[1:]


def _suggestions(model: str, catalog: Snapshot | None) -> list[str]:
    if catalog is None:
        return []
    names = [entry.name for entry in catalog.models]
    near = difflib.get_close_matches(model, names, n=MAX_SUGGESTIONS, cutoff=0.5)
    slug = model.rpartition("/")[2].lower()
    near += [name for name in names if slug and slug in name.lower() and name not in near]
    return near[:MAX_SUGGESTIONS]


# Progress


def progress_message(run: Run | Seen, elapsed: float, client_ref: str | None) -> str:
    """``running, 3 of 7 steps, 42 s``; the first one also names the run and its client_ref."""
    parts = [run.status]
    if run.nodes_total:
        parts.append(f"{min(run.nodes_completed or 0, run.nodes_total)} of {run.nodes_total} steps")
    parts.append(f"{elapsed:.0f} s")
    line = ", ".join(parts)
    return line if client_ref is None else f"{line} (run {run.id}, client_ref {client_ref})"
