"""Log lines as JSON objects, rendered in one step: for structlog's chain of processors and for the access line."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import orjson

from runflow_mcp.clock import Clock


@attrs.define
class JSONLines:
    """Renders lines. ``min_level``: the level of ``logging`` below which nothing is logged. ``common``: in every line.

    The access line is rendered here directly: through structlog it takes 10 µs, this way 1 to 3 µs.
    """

    min_level: int
    _clock: Clock
    common: Mapping[str, Any] = attrs.field(factory=dict)
    #: The last second, and the timestamp up to it.
    _second: tuple[int, str] = (0, "")

    def render(self, event: str, level: str, members: Mapping[str, Any]) -> bytes:
        """One line with its line feed."""
        return _serialize({**self._first_members(event, level), **members})

    def render_many(self, event: str, level: str, lines: Iterable[Mapping[str, Any]]) -> bytes:
        """Lines of one moment, each with at least one member. What they have in common is rendered once."""
        head = _serialize(self._first_members(event, level)).removesuffix(b"}\n") + b","
        return b"".join([head + _serialize(members)[len(b"{") :] for members in lines])

    def _first_members(self, event: str, level: str) -> dict[str, Any]:
        now = self._clock.wall()
        second = int(now)
        known, prefix = self._second
        if second != known:
            prefix = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
            self._second = second, prefix
        timestamp = f"{prefix}.{int((now - second) * 1_000_000):06d}Z"
        return {"timestamp": timestamp, "level": level, "event": event, **self.common}


def _serialize(line: Mapping[str, Any]) -> bytes:
    """A line as JSON; a value that orjson refuses must not fail the request that logs it."""
    try:
        return orjson.dumps(line, default=repr, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # lone surrogates, integers over 64 bits, names that are not strings
        pass
    try:
        return json.dumps(line, default=repr, skipkeys=True).encode() + b"\n"
    except (TypeError, ValueError, RecursionError):  # a value that contains itself
        return orjson.dumps({"event": "log_line_not_serializable", "line": ascii(line.get("event"))}) + b"\n"
