"""JSON as other programs write it: read strictly and fast where it is JSON, and once more leniently where it is not.

Pure. ``loads`` is for what upstreams answer; it accepts a byte order mark, bytes that are not UTF-8, halves of
characters cut in two (as JavaScript writes them), NaN and infinities. ``loads_message`` is for what clients send;
it accepts the byte order mark and the halves alone, since a client must learn of the rest. Both also read the JSON
that orjson (3.13.0) refuses with "failed to allocate memory": a text of some KB that begins indented and
goes on without white space. It estimates the memory from the beginning.
"""

import json
import math

import orjson

from runflow_mcp.json_types import JSON


def loads(text: bytes) -> JSON:
    """The value, in texts and numbers that can be written again. Raises ``ValueError`` for what is not JSON at all.

    It may be nested more deeply than orjson writes.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            value = json.loads(text.decode("utf-8-sig", "replace"), parse_constant=_nothing, parse_float=_finite)
            return _rewritten(value)
        except (ValueError, RecursionError):
            raise error from None


def loads_message(text: bytes) -> JSON:
    """As ``loads``, of one message of a client. Raises ``UnicodeDecodeError`` for bytes that are not UTF-8."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # Halves of characters may also come as bytes of their own (Python's ``surrogatepass`` writes those).
        decoded = text.decode("utf-8-sig", "surrogatepass")
        try:
            value = json.loads(decoded, parse_constant=_refused, parse_float=_refused_unless_finite)
            return _rewritten(value)
        except (ValueError, RecursionError):
            raise error from None


def _rewritten(value: JSON) -> JSON:
    """The value as orjson reads it; half a character becomes a question mark."""
    return orjson.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _nothing(_name: str) -> None:
    """What NaN and the infinities are in JSON."""


def _finite(figure: str) -> float | None:
    number = float(figure)
    return number if math.isfinite(number) else None


def _refused(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _refused_unless_finite(figure: str) -> float:
    number = _finite(figure)
    return _refused(figure) if number is None else number
