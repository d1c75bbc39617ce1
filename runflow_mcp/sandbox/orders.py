"""What a client orders: the body of a dispatch, parsed and checked against the model's inputs.

Pure; every fault is reported in the upstream's ``{type, loc, msg}`` form.
"""

import attrs
import orjson

from runflow_mcp.sandbox.catalog import Model
from runflow_mcp.sandbox.payload import Json, JsonObject
from runflow_mcp.sandbox.problems import Details, bad_request, invalid

MAX_CLIENT_REF = 255


@attrs.frozen
class Order:
    """One accepted dispatch."""

    model: Model
    input: JsonObject
    client_ref: str | None
    metadata: JsonObject | None
    callback_url: str | None


def parse(model: Model, body: bytes) -> Order:
    """The order in ``body``, or the ``Problem`` that refuses it."""
    try:
        payload: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("Request body is not valid JSON") from None
    if not isinstance(payload, dict):
        raise bad_request("Request body must be a JSON object")
    if errors := [*_envelope_errors(payload), *_input_errors(model, payload.get("input"))]:
        raise invalid(errors)
    return Order(
        model=model,
        input=payload["input"],
        client_ref=payload.get("client_ref"),
        metadata=payload.get("metadata"),
        callback_url=payload.get("callback_url"),
    )


def _envelope_errors(payload: JsonObject) -> Details:
    errors: Details = []
    if "input" not in payload:
        errors.append(_error("missing", ["body", "input"], "Field required"))
    for name, kind, article in (
        ("input", dict, "a valid dictionary"),
        ("metadata", dict, "a valid dictionary"),
        ("client_ref", str, "a valid string"),
        ("callback_url", str, "a valid string"),
    ):
        value = payload.get(name)
        nullable = name != "input" or name not in payload
        if not isinstance(value, kind) and not (value is None and nullable):
            errors.append(_error(f"{kind.__name__}_type", ["body", name], f"Input should be {article}"))
    client_ref = payload.get("client_ref")
    if isinstance(client_ref, str) and len(client_ref) > MAX_CLIENT_REF:
        message = f"String should have at most {MAX_CLIENT_REF} characters"
        errors.append(_error("string_too_long", ["body", "client_ref"], message))
    return errors


def _input_errors(model: Model, values: Json) -> Details:
    if not isinstance(values, dict):
        return []
    errors: Details = []
    for item in model.inputs:
        value = values.get(item.name)
        where = ["body", "input", item.name]
        if value is None:
            if item.required:
                errors.append(_error("missing", where, "Field required"))
        elif item.allowed and value not in item.allowed:
            choices = " or ".join(repr(choice) for choice in item.allowed)
            errors.append(_error("enum", where, f"Input should be {choices}"))
    return errors


def _error(kind: str, loc: list[str], msg: str) -> JsonObject:
    return {"type": kind, "loc": loc, "msg": msg}
