"""Why a dispatch is rejected: its body is not JSON, or its fields are invalid."""

import orjson
import pytest

from tests.sandbox.api_client import MODEL, PROMPT, Client


async def send(client: Client, body: bytes) -> tuple[int, str]:
    return (await client.request("POST", f"/v1/models/{MODEL}/runs", data=body)).error_code


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff"])
async def test_a_body_that_is_not_a_json_object_is_a_bad_request(client: Client, body: bytes) -> None:
    assert await send(client, body) == (400, "BAD_REQUEST")


async def test_a_missing_input_is_reported(client: Client) -> None:
    reply = await client.request("POST", f"/v1/models/{MODEL}/runs", data=b"{}")
    assert reply.error_code == (422, "VALIDATION_ERROR")
    assert reply.json["errors"] == [{"type": "missing", "loc": ["body", "input"], "msg": "Field required"}]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("input", [], "dict_type"),
        ("input", None, "dict_type"),
        ("metadata", "x", "dict_type"),
        ("client_ref", 7, "str_type"),
        ("client_ref", "x" * 256, "string_too_long"),
        ("callback_url", {}, "str_type"),
    ],
)
async def test_fields_of_the_wrong_type_are_reported(client: Client, name: str, value: object, kind: str) -> None:
    body = orjson.dumps({"input": PROMPT, name: value})
    reply = await client.request("POST", f"/v1/models/{MODEL}/runs", data=body)
    assert reply.error_code == (422, "VALIDATION_ERROR")
    [error] = reply.json["errors"]
    assert (error["type"], error["loc"]) == (kind, ["body", name])


async def test_optional_fields_may_be_null(client: Client) -> None:
    assert (await client.create(metadata=None, client_ref=None, callback_url=None)).status == 201


async def test_all_missing_required_inputs_are_reported(client: Client) -> None:
    reply = await client.create("runflow/outpaint", {"image_url": "https://example.com/a.png", "expand_top": 5})
    assert reply.error_code == (422, "VALIDATION_ERROR")
    assert [(error["type"], error["loc"]) for error in reply.json["errors"]] == [
        ("missing", ["body", "input", f"expand_{side}"]) for side in ("bottom", "left", "right")
    ]


async def test_a_value_outside_an_enum_is_rejected_with_the_allowed_values(client: Client) -> None:
    reply = await client.create(MODEL, {**PROMPT, "thinking_level": "deep"})
    assert reply.json["errors"] == [
        {
            "type": "enum",
            "loc": ["body", "input", "thinking_level"],
            "msg": "Input should be 'minimal' or 'high'",
        }
    ]
