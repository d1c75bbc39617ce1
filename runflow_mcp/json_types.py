"""Type aliases for JSON that the server does not interpret, and its nesting depth. Pure."""

from collections.abc import Mapping
from typing import Any

#: Any JSON value whose shape the server does not know, such as a model's input or output.
JSON = Any
#: A JSON object whose members the server does not know.
JSONObject = Mapping[str, JSON]
#: Floats below this are exact integers; from here on two different integers may be the same float.
EXACT_FLOAT = 2.0**53


def deeper_than(value: JSON, levels: int) -> bool:
    """Whether arrays and objects are nested more than ``levels`` deep."""
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
