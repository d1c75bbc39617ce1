"""Log lines as JSON objects, rendered in one step: for structlog's chain of processors and for the access line."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import orjson

from runflow_mcp.clock import Clock


@attrs.define
class JSONLines:
    """Renders lines. ``min_level``: the level of ``logging`` below which nothing is logged. ``common``: in every line.

    The access line is rendered here directly: through structlog it takes 10 µs, this way 3 µs.
    """

    min_level: int
    _clock: Clock
    common: Mapping[str, Any] = attrs.field(factory=dict)
    _second: int = 0
    _prefix: str = ""

    def render(self, event: str, level: str, members: Mapping[str, Any], at: float | None = None) -> bytes:
        """One line with its line feed. ``at``: its Unix time, if not the present."""
        now = self._clock.wall() if at is None else at
        second = int(now)
        if second != self._second:
            self._second, self._prefix = second, f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        timestamp = f"{self._prefix}.{int((now - second) * 1_000_000):06d}Z"
        return _serialize({"timestamp": timestamp, "level": level, "event": event, **self.common, **members})


def _serialize(line: dict[str, Any]) -> bytes:
    """A line as JSON; a value that orjson refuses must not fail the request that logs it."""
    try:
        return orjson.dumps(line, default=repr, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # lone surrogates, integers over 64 bits, names that are not strings
        pass
    try:
        return json.dumps(line, default=repr, skipkeys=True).encode() + b"\n"
    except (TypeError, ValueError, RecursionError):  # a value that contains itself
        return orjson.dumps({"event": "log_line_not_serializable", "line": ascii(line.get("event"))}) + b"\n"
