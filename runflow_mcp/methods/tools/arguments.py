"""Tool arguments: reading a class of them from JSON, and the input schema derived from the class.

Reading is as strict as the schema, apart from documented leniencies for what proxies and models do to values: an
optional argument given as null or blank text counts as absent; the text of a boolean is accepted as one, and a
number as text; a text that holds a JSON object is accepted for ``input``; names that hosts add to
every call are ignored. Must not import a tool: a type that only one tool has is defined in its file.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NewType, TypeVar, get_args

import attrs
import cattrs

from runflow_mcp import lenient_json
from runflow_mcp.bounds import MAX_BODY_VALUES, MAX_LISTED, has_too_many_values, quote, quote_all
from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.identifiers import (
    CLIENT_REF_PATTERN,
    MAX_MODEL_LENGTH,
    client_ref_problem,
    model_problem,
    strip_runs_endpoint,
)
from runflow_mcp.json_types import EXACT_FLOAT, JSON, JSONObject, deeper_than
from runflow_mcp.methods.tools.argument_names import ADDED_BY_HOSTS, closest_argument
from runflow_mcp.runflow.dispatch.inputs import RunInput

MAX_INPUT_DEPTH = 200

ModelName = NewType("ModelName", str)
ClientRef = NewType("ClientRef", str)
Arguments = TypeVar("Arguments")

#: Texts that programs and models write when they have no value. As client_refs they would make unrelated calls with
#: the same key share a run.
_PLACEHOLDERS = frozenset(
    {"null", "none", "undefined", "nil", "nan", "n/a", "string", "true", "false", "client_ref", "client-ref"}
)
#: A boolean as text, in lower case.
BOOLEANS: Mapping[str, bool] = {"true": True, "false": False}
_QUOTES = "\"'`“”‘’"

Reader = Callable[[JSON, Any], object]

_converter = cattrs.Converter()
_schemas: dict[Any, JSONObject] = {}


class _Fields(NamedTuple):
    """The fields of a class of arguments. ``readers``: each one's function and the type to give it."""

    readers: dict[str, tuple[Reader, Any]]
    required: tuple[str, ...]

    @classmethod
    def of(cls, kind: type) -> "_Fields":
        fields = attrs.fields(kind)
        return cls(
            {field.name: (_converter.get_structure_hook(field.type), field.type) for field in fields},
            tuple(field.name for field in fields if field.default is attrs.NOTHING),
        )


_fields: dict[type, _Fields] = {}


def define_type(kind: Any, schema: JSONObject, read: Callable[[JSON], object]) -> None:
    """Define an argument type: its JSON Schema, and a function that returns the value or raises TypeError, ValueError.

    An error's text completes a sentence that begins with the argument's name: "must be a string".
    """
    _converter.register_structure_hook(kind, lambda value, _: read(value))
    _schemas[kind] = schema


def input_schema(kind: type) -> dict[str, JSON]:
    """The JSON Schema of a class of arguments.

    Each field is annotated with an argument type, or ``type | None``; its description is in the field's metadata.
    """
    properties: dict[str, JSON] = {}
    for field in attrs.fields(kind):
        [type_] = [part for part in get_args(field.type) or (field.type,) if part is not type(None)]
        properties[field.name] = dict(_schemas[type_])
        if field.default not in (attrs.NOTHING, None):
            properties[field.name]["default"] = field.default
        properties[field.name] |= field.metadata
    required = [field.name for field in attrs.fields(kind) if field.default is attrs.NOTHING]
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def read_arguments(kind: type[Arguments], arguments: JSONObject) -> Arguments:
    """The arguments as ``kind``. Raises ``ToolError`` ``invalid_arguments``.

    The error names everything that is wrong. Fields are read one by one: cattrs's exception group would keep their
    frames, and so the whole request, in reference cycles.
    """
    if (known := _fields.get(kind)) is None:
        known = _fields[kind] = _Fields.of(kind)
    readers, required = known
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    unknown: list[str] = []
    for name, value in arguments.items():
        reader = readers.get(name)
        if reader is None:
            if name not in ADDED_BY_HOSTS:
                unknown.append(name)
            continue
        if name not in required and _is_absent(value):
            continue
        read, type_ = reader
        try:
            values[name] = read(value, type_)
        except (TypeError, ValueError) as error:
            problems[name] = str(error)
    for name in required:
        if name not in arguments:
            problems[name] = "is required"
    if problems or unknown:
        in_order = {name: problems[name] for name in readers if name in problems}
        raise invalid_arguments(in_order, unknown, tuple(readers))
    return kind(**values)


