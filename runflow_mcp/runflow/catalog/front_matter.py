"""The YAML front matter of a skill as JSON, completed with the members that hosts require. Pure.

Scalars are read by the core schema of YAML 1.2, as hosts do. Sources: the Agent Skills specification; YAML 1.2.2, 10.3.
"""

import math
import re
from collections.abc import Iterator, Mapping

import orjson
import yaml  # type: ignore[import-untyped]

from runflow_mcp.json_types import JSON, JSONObject

#: Maximum characters and opening brackets of a front matter. Within them the parser takes 70 ms at most; beyond them
#: some texts take seconds. A description has at most 1,024 characters.
MAX_LENGTH, MAX_BRACKETS = 4096, 100
_BLOCK = re.compile(r"---(?P<space>[ \t]*)\r?\n(?P<yaml>.*?)^---[ \t]*(?:\r?\n|$)", re.DOTALL | re.MULTILINE)
#: A skill's name is its directory, and therefore a segment of its URI.
_NAME = re.compile(r"(?!.{65})[a-z0-9]+(?:-[a-z0-9]+)*")
#: Many authors write a text with a colon after the name, which YAML does not allow.
_LINE = re.compile(r"^(name|description):[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
_CONSTANTS: Mapping[str, JSON] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NO_SUCH_NUMBER = "it has a number that JSON does not have"
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1


class _Unreadable(ValueError):
    pass


def with_front_matter(markdown: str, name: str, description: str) -> tuple[str, JSONObject]:
    """(a skill as it is served, its front matter).

    The text is ``markdown`` itself if it has a front matter with a valid name and a description; ``name`` and
    ``description`` replace what is missing. An unreadable front matter is kept as text below a new one.
    """
    block = _BLOCK.match(markdown)
    try:
        found = _read(block["yaml"]) if block else {}
        body = markdown[block.end() :] if block else f"\n{markdown}"
    except (yaml.YAMLError, _Unreadable, RecursionError, OverflowError):
        found = dict(_LINE.findall(block["yaml"][:MAX_LENGTH])) if block else {}
        body = f"\n{markdown}"
        block = None
    required = {
        "name": found["name"] if _is_name(found.get("name")) else name,
        "description": found["description"] if _is_text(found.get("description")) else description,
    }
    front_matter = {**found, **required}
    # Some hosts ignore a front matter whose first line has more than the three dashes.
    if block and not block["space"] and front_matter == found:
        return markdown, found
    # JSON is YAML too.
    lines = (f"{orjson.dumps(key).decode()}: {orjson.dumps(value).decode()}\n" for key, value in front_matter.items())
    return f"---\n{''.join(lines)}---\n{body}", front_matter


def _is_name(value: JSON) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_text(value: JSON) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _read(text: str) -> dict[str, JSON]:
    """The front matter as an object. Raises ``YAMLError``, ``_Unreadable``, ``RecursionError`` or ``OverflowError``."""
    if len(text) > MAX_LENGTH or text.count("[") + text.count("{") > MAX_BRACKETS:
        raise _Unreadable("it is too long or nested too deeply")
    events = yaml.parse(text, Loader=yaml.BaseLoader)
    documents = [_value(event, events) for event in events if isinstance(event, yaml.NodeEvent)] or [{}]
    if len(documents) > 1 or not isinstance(documents[0], dict):
        raise _Unreadable("it is not one object")
    return documents[0]


def _value(event: yaml.NodeEvent, events: Iterator[yaml.Event]) -> JSON:
    """The value that begins with ``event``.

    Raises ``_Unreadable`` for what JSON does not have, and for aliases: a chain of them grows exponentially.
    """
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None or event.tag is not None:
        raise _Unreadable("it has an anchor, an alias or a tag")
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event.value) if event.style is None else str(event.value)
    if isinstance(event, yaml.SequenceStartEvent):
        items: list[JSON] = []
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(_value(item, events))
        return items
    members: dict[str, JSON] = {}
    while not isinstance(key := next(events), yaml.MappingEndEvent):
        if not isinstance(key, yaml.ScalarEvent) or key.tag is not None or key.value in members:
            raise _Unreadable("it has a member twice, or one whose name is not a text")
        members[key.value] = _value(next(events), events)
    return members


def _scalar(text: str) -> JSON:
    """A scalar without quotes."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _PREFIXED.fullmatch(text):
        return _number(int(text, 0))
    if _INTEGER.fullmatch(text):
        return _number(int(text))
    if _FLOAT.fullmatch(text):
        return _number(float(text))
    if _NOT_FINITE.fullmatch(text):
        raise _Unreadable(_NO_SUCH_NUMBER)
    return text


def _number(number: float) -> JSON:
    """A number as JSON has it: one beyond 64 bits loses digits, as it does in the hosts."""
    if isinstance(number, int) and not _MIN_INTEGER <= number <= _MAX_INTEGER:
        number = float(number)
    if not math.isfinite(number):
        raise _Unreadable(_NO_SUCH_NUMBER)
    return number
