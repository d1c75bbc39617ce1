"""Members of a JSON object, read tolerantly: a text under any of several names, a boolean in any spelling.

Pure; for documents whose exact shape is unknown.
"""

from runflow_mcp import lenient_json
from runflow_mcp.json_types import JSON, JSONObject

_TRUE = frozenset({"true", "yes", "y", "on", "1", "required", "active", "enabled"})
_FALSE = frozenset({"false", "no", "n", "off", "0", "optional", "inactive", "disabled"})


def read_text(entry: JSONObject, *names: str) -> str | None:
    """The first of these members that is a text and not blank, without surrounding white space."""
    for name in names:
        value = entry.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def parse_boolean(value: JSON) -> bool | None:
    """The truth of a boolean, 0, 1 or a word such as "yes"; None for anything else."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def read_boolean(entry: JSONObject, *names: str) -> bool | None:
    """The first of these members that can be read as a boolean."""
    return next((value for name in names if (value := parse_boolean(entry.get(name))) is not None), None)


def unpack_json(value: JSON) -> JSON:
    """The array or object in a text that is JSON; any other value unchanged."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return lenient_json.loads(value.encode("utf-8", "replace"))
        except ValueError:
            return value
    return value
