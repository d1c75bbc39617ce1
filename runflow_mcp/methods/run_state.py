"""What a waiting call keeps of its run between two polls, and the progress message made from it.

Pure. There may be thousands of waiting calls, and a run may repeat its whole input, so little is kept.
"""

import attrs
import orjson

from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.reading.trimming import MAX_NAME, trimmed
from runflow_mcp.runflow.runs.run import Run

#: Bytes of a run's JSON that a waiting call keeps, exceeded by one text at most: an ordinary run has 1 to 2 KB.
MAX_KEPT = 4096
#: Characters of a cost or a time.
MAX_FIGURE = 64


@attrs.frozen
class RunState:
    """A run as progress messages and errors need it. ``json``: the run itself, cut to a size, for ``details.run``."""

    id: str
    status: str
    nodes_completed: int | None
    nodes_total: int | None
    cost: str | None
    json: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, run: Run, size: int = MAX_KEPT) -> "RunState":
        """``size``: the most bytes of ``json``, exceeded by one text at most."""
        # Small members come first, so that none of them is cut because of a huge one.
        members = dict(sorted(run.raw.items(), key=lambda member: _bulk(member[1])))
        # A copy: the bytes that orjson returns keep its whole output buffer, up to 70 times their length.
        json = bytes(memoryview(orjson.dumps(trimmed(members, size))))
        return cls(run.id, run.status, run.nodes_completed, run.nodes_total, short_figure(run.cost), json)


def short_figure(text: str | None) -> str | None:
    """A cost or a time as upstream writes it; None for a text that is too long to be one."""
    return text if text is None or len(text) <= MAX_FIGURE else None


def _bulk(value: JSON) -> int:
    if isinstance(value, list | dict):
        return 2
    return int(isinstance(value, str) and len(value) > MAX_NAME)


def progress_message(run: Run | RunState, elapsed: float, *, done: bool = False) -> str:
    """``running, 3 of 7 steps, 42 s``; of a run that has ended also its cost. ``elapsed``: seconds."""
    parts = [run.status]
    if run.nodes_total:
        parts.append(f"{min(run.nodes_completed or 0, run.nodes_total)} of {run.nodes_total} steps")
    parts.append(f"{elapsed:.0f} s")
    if done and run.cost is not None:
        parts.append(f"cost {run.cost}")
    return ", ".join(parts)
