"""Tool arguments: read as strictly as the schema, but for what proxies and models are known to do to a value.

Every error is named by its path. The documented leniencies: an optional argument given as null or as blank text
counts as absent; a text that reads as a number or boolean is one, and a number that stands for a name is its
digits; enum values are accepted in any case, with ``_`` for ``-``; a text that holds a JSON object is accepted for
``input``; and names that hosts add to every call are ignored.
"""

import re
from collections.abc import Callable
from typing import Any, NewType, TypeVar

import attrs
import cattrs

from runflow_mcp import lenient_json
from runflow_mcp.bounds import MAX_LISTED, MAX_VALUES, has_too_many_values, quote, quote_all
from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.identifiers import client_ref_problem, model_problem, strip_runs_endpoint
from runflow_mcp.json_types import JSON, JSONObject, deeper_than
from runflow_mcp.methods.tools.argument_names import ADDED_BY_HOSTS, nearest
from runflow_mcp.runflow.catalog.entries import CATEGORIES
from runflow_mcp.runflow.dispatch.inputs import RunInput

MAX_INPUT_DEPTH = 200
MIN_LIMIT, MAX_LIMIT, DEFAULT_LIMIT = 1, 200, 50

ModelName = NewType("ModelName", str)
ClientRef = NewType("ClientRef", str)
Category = NewType("Category", str)
Limit = NewType("Limit", int)

#: What a client_ref must not be: texts that programs and models write when they have no value. Two callers with
#: the same key would share a run.
_NO_VALUE = frozenset(
    {"null", "none", "undefined", "nil", "nan", "n/a", "string", "true", "false", "client_ref", "client-ref"}
)
_INTEGER = re.compile(r"([+-]?[0-9]{1,15})(?:\.0*)?")
_BOOLEANS = {"true": True, "false": False}
_QUOTES = "\"'`“”‘’"
#: Floats below this are exact integers; above it two numbers of a caller's would become one.
_EXACT = 2.0**53


@attrs.frozen
class GenerateArguments:
    model: ModelName
    input: RunInput
    wait: bool = True
    client_ref: ClientRef | None = None


@attrs.frozen
class ListModelsArguments:
    category: Category | None = None
    provider: str | None = None
    query: str | None = None
    limit: Limit = Limit(DEFAULT_LIMIT)


