"""JSON values that pass through unread: their names, and the one question asked of them."""

from collections.abc import Mapping
from typing import Any

#: Any JSON value whose shape is not ours to know (a model's input, an upstream output).
JSON = Any
#: A JSON object whose members are not ours to know.
JSONObject = Mapping[str, JSON]


def deeper_than(value: JSON, levels: int) -> bool:
    """Whether arrays and objects stand more than so many levels inside each other."""
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return False
    return True
