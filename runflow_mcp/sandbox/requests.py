"""What clients send, parsed and checked: the body of a dispatch, and the query of a list of runs.

Pure. Invalid fields are reported in the upstream's ``{type, loc, msg}`` form.
"""

import re
from collections.abc import Mapping

import attrs
import orjson

from runflow_mcp.sandbox.catalog import CatalogModel
from runflow_mcp.sandbox.errors import bad_request, validation_failed
from runflow_mcp.sandbox.json_types import JSON, JSONObject

MAX_CLIENT_REF = 255
DEFAULT_LIMIT = 20
MAX_LIMIT = 100

#: The only expression of the upstream's filter language that the sandbox supports.
_FILTER = re.compile(r"client_ref\.EQ:'([^']*)'")
_LIMIT = re.compile(r"[0-9]{1,3}")
#: A cursor holds the index of the page's first run.
_CURSOR = re.compile(r"from-([0-9]{1,6})")
#: ``sort_by`` → newest first.
_SORT_ORDERS = {"created_at:desc": True, "created_at:asc": False}


@attrs.frozen
class RunRequest:
    """An accepted dispatch."""

    model: CatalogModel
    input: JSONObject
    client_ref: str | None
    metadata: JSONObject | None
    callback_url: str | None


@attrs.frozen
class RunListQuery:
    """An accepted query. ``client_ref`` None: no filter. ``start``: the index of the first run to return."""

    client_ref: str | None
    limit: int
    newest_first: bool
    start: int


def parse_run_request(model: CatalogModel, body: bytes) -> RunRequest:
    """Raises an ``APIError``: 400 if the body is not a JSON object, 422 for invalid fields."""
    try:
        payload: JSON = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("Request body is not valid JSON") from None
    if not isinstance(payload, dict):
        raise bad_request("Request body must be a JSON object")
    if errors := [*_envelope_errors(payload), *_input_errors(model, payload.get("input"))]:
        raise validation_failed(errors)
    return RunRequest(
        model=model,
        input=payload["input"],
        client_ref=payload.get("client_ref"),
        metadata=payload.get("metadata"),
        callback_url=payload.get("callback_url"),
    )


def parse_run_list_query(query: Mapping[str, str]) -> RunListQuery:
    """Raises an ``APIError`` (400) for an invalid parameter."""
    client_ref = None
    if "q" in query:
        match = _FILTER.fullmatch(query["q"])
        if match is None:
            raise bad_request("Invalid filter expression in q")
        client_ref = match[1]
    limit = query.get("limit", str(DEFAULT_LIMIT))
    if not _LIMIT.fullmatch(limit) or not 1 <= int(limit) <= MAX_LIMIT:
        raise bad_request(f"limit must be between 1 and {MAX_LIMIT}")
    sort_by = query.get("sort_by", "created_at:desc")
    if sort_by not in _SORT_ORDERS:
        raise bad_request("Invalid sort_by")
    page = _CURSOR.fullmatch(query.get("pq", page_cursor(0)))
    if page is None:
        raise bad_request("Invalid pq")
    return RunListQuery(client_ref, int(limit), _SORT_ORDERS[sort_by], int(page[1]))


def page_cursor(start: int) -> str:
    """``next_pq`` or ``prev_pq`` of the page whose first run has the index ``start``."""
    return f"from-{start}"


def _envelope_errors(payload: JSONObject) -> list[JSONObject]:
    errors: list[JSONObject] = []
    if "input" not in payload:
        errors.append(_error("missing", ["body", "input"], "Field required"))
    for name, kind, expected in (
        ("input", dict, "a valid dictionary"),
        ("metadata", dict, "a valid dictionary"),
        ("client_ref", str, "a valid string"),
        ("callback_url", str, "a valid string"),
    ):
        value = payload.get(name)
        nullable = name != "input" or name not in payload
        if not isinstance(value, kind) and not (value is None and nullable):
            errors.append(_error(f"{kind.__name__}_type", ["body", name], f"Input should be {expected}"))
    client_ref = payload.get("client_ref")
    if isinstance(client_ref, str) and len(client_ref) > MAX_CLIENT_REF:
        message = f"String should have at most {MAX_CLIENT_REF} characters"
        errors.append(_error("string_too_long", ["body", "client_ref"], message))
    return errors


def _input_errors(model: CatalogModel, values: JSON) -> list[JSONObject]:
    if not isinstance(values, dict):
        return []
    errors: list[JSONObject] = []
    for item in model.inputs:
        value = values.get(item.name)
        loc = ["body", "input", item.name]
        if value is None:
            if item.required:
                errors.append(_error("missing", loc, "Field required"))
        elif item.allowed and value not in item.allowed:
            choices = " or ".join(repr(choice) for choice in item.allowed)
            errors.append(_error("enum", loc, f"Input should be {choices}"))
    return errors


def _error(kind: str, loc: list[str], msg: str) -> JSONObject:
    return {"type": kind, "loc": loc, "msg": msg}
