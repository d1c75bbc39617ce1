"""JSON as the sandbox holds it: the type names, and a digest that ignores the order of keys.

Pure; the only module that may say ``Any``.
"""

from hashlib import sha256
from typing import Any, TypeAlias

import orjson

Json: TypeAlias = Any
JsonObject: TypeAlias = dict[str, Any]


def digest(*values: Json) -> bytes:
    """32 bytes that are equal for equal JSON values; whatever looks random in here is drawn from them."""
    return sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).digest()