def _is_absent(value: JSON) -> bool:
    """Whether an optional argument was left out: some proxies fill in every member."""
    return value is None or (isinstance(value, str) and not value.strip())


def invalid_arguments(
    problems: dict[str, str], unknown: Sequence[str] = (), argument_names: tuple[str, ...] = ()
) -> ToolError:
    """The tool error for these problems and unknown names; only the first ones are listed."""
    paths = [*problems, *unknown]
    listed = problems | {
        quote(name): _advice(quote(name), argument_names) for name in unknown[: MAX_LISTED - len(problems)]
    }
    count = "1 argument is" if len(paths) == 1 else f"{len(paths):,} arguments are"
    # Clients may read these members by name.
    details: dict[str, JSON] = {"faults": [{"path": path, "message": message} for path, message in listed.items()]}
    if len(paths) > len(listed):
        details["faults_omitted"] = len(paths) - len(listed)
    return ToolError(
        ToolErrorCode.INVALID_ARGUMENTS,
        f"{count} invalid: {quote_all(paths)}.",
        details=details,
        hints=tuple(f"- {path}: {message}" for path, message in listed.items()),
    )


def _advice(name: str, argument_names: tuple[str, ...]) -> str:
    meant = closest_argument(name, argument_names)
    hint = f"; did you mean {meant}?" if meant else ""
    own = "; the model's own inputs go inside input" if "input" in argument_names else ""
    return f"is not an argument of this tool{hint} (it takes {', '.join(argument_names)}{own})"


def _number_as_text(value: JSON) -> JSON:
    """A number as text; anything else unchanged."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, int):
        return str(value)
    if not abs(value) < EXACT_FLOAT:
        return value
    return str(int(value)) if value.is_integer() else repr(value)


def _string(value: JSON) -> str:
    text = _number_as_text(value)
    if not isinstance(text, str):
        raise TypeError("must be a string")
    return text


def _boolean(value: JSON) -> bool:
    read = BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(read, bool):
        raise TypeError("must be true or false")
    return read


def _model(value: JSON) -> ModelName:
    if not isinstance(value, str):
        raise TypeError("must be a string")
    model = strip_runs_endpoint(value.strip().strip(_QUOTES).strip()).removeprefix("/")
    if problem := model_problem(model):
        raise ValueError(problem)
    return ModelName(model)


def _client_ref(value: JSON) -> ClientRef:
    client_ref = _string(value)
    if problem := client_ref_problem(client_ref):
        raise ValueError(problem)
    if client_ref.casefold() in _PLACEHOLDERS or not any(map(str.isalnum, client_ref)):
        raise ValueError(
            "is a placeholder, not the name of a run; leave client_ref out, or send a unique name of your own"
        )
    return ClientRef(client_ref)


def _run_input(value: JSON) -> RunInput:
    if isinstance(value, str):  # models often send the object as text
        value = _parse_text(value)
    if not isinstance(value, dict):
        raise TypeError("must be a JSON object")
    if deeper_than(value, MAX_INPUT_DEPTH):
        raise ValueError(f"must not nest deeper than {MAX_INPUT_DEPTH} levels")
    return RunInput.of(value)


def _parse_text(text: str) -> JSON:
    if has_too_many_values(text.encode()):
        raise ValueError(f"must not hold more than {MAX_BODY_VALUES:,} JSON values")
    try:
        return lenient_json.loads_message(text.encode())
    except ValueError:
        raise ValueError("must be a JSON object; this text does not hold one") from None


define_type(str, {"type": "string"}, _string)
define_type(bool, {"type": "boolean"}, _boolean)
define_type(ModelName, {"type": "string", "maxLength": MAX_MODEL_LENGTH}, _model)
define_type(ClientRef, {"type": "string", "pattern": f"^{CLIENT_REF_PATTERN}$"}, _client_ref)
define_type(RunInput, {"type": "object", "additionalProperties": True}, _run_input)