def _digits(value: JSON) -> JSON:
    """A number as the text it was; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, int):
        return str(value)
    if not abs(value) < _EXACT:
        return value
    return str(int(value)) if value.is_integer() else repr(value)


def _string(value: JSON, _: object = None) -> str:
    text = _digits(value)
    if not isinstance(text, str):
        raise TypeError("must be a string")
    return text


def _boolean(value: JSON, _: object = None) -> bool:
    read = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(read, bool):
        raise TypeError("must be true or false")
    return read


def _model(value: JSON, _: object = None) -> ModelName:
    if not isinstance(value, str):
        raise TypeError("must be a string")
    model = strip_runs_endpoint(value.strip().strip(_QUOTES).strip()).removeprefix("/")
    if problem := model_problem(model):
        raise ValueError(problem)
    return ModelName(model)


def _client_ref(value: JSON, _: object = None) -> ClientRef:
    client_ref = _string(value)
    if problem := client_ref_problem(client_ref):
        raise ValueError(problem)
    if client_ref.casefold() in _NO_VALUE or not any(map(str.isalnum, client_ref)):
        raise ValueError(
            "is a placeholder and not the name of a run; leave client_ref out, or send a unique name of your own"
        )
    return ClientRef(client_ref)


def _category(value: JSON, _: object = None) -> Category:
    category = re.sub(r"[\s_-]+", "-", value.strip().lower()) if isinstance(value, str) else None
    if category not in CATEGORIES:
        raise ValueError("must be one of " + ", ".join(CATEGORIES))
    return Category(category)


def _limit(value: JSON, _: object = None) -> Limit:
    if isinstance(value, str) and (match := _INTEGER.fullmatch(value.strip())):
        value = int(match[1])
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(whole, int) or isinstance(whole, bool) or not MIN_LIMIT <= whole <= MAX_LIMIT:
        raise ValueError(f"must be a whole number from {MIN_LIMIT} to {MAX_LIMIT}")
    return Limit(whole)


def _run_input(value: JSON, _: object = None) -> RunInput:
    if isinstance(value, str):  # models often send the object as a text
        value = _object_in(value)
    if not isinstance(value, dict):
        raise TypeError("must be a JSON object")
    if deeper_than(value, MAX_INPUT_DEPTH):
        raise ValueError(f"must not nest deeper than {MAX_INPUT_DEPTH} levels")
    return RunInput.of(value)


def _object_in(text: str) -> JSON:
    if has_too_many_values(text.encode()):
        raise ValueError(f"must not hold more than {MAX_VALUES:,} JSON values")
    try:
        return lenient_json.loads_message(text.encode())
    except ValueError:
        raise ValueError("must be a JSON object; this text does not hold one") from None


_converter = cattrs.Converter()
for _type, _hook in (
    (str, _string),
    (bool, _boolean),
    (ModelName, _model),
    (ClientRef, _client_ref),
    (Category, _category),
    (Limit, _limit),
    (RunInput, _run_input),
):
    _converter.register_structure_hook(_type, _hook)

Arguments = TypeVar("Arguments", GenerateArguments, ListModelsArguments)


Hook = Callable[[JSON, Any], object]


def _hooks(kind: type) -> dict[str, tuple[Hook, Any, bool]]:
    """For each argument what reads it, as what type, and whether it is required."""
    return {
        field.name: (_converter.get_structure_hook(field.type), field.type, field.default is attrs.NOTHING)
        for field in attrs.fields(kind)
    }


_HOOKS: dict[type, dict[str, tuple[Hook, Any, bool]]] = {
    kind: _hooks(kind) for kind in (GenerateArguments, ListModelsArguments)
}


def read_arguments(kind: type[Arguments], arguments: JSONObject) -> Arguments:
    """The arguments as ``kind``. Raises ``ToolError`` ``invalid_arguments`` that names every error.

    Fields are read one by one: an exception group of all of them keeps their frames, and so the whole request,
    alive in reference cycles.
    """
    hooks = _HOOKS[kind]
    read: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, (hook, type_, required) in hooks.items():
        if name not in arguments or (not required and _is_absent(arguments[name])):
            if required:
                problems[name] = "is required"
            continue
        try:
            read[name] = hook(arguments[name], type_)
        except (TypeError, ValueError) as error:
            problems[name] = str(error)
    unknown = [name for name in arguments if name not in hooks and name not in ADDED_BY_HOSTS]
    if problems or unknown:
        raise _refusal(problems, unknown, tuple(hooks))
    return kind(**read)


def _is_absent(value: JSON) -> bool:
    """Whether an optional argument was left out, in the words of the proxies that fill in every member."""
    return value is None or (isinstance(value, str) and not value.strip())


def _refusal(problems: dict[str, str], unknown: list[str], known: tuple[str, ...]) -> ToolError:
    """The tool error of these problems and unknown names; of many names it lists the first ones."""
    paths = [*problems, *unknown]
    listed = problems | {quote(name): _advice(quote(name), known) for name in unknown[: MAX_LISTED - len(problems)]}
    faults = [{"path": path, "message": message} for path, message in listed.items()]
    count = "1 argument does" if len(paths) == 1 else f"{len(paths):,} arguments do"
    details: dict[str, JSON] = {"faults": faults}
    if len(paths) > len(listed):
        details["faults_omitted"] = len(paths) - len(listed)
    return ToolError(
        ToolErrorCode.INVALID_ARGUMENTS,
        f"{count} not fit: {quote_all(paths)}.",
        details=details,
        hints=tuple(f"- {fault['path']}: {fault['message']}" for fault in faults),
    )


def _advice(name: str, known: tuple[str, ...]) -> str:
    meant = nearest(name, known)
    hint = f"; did you mean {meant}?" if meant else ""
    own = "; the model's own inputs go inside input" if "input" in known else ""
    return f"is not an argument of this tool{hint} (it takes {', '.join(known)}{own})"
