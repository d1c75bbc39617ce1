"""JSON values as the sandbox handles them: type aliases, and a digest that ignores the order of keys.

Pure.
"""

from hashlib import sha256
from typing import Any, TypeAlias

import orjson

#: Any JSON value.
JSON: TypeAlias = Any
JSONObject: TypeAlias = dict[str, Any]


def digest(*values: JSON) -> bytes:
    """32 bytes, the same for equal values. Everything that looks random in the sandbox is derived from it."""
    return sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).digest()
