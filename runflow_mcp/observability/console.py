"""Log lines for people: the figures of an access line in columns, the time of day, without empty members. Pure."""

from collections.abc import MutableMapping
from typing import Any

#: Widths of the columns of an access line.
_OUTCOME, _WHAT = 22, 28
_MS_PER_SECOND = 1000
#: Members that the columns show.
_IN_COLUMNS = frozenset({"status", "outcome", "ms", "rpc", "tool", "prompt", "http_method", "route", "event"})


def for_people(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog's, before the console's renderer."""
    if line.get("event") == "request":
        columns = _columns(line)
        line = {name: value for name, value in line.items() if name not in _IN_COLUMNS}
        line["event"] = columns
    return {name: value for name, value in line.items() if value is not None and value != ""}


def _columns(line: MutableMapping[str, Any]) -> str:
    name = line.get("tool") or line.get("prompt")
    if "http_method" not in line:
        what = "(no HTTP request)"
    else:
        what = line.get("rpc") or f"{line['http_method']} {line.get('route') or '(unknown path)'}"
    if name:
        what = f"{what} {name}"
    duration = _duration(line["ms"]) if "ms" in line else ""
    outcome = line.get("outcome", "")
    return f"request {line.get('status', '')} {outcome:<{_OUTCOME}} {what:<{_WHAT}} {duration:>9}"


def _duration(ms: float) -> str:
    return f"{ms:.1f} ms" if ms < _MS_PER_SECOND else f"{ms / _MS_PER_SECOND:.1f} s"
