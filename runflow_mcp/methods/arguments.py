"""Tool arguments, read strictly: every fault is named by its path, nothing is coerced behind the caller's back.

The one leniency is documented: an optional argument given as null counts as absent, ``5.0`` is an integer,
and a text that holds a JSON object is taken for ``input``.
"""

from typing import Any, NewType, TypeVar

import attrs
import cattrs
import orjson
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.jsontypes import JSON, JSONObject, deeper_than
from runflow_mcp.names import client_ref_fault, model_fault, strip_runs_endpoint
from runflow_mcp.runflow.models import CATEGORIES

MAX_INPUT_DEPTH = 200
MIN_LIMIT, MAX_LIMIT, DEFAULT_LIMIT = 1, 200, 50

ModelName = NewType("ModelName", str)
ClientRef = NewType("ClientRef", str)
RunInput = NewType("RunInput", dict[str, Any])
Category = NewType("Category", str)
Limit = NewType("Limit", int)


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


def _string(value: JSON, _: object = None) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a string")
    return value


def _boolean(value: JSON, _: object = None) -> bool:
    if not isinstance(value, bool):
        raise TypeError("must be true or false")
    return value


def _model(value: JSON, _: object = None) -> ModelName:
    model = strip_runs_endpoint(_string(value).strip())
    if fault := model_fault(model):
        raise ValueError(fault)
    return ModelName(model)


def _client_ref(value: JSON, _: object = None) -> ClientRef:
    if fault := client_ref_fault(_string(value)):
        raise ValueError(fault)
    return ClientRef(value)


def _category(value: JSON, _: object = None) -> Category:
    if _string(value) not in CATEGORIES:
        raise ValueError("must be one of " + ", ".join(CATEGORIES))
    return Category(value)


def _limit(value: JSON, _: object = None) -> Limit:
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(whole, int) or isinstance(whole, bool) or not MIN_LIMIT <= whole <= MAX_LIMIT:
        raise ValueError(f"must be a whole number from {MIN_LIMIT} to {MAX_LIMIT}")
    return Limit(whole)


def _run_input(value: JSON, _: object = None) -> RunInput:
    if isinstance(value, str):  # models often send the object as a text
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise ValueError("must be a JSON object; this text holds none") from None
    if not isinstance(value, dict):
        raise TypeError("must be a JSON object")
    if deeper_than(value, MAX_INPUT_DEPTH):
        raise ValueError(f"must not nest deeper than {MAX_INPUT_DEPTH} levels")
    return RunInput(value)


_converter = cattrs.Converter(forbid_extra_keys=True)
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


def read_arguments(kind: type[Arguments], arguments: JSONObject) -> Arguments:
    """The arguments as ``kind``. Raises ``ToolError`` ``invalid_arguments`` that names every fault."""
    optional = {field.name for field in attrs.fields(kind) if field.default is not attrs.NOTHING}
    given = {name: one for name, one in arguments.items() if one is not None or name not in optional}
    try:
        return _converter.structure(given, kind)
    except ClassValidationError as faults:
        named = [fault for inner in faults.exceptions for fault in _named(inner, kind)]
    lines = tuple(f"- {fault['path']}: {fault['message']}" for fault in named)
    count = "1 argument does" if len(named) == 1 else f"{len(named)} arguments do"
    message = f"{count} not fit: " + ", ".join(fault["path"] for fault in named) + "."
    raise ToolError(ToolErrorCode.INVALID_ARGUMENTS, message, details={"faults": named}, hints=lines)


def _named(fault: BaseException, kind: type) -> list[dict[str, str]]:
    if isinstance(fault, ForbiddenExtraKeysError):
        allowed = ", ".join(field.name for field in attrs.fields(kind))
        return [
            {"path": name[:64], "message": f"is not an argument of this tool (it takes {allowed})"}
            for name in sorted(fault.extra_fields)
        ]
    # cattrs notes on each exception which attribute it was structuring.
    path = next(note.name for note in getattr(fault, "__notes__", ()) if hasattr(note, "name"))
    return [{"path": path, "message": "is required" if isinstance(fault, KeyError) else str(fault)}]
