"""The inputs of a model as the catalog describes them: a list, a JSON Schema, or an object of names.

Pure. What cannot be read is left out rather than guessed, since a wrong allowed value would prevent a valid call.
``$ref`` is not followed.
"""

import re
from collections.abc import Iterable, Iterator

import attrs
import orjson

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.runflow.reading.fields import parse_boolean, read_boolean, read_text, unpack_json

#: Allowed values kept of one input.
MAX_ALLOWED_VALUES = 200
#: Levels of nested ``anyOf`` and ``allOf`` that are read.
MAX_BRANCH_DEPTH = 3
#: Members that list allowed values.
_LISTS = ("enum", "options", "choices", "allowed_values", "values")
#: Members of an option object that may hold its value, the most specific first; a label is only displayed.
_OPTION_VALUES = ("value", "const", "id", "key", "code", "slug", "name")
_SEPARATOR = re.compile(r"[,;|]")
#: One value of a list written as a text: at most three words, so that a sentence is not taken for values.
_WRITTEN_VALUE = re.compile(r"\S{1,64}(?: \S{1,64}){0,2}")
_TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}(?:\[\])?")
#: Top-level members that only a JSON Schema has.
_SCHEMA_MARKS = frozenset({"$schema", "$ref", "properties", "additionalProperties"})
_TYPE_OF: dict[type, str] = {bool: "boolean", int: "integer", float: "number"}


@attrs.frozen
class Input:
    """One input of a model. ``values``: the allowed values, empty when every value is allowed.

    ``type_stated``: the catalog states the type; otherwise it is derived from the values. It does not count for
    equality.
    """

    name: str
    type: str
    required: bool
    values: tuple[JSON, ...] = ()
    description: str | None = None
    type_stated: bool = attrs.field(default=True, eq=False)

    @property
    def texts(self) -> tuple[str, ...]:
        """The allowed values as a person types them."""
        return tuple(value if isinstance(value, str) else orjson.dumps(value).decode() for value in self.values)


def read_inputs(*sources: JSON) -> tuple[Input, ...]:
    """The inputs in the first of these sources that has any; required inputs first."""
    for source in map(unpack_json, sources):
        if isinstance(source, list):
            found: Iterable[Input] = filter(None, map(_listed, source))
        elif isinstance(source, dict):
            found = _named(source)
        else:
            continue
        unique = {found_input.name: found_input for found_input in found}
        if unique:
            return tuple(sorted(unique.values(), key=lambda found_input: not found_input.required))
    return ()


def _listed(item: JSON) -> Input | None:
    """One item of a list of inputs: an object that holds its name, or just the name."""
    if isinstance(item, str):
        item = {"name": item}
    if not isinstance(item, dict) or not (name := read_text(item, "name", "key", "id")):
        return None
    return _input(name, item, required=False)


def _named(source: JSONObject) -> Iterator[Input]:
    """The inputs of a JSON Schema, or of an object whose members are the inputs."""
    is_schema = source.get("type") == "object" or not _SCHEMA_MARKS.isdisjoint(source)
    members = source.get("properties") if is_schema else source
    required = _required_names(source.get("required")) if is_schema else frozenset()
    if not isinstance(members, dict):
        return
    for name, spec in members.items():
        if not name:
            continue
        if isinstance(spec, dict):
            yield _input(name, spec, required=name in required)
        elif isinstance(spec, str) and not is_schema:
            member = "type" if _TYPE_NAME.fullmatch(spec.strip()) else "description"
            member = "required" if parse_boolean(spec) is not None else member
            yield _input(name, {member: spec}, required=False)


def _required_names(value: JSON) -> frozenset[str]:
    value = unpack_json(value)
    if isinstance(value, str):
        value = [part.strip() for part in _SEPARATOR.split(value)]
    return frozenset(name for name in value if isinstance(name, str)) if isinstance(value, list) else frozenset()


def _input(name: str, spec: JSONObject, *, required: bool) -> Input:
    stated = read_boolean(spec, "required", "is_required")
    if stated is None and (optional := read_boolean(spec, "optional", "is_optional")) is not None:
        stated = not optional
    values = _values(spec)
    stated_type = _type(spec)
    return Input(
        name=name,
        type=stated_type or _type_of(values),
        required=required if stated is None else stated,
        values=values,
        description=read_text(spec, "description"),
        type_stated=stated_type is not None,
    )


def _type(spec: JSONObject) -> str | None:
    named = (spec.get("type"), spec.get("variable_type_code"), *(branch.get("type") for branch in _branches(spec)))
    for types in named:
        for name in types if isinstance(types, list) else [types]:  # JSON Schema's ["string", "null"]
            if isinstance(name, str) and name.strip() not in ("", "null"):
                return name.strip()
    return None


def _type_of(values: tuple[JSON, ...]) -> str:
    kinds = {type(value) for value in values}
    return _TYPE_OF.get(kinds.pop(), "string") if len(kinds) == 1 else "string"


def _values(spec: JSONObject, depth: int = MAX_BRANCH_DEPTH) -> tuple[JSON, ...]:
    """The allowed values. Alternatives (``anyOf``) limit the values only if each of them does."""
    for name in _LISTS:
        if found := _scalars(spec.get(name)):
            return found
    if found := _scalars([spec.get("const")]):
        return found
    if depth == 0:
        return ()
    choices = [_values(branch, depth - 1) for branch in _branches(spec)]
    if choices and all(choices):
        return _scalars([value for choice in choices for value in choice])
    parts = spec.get("allOf")
    parts = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return next(filter(None, (_values(part, depth - 1) for part in parts)), ())


def _branches(spec: JSONObject) -> list[JSONObject]:
    """The alternatives of ``anyOf`` or ``oneOf``, without null."""
    for name in ("anyOf", "oneOf"):
        listed = spec.get(name)
        if isinstance(listed, list) and listed:
            return [branch if isinstance(branch, dict) else {} for branch in listed if branch != {"type": "null"}]
    return []


def _scalars(listed: JSON) -> tuple[JSON, ...]:
    listed = unpack_json(listed)
    if isinstance(listed, dict):  # a list one level down
        listed = next((listed[name] for name in _LISTS if isinstance(listed.get(name), list)), None)
    if isinstance(listed, str):
        written = [part.strip() for part in _SEPARATOR.split(listed)]
        listed = written if all(map(_WRITTEN_VALUE.fullmatch, written)) else None
    if not isinstance(listed, list):
        return ()
    plain = (_option(item) if isinstance(item, dict) else item for item in listed)
    # 1, 1.0 and true are equal in Python and different in JSON.
    unique = {(type(value), value): value for value in plain if isinstance(value, str | int | float)}
    return tuple(unique.values())[:MAX_ALLOWED_VALUES]


def _option(option: JSONObject) -> JSON:
    return next((option[name] for name in _OPTION_VALUES if isinstance(option.get(name), str | int | float)), None)
