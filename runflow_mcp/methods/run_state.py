"""What a waiting call keeps of its run between two polls, and the progress message made from it.

Pure. There may be thousands of waiting calls, and a run may repeat its whole input, so little of it is kept.
"""

import attrs
import orjson

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.runflow.reading.trimming import MAX_DEPTH, MAX_INLINE_MEDIA, MAX_NAME, trimmed
from runflow_mcp.runflow.runs.run import Run

#: Bytes of a run's JSON that a waiting call keeps, exceeded by one text at most: an ordinary run has 1 to 2 KB.
MAX_KEPT = 4096
#: Characters of a cost or a time.
MAX_FIGURE = 64


@attrs.frozen
class RunState:
    """A run as progress messages and errors need it.

    ``json``: the run itself, cut to a size, for ``details.run``. ``digest``: of the poll's answer, None if the run
    was not polled yet.
    """

    id: str
    status: str
    nodes_completed: int | None
    nodes_total: int | None
    cost: str | None
    json: bytes = attrs.field(repr=False)
    digest: int | None = None

    @classmethod
    def of(cls, run: Run, size: int = MAX_KEPT, digest: int | None = None) -> "RunState":
        """``size``: the most bytes of ``json``, exceeded by one text at most."""
        # A copy: the bytes that orjson returns keep its whole output buffer, up to 70 times their length.
        json = bytes(memoryview(_small_json(run.raw) or _trimmed_json(run.raw, size)))
        cost = short_figure(run.cost)
        return cls(run.id, run.status, run.nodes_completed, run.nodes_total, cost, json, digest)


def _small_json(run: JSONObject) -> bytes | None:
    """The JSON of an ordinary run, in which nothing is long enough to be cut; None for any other run.

    It takes 3 µs, trimming 45 µs; this happens for each poll that shows a change.
    """
    try:
        json = orjson.dumps(run)
    except orjson.JSONEncodeError:  # nested too deeply
        return None
    if len(json) > MAX_INLINE_MEDIA or json.count(b"[") + json.count(b"{") > MAX_DEPTH:
        return None
    return json


def _trimmed_json(run: JSONObject, size: int) -> bytes:
    # Small members first, so that a huge one does not use up their space.
    members = dict(sorted(run.items(), key=lambda member: _bulk(member[1])))
    return orjson.dumps(trimmed(members, size))


def short_figure(text: str | None) -> str | None:
    """A cost or a time as upstream writes it; None for a text that is too long to be one."""
    return text if text is None or len(text) <= MAX_FIGURE else None


def _bulk(value: JSON) -> int:
    if isinstance(value, list | dict):
        return 2
    return int(isinstance(value, str) and len(value) > MAX_NAME)


def progress_message(run: Run | RunState, elapsed: float, *, done: bool = False) -> str:
    """``running, 3 of 7 steps, 42 s``; once it has ended also its cost. ``elapsed``: seconds."""
    parts = [run.status]
    if run.nodes_total:
        parts.append(f"{min(run.nodes_completed or 0, run.nodes_total)} of {run.nodes_total} steps")
    parts.append(f"{elapsed:.0f} s")
    if done and run.cost is not None:
        parts.append(f"cost {run.cost}")
    return ", ".join(parts)
