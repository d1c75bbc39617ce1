"""A run at a point in time as the API's JSON run object.

Pure; the only module that knows the field names of the upstream's run.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from uuid import NAMESPACE_URL, UUID, uuid5

import attrs

from runflow_mcp.sandbox import outputs
from runflow_mcp.sandbox.assets import Asset
from runflow_mcp.sandbox.json_types import JSONObject, digest
from runflow_mcp.sandbox.requests import RunRequest
from runflow_mcp.sandbox.runs import Run
from runflow_mcp.sandbox.signing import sign
from runflow_mcp.sandbox.timeline import FinalStatus, RunState

FAILURE_CODE = "CONTENT_POLICY_VIOLATION"
FAILURE_MESSAGE = "The input was refused by the content policy"
#: Fields of a sparse run that are not null; without its client_ref a lost run could not be found.
SPARSE_FIELDS = frozenset({"id", "status_code", "client_ref", "output"})
#: US dollars, for models whose price is not public.
DEFAULT_PRICE = "$0.10/request"
COST_PRECISION = Decimal("0.0001")
DEFAULT_VIDEO_SECONDS = 5


@attrs.frozen
class View:
    """What rendering a run depends on. ``now``: monotonic time. ``wall``: Unix time, at which links are signed.

    ``origin``: the scheme and host by which the client reaches the sandbox. ``pictures``: those that were uploaded for
    the run.
    """

    now: float
    wall: float
    origin: str
    pictures: Sequence[bytes] = attrs.field(default=(), repr=False)


def render_run(run: Run, view: View) -> JSONObject:
    """The run object, with fresh links. Draws inline media."""
    state = run.state_at(view.now)
    request, timeline = run.request, run.scenario.timeline
    failed = state.status == FinalStatus.FAILED
    result: JSONObject = {
        "id": run.id,
        "flow_id": None,
        "model_id": str(uuid5(NAMESPACE_URL, request.model.name)),
        "target_type": "model",
        "org_id": str(UUID(bytes=sha256(run.owner.encode()).digest()[:16])),
        "status_code": state.status,
        "source_code": "api",
        "input": request.input,
        "output": _output(run, view) if state.succeeded else None,
        "context": None,
        "duration_ms": _duration_ms(state),
        "cost": _cost(request) if state.succeeded else None,
        "cost_breakdown": None,
        "nodes_total": None if state.started is None else timeline.nodes,
        "nodes_completed": state.nodes_completed,
        "batch_id": None,
        "client_ref": request.client_ref,
        "request_id": f"req_{sha256(run.id.encode()).hexdigest()[:24]}",
        "created_at": _timestamp(run, 0),
        "started_at": _timestamp(run, state.started),
        "completed_at": _timestamp(run, state.ended),
        "callback_url": request.callback_url,
        "metadata": request.metadata,
        "has_logs": state.started is not None,
        "has_node_runs": state.started is not None,
        "links": {"self": f"{view.origin}/v1/runs/{run.id}"},
        "failure_code": FAILURE_CODE if failed else None,
        "failure_message": FAILURE_MESSAGE if failed else None,
        "failure_stage_code": "running" if failed else None,
        "node_runs": _node_runs(run, state),
        "logs": _logs(run, state),
    }
    if run.scenario.sparse:
        return {name: value if name in SPARSE_FIELDS else None for name, value in result.items()}
    return result


def render_asset(asset: Asset, url: str) -> JSONObject:
    """The asset object. ``url``: a fresh link to its file."""
    created = datetime.fromtimestamp(asset.created_at, UTC)
    return {
        "id": asset.id,
        "filename": asset.filename,
        "mime_type": asset.mime_type,
        "size_bytes": asset.size_bytes,
        "url": url,
        "thumbnail_url": url if asset.mime_type.startswith("image/") else None,
        "created_at": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def _output(run: Run, view: View) -> JSONObject:
    """The ``output`` of a succeeded run, always in the same shape for one model."""
    request, model = run.request, run.request.model
    urls = [_url(run, number, view) for number in range(outputs.file_count(request))]
    if model.medium in {"video", "audio"}:
        return {model.medium: {"url": urls[0]}}
    if model.is_solution:
        return {"image_urls": urls} if digest(model.name)[0] % 2 else {"image": {"url": urls[0]}}
    return {
        "outputs": [{"url": url} for url in urls],
        "seed": request.input.get("seed", int.from_bytes(digest(request.input)[:4])),
        "timing": {"inference": round(run.scenario.timeline.running, 3)},
        "nsfw_detected": False,
    }


def _url(run: Run, number: int, view: View) -> str:
    if run.scenario.inline:
        content = b64encode(outputs.draw_file(run.request, number, inline=True, pictures=view.pictures)).decode()
        return f"data:{outputs.content_type(run.request)};base64,{content}"
    return view.origin + sign(f"/outputs/{run.id}/{outputs.file_name(run.request, number)}", view.wall)


def _cost(request: RunRequest) -> str:
    """The list price times the quantity in its unit: an estimate as a decimal string, in US dollars."""
    price, _, unit = (request.model.price or DEFAULT_PRICE).removeprefix("$").partition("/")
    return str((Decimal(price) * _quantity(unit, request)).quantize(COST_PRECISION))


def _quantity(unit: str, request: RunRequest) -> Decimal:
    if unit == "second":
        seconds = re.match(r"\d{1,2}", str(request.input.get("duration")))
        return Decimal(seconds[0] if seconds else DEFAULT_VIDEO_SECONDS)
    if unit == "1m-tokens":
        return Decimal(len(str(request.input.get("text", "")))) / 1_000_000
    # A request counts once however many files it returns; a picture counts as one megapixel.
    return Decimal(1 if unit == "request" else outputs.file_count(request))


def _duration_ms(state: RunState) -> int | None:
    if state.started is None or state.ended is None:
        return None
    return round((state.ended - state.started) * 1000)


def _timestamp(run: Run, offset: float | None) -> str | None:
    """ISO 8601 in UTC, ``offset`` seconds after the run's creation."""
    if offset is None:
        return None
    instant = datetime.fromtimestamp(run.created_at + offset, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _node_runs(run: Run, state: RunState) -> list[JSONObject]:
    timeline = run.scenario.timeline
    return [
        {
            "node_id": f"step-{node + 1}",
            "status_code": "succeeded",
            "started_at": _timestamp(run, timeline.node_started(node)),
            "completed_at": _timestamp(run, timeline.node_started(node + 1)),
        }
        for node in range(state.nodes_completed)
    ]


def _logs(run: Run, state: RunState) -> list[JSONObject]:
    lines = [(state.started, "run started"), (state.ended, f"run {state.status}")]
    return [
        {"timestamp": _timestamp(run, offset), "level": "info", "message": message}
        for offset, message in lines
        if offset is not None
    ]
