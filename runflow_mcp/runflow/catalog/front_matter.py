"""The YAML front matter of a skill as JSON, and a skill whose front matter has what hosts require of it.

Pure. Scalars are read by the core schema of YAML 1.2, as the hosts that compare the result with the file do. Sources:
the Agent Skills specification; YAML 1.2.2, 10.3.
"""

import math
import re
from collections.abc import Mapping

import orjson
import yaml  # type: ignore[import-untyped]

from runflow_mcp.json_types import JSON, JSONObject

#: Characters and opening brackets of a front matter that is read, which takes 70 ms at most: the parser needs seconds
#: for some longer ones. A description has at most 1,024 characters.
MAX_LENGTH, MAX_BRACKETS = 4096, 100
_BLOCK = re.compile(r"---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*(?:\r?\n|$)", re.DOTALL | re.MULTILINE)
#: A name is the directory of its skill, and so a segment of its URI.
_NAME = re.compile(r"(?!.{65})[a-z0-9]+(?:-[a-z0-9]+)*")
#: A line that many authors write, although YAML does not allow it: the text after the name has a colon in it.
_LINE = re.compile(r"^(name|description):[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
_CONSTANTS: Mapping[str, JSON] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MAX_DIGITS = 15


class _Unreadable(ValueError):
    pass


def with_front_matter(markdown: str, name: str, description: str) -> tuple[str, JSONObject]:
    """(a skill as it is served, its front matter).

    The text is ``markdown`` itself if it has a front matter with a valid name and a description; ``name`` and
    ``description`` stand in for what is missing. A front matter that cannot be read stays, below one that can.
    """
    block = _BLOCK.match(markdown)
    try:
        found = _read(block["yaml"]) if block else {}
        body = markdown[block.end() :] if block else f"\n{markdown}"
    except (yaml.YAMLError, _Unreadable, RecursionError):
        found = dict(_LINE.findall(block["yaml"][:MAX_LENGTH])) if block else {}
        body = f"\n{markdown}"
        block = None
    required = {
        "name": found["name"] if _is_name(found.get("name")) else name,
        "description": found["description"] if _is_text(found.get("description")) else description,
    }
    front_matter = {**found, **required}
    if block and front_matter == found:
        return markdown, found
    # JSON is YAML too.
    lines = (f"{orjson.dumps(key).decode()}: {orjson.dumps(value).decode()}\n" for key, value in front_matter.items())
    return f"---\n{''.join(lines)}---\n{body}", front_matter


def _is_name(value: JSON) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_text(value: JSON) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _read(text: str) -> dict[str, JSON]:
    """The front matter as an object. Raises ``YAMLError``, ``_Unreadable`` or ``RecursionError``."""
    if len(text) > MAX_LENGTH or text.count("[") + text.count("{") > MAX_BRACKETS:
        raise _Unreadable("it is too long or nested too deeply")
    root = yaml.compose(text, Loader=yaml.BaseLoader)
    value = {} if root is None else _value(root, set())
    if not isinstance(value, dict):
        raise _Unreadable("it is not an object")
    return value


def _value(node: yaml.Node, seen: set[yaml.Node]) -> JSON:
    """A node as JSON. ``seen``: the nodes so far; one that is referred to twice could double with each level."""
    if node in seen:
        raise _Unreadable("it has an alias")
    seen.add(node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, seen) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        members = {_key(key): _value(value, seen) for key, value in node.value}
        if len(members) < len(node.value):
            raise _Unreadable("it has a member twice")
        return members
    return _scalar(node.value) if node.style is None else str(node.value)


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _Unreadable("it has a member whose name is not a text")
    return str(node.value)


def _scalar(text: str) -> JSON:
    """A scalar without quotes. Numbers that JSON's readers would round stay texts."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) <= _MAX_DIGITS:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _PREFIXED.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
            return number
    return text
