"""JSON as other programs write it: read strictly and fast where it is JSON, and once more leniently where it is not.

Pure. What is let through: a byte order mark, bytes that are no UTF-8, halves of characters cut in two (as
JavaScript writes them), NaN and infinities.
"""

import json
import math

import orjson

from runflow_mcp.jsontypes import JSON


def loads(text: bytes) -> JSON:
    """The value, in texts and numbers that can be written again. Raises ``ValueError`` for what is no JSON at all.

    It may be nested more deeply than orjson writes.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as fault:
        try:
            value = json.loads(text.decode("utf-8-sig", "replace"), parse_constant=_nothing, parse_float=_finite)
            return orjson.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise fault from None


def _nothing(_name: str) -> None:
    """What NaN and the infinities are in JSON."""


def _finite(figure: str) -> float | None:
    number = float(figure)
    return number if math.isfinite(number) else None
