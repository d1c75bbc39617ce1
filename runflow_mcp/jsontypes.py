"""Names for JSON values that pass through unread. No code, no imports from the package."""

from collections.abc import Mapping
from typing import Any

#: Any JSON value whose shape is not ours to know (a model's input, an upstream output).
JSON = Any
#: A JSON object whose members are not ours to know.
JSONObject = Mapping[str, JSON]
