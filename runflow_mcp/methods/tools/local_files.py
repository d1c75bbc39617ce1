"""The answers to a call whose input names files of the caller's machine: how to add sizes, or an upload command each.

Nothing has been started in these cases. The files themselves never pass through this server.
"""

from collections.abc import Sequence
from itertools import accumulate

import orjson

from runflow_mcp.bounds import MAX_UPLOAD_TEXT, quote, quote_all
from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.json_types import JSON
from runflow_mcp.methods import run_errors
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.runflow.api.errors import UpstreamError
from runflow_mcp.runflow.assets.commands import size_command, upload_command
from runflow_mcp.runflow.assets.media_inputs import MediaInputs
from runflow_mcp.runflow.assets.named_files import UPLOAD_SCHEME
from runflow_mcp.runflow.assets.paths import MAX_FILE_BYTES, SIZE_MARK, LocalFile
from runflow_mcp.runflow.assets.uploads import Upload
from runflow_mcp.runflow.catalog.entries import Snapshot
from runflow_mcp.runflow.dispatch.dispatcher import BUDGET
from runflow_mcp.runflow.dispatch.errors import NotUploaded
from runflow_mcp.runflow.dispatch.order import RunRef
from runflow_mcp.runflow.dispatch.uploads import Uploads

#: Maximum bytes of the text of ``upload_needed`` without its commands.
MAX_FRAME = 4096
NO_UPLOAD = (
    "If you have its curl line, run it, then repeat this call unchanged. If the line is lost, or curl reported an "
    'error, call generate with "<path>#bytes=<size>" again for a new one.'
)
HOST_IT = "Without a shell, or for a larger file, host the file and pass its public https URL."


def media_inputs(catalog: Snapshot | None, model: str) -> MediaInputs:
    """What the catalog says about the inputs of a model."""
    return (catalog.cached(_media_inputs_by_name).get(model) if catalog else None) or MediaInputs()


def _media_inputs_by_name(catalog: Snapshot) -> dict[str, MediaInputs]:
    return {entry.name: entry.media_inputs for entry in catalog.models}


async def files_needed(ctx: RequestContext, files: Sequence[LocalFile], ref: RunRef) -> ToolError:
    """The tool error of a call that names these files: ``local_file``, ``upload_needed``, or Runflow's refusal."""
    if not all(file.name and file.size for file in files):
        return local_file(files, ref)
    services = ctx.services
    uploads = Uploads(services.client, services.clock, services.random, ctx.bearer, ctx.trace)
    try:
        prepared = await uploads.prepare(files, ctx.arrived + BUDGET)
    except UpstreamError as error:
        return run_errors.upload_refused(error, ref)
    return upload_needed(list(zip(files, prepared, strict=True)), ref)


def local_file(files: Sequence[LocalFile], ref: RunRef) -> ToolError:
    """The error when sizes of these files are missing, or some files cannot be uploaded."""
    count = "1 input is" if len(files) == 1 else f"{len(files)} inputs are"
    places = quote_all([_places(file) for file in files])
    message = (
        f"{count} a file on your machine, which Runflow cannot read there: {places}. "
        f"Nothing was started. A file of up to {MAX_FILE_BYTES:,} bytes can be uploaded."
    )
    base = run_errors.not_started(ToolErrorCode.LOCAL_FILE, message, ref)
    base.details["files"] = [_described(file) for file in files]
    base.hints = (*(f"- {_places(file)}: {_advice(file)}" for file in files), HOST_IT, *base.hints)
    return base


def upload_needed(pairs: Sequence[tuple[LocalFile, Upload]], ref: RunRef) -> ToolError:
    """A command for each file, as many as fit into an answer, and the next call."""
    lines = [upload_command(file.path, file.media_type, upload.url) for file, upload in pairs]
    references = [_reference(file, upload) for file, upload in pairs]
    sizes = accumulate(len(f"{line}{reference}".encode()) for line, reference in zip(lines, references, strict=True))
    fitting = sum(size <= MAX_UPLOAD_TEXT - MAX_FRAME for size in sizes)
    if not fitting:
        message = "Runflow sent an upload URL that is too long to show; nothing was started."
        return run_errors.not_started(ToolErrorCode.GENERATE_FAILED, message, ref)
    count = "1 file must be" if len(pairs) == 1 else f"{len(pairs)} files must be"
    left = len(pairs) - fitting
    more = (
        f" The lines of the other {left} did not fit: call again with these inputs set, and their paths."
        if left
        else ""
    )
    message = f"{count} uploaded to Runflow before the run can start. Nothing was started.{more}"
    error = run_errors.not_started(ToolErrorCode.UPLOAD_NEEDED, message, ref)
    error.details["uploads"] = [
        _described(file) | {"command": line, "asset_id": upload.asset_id, "value": upload.reference}
        for line, (file, upload) in zip(lines[:fitting], pairs, strict=False)
    ]
    error.hints = (
        "Run (within minutes; each line works once):",
        *lines[:fitting],
        "Then call generate again with the rest of the input unchanged, and:",
        *references[:fitting],
        *error.hints,
    )
    return error


def not_uploaded(missing: NotUploaded, ref: RunRef) -> ToolError:
    """The error when Runflow does not have an upload that the input refers to. No new one is prepared."""
    reference = UPLOAD_SCHEME + missing.asset_id
    message = (
        f"Runflow has no file for {reference} that this API key may use: it was not uploaded yet, or not with this "
        "key. Nothing was started."
    )
    error = run_errors.not_started(ToolErrorCode.UPLOAD_NEEDED, message, ref)
    error.upstream_status = missing.cause.status
    error.details = run_errors.upload_refused(missing.cause, ref).details | {"asset_id": missing.asset_id}
    reason = (f"Runflow's message: {missing.cause.message}",) if missing.cause.message else ()
    error.hints = (NO_UPLOAD, *reason, *error.hints)
    return error


def _reference(file: LocalFile, upload: Upload) -> str:
    return f'{_places(file)}: "{upload.reference}"'


def _places(file: LocalFile) -> str:
    return quote_all(file.inputs)


def _described(file: LocalFile) -> dict[str, JSON]:
    return {"path": file.path, "inputs": list(file.inputs), "size_bytes": file.size, "media_type": file.media_type}


def _advice(file: LocalFile) -> str:
    if not file.name:
        return "the path of a directory; name one file."
    advice = f"set it to {orjson.dumps(f'{file.path}{SIZE_MARK}<size>').decode()}; the size is what this prints: "
    advice += size_command(file.path)
    if file.size is not None:
        return f"{file.size:,} bytes, as it should be."
    if file.stated is None:
        return advice
    digits = file.stated.isascii() and file.stated.isdigit()
    if digits and int(file.stated[:20]) > MAX_FILE_BYTES:
        return f"{quote(file.stated)} bytes are more than can be uploaded; host the file and pass its public https URL."
    if digits:
        return "the file is empty, so there is nothing to upload; check its path."
    return f"its size {quote(file.stated)!r} is not a whole number of bytes; {advice}"
