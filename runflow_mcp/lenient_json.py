"""JSON as other programs write it: parsed by orjson and, if that fails, once more leniently.

Pure. ``loads`` is for upstream responses; it accepts a byte order mark, invalid UTF-8, lone surrogates (JavaScript
writes them when it cuts a string), NaN and infinities. ``loads_message`` is for what clients send; it accepts only the
byte order mark and lone surrogates, since a client should learn of other errors. Both also parse JSON for which orjson
(3.13.0) raises "failed to allocate memory": texts of some KB that are indented at the beginning only, from which it
estimates the memory.
"""

import json
import math

import orjson

from runflow_mcp.json_types import JSON


def loads(text: bytes) -> JSON:
    """The value of an upstream response. Raises ``ValueError`` for what is not JSON at all.

    orjson can write its strings and numbers, but it may be nested deeper than orjson can write.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            value = json.loads(text.decode("utf-8-sig", "replace"), parse_constant=_null, parse_float=_finite_or_null)
            return _rewritten(value)
        except (ValueError, RecursionError):
            raise error from None


def loads_message(text: bytes) -> JSON:
    """The value of a client's message. Raises ``ValueError``; its subclass ``UnicodeDecodeError`` for invalid UTF-8."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # Lone surrogates may also be encoded as bytes, as Python's ``surrogatepass`` does.
        decoded = text.decode("utf-8-sig", "surrogatepass")
        try:
            value = json.loads(decoded, parse_constant=_reject, parse_float=_finite)
            return _rewritten(value)
        except (ValueError, RecursionError):
            raise error from None


def _rewritten(value: JSON) -> JSON:
    """The value as orjson parses it; a lone surrogate becomes a question mark."""
    return orjson.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _null(_name: str) -> None:
    """NaN and the infinities as null."""


def _finite_or_null(literal: str) -> float | None:
    number = float(literal)
    return number if math.isfinite(number) else None


def _reject(literal: str) -> float:
    raise ValueError(f"{literal} is not JSON")


def _finite(literal: str) -> float:
    number = _finite_or_null(literal)
    return _reject(literal) if number is None else number
