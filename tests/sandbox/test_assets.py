"""Uploads: prepared, sent, confirmed, used in a run, and refused."""

import io
from typing import Any

import orjson
import pytest
from PIL import Image

from runflow_mcp.sandbox import assets
from tests.sandbox.api_client import MODEL, PROMPT, Client, Response
from tests.virtual_time import VirtualClock

PNG = {"Content-Type": "image/png"}
REMOVAL = "runflow/background-removal"


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


async def prepare(client: Client, size: object, **fields: object) -> Response:
    body = {"filename": "shoe.png", "mime_type": "image/png", "size_bytes": size, **fields}
    key = str(body.pop("key", "rf_live_sandbox"))
    return await client.request("POST", "/v1/asset-uploads", key=key, data=orjson.dumps(body))


async def put(client: Client, url: str, content: bytes, **headers: str) -> Response:
    return await client.request("PUT", url, key=None, headers={**PNG, **headers}, data=content)


async def confirm(client: Client, asset_id: str, key: str = "rf_live_sandbox") -> Response:
    return await client.request("POST", f"/v1/asset-uploads/{asset_id}/confirmations", key=key, data=b"{}")


async def uploaded(client: Client, content: bytes) -> str:
    upload = (await prepare(client, len(content))).json
    assert (await put(client, upload["upload_url"], content)).status == 200
    assert (await confirm(client, upload["asset_id"])).status == 201
    return str(upload["asset_id"])


async def test_an_upload_becomes_an_asset_with_a_link_to_the_file(client: Client) -> None:
    content = picture((255, 0, 255))
    prepared = await prepare(client, len(content), filename="my shoe (1).png")
    assert prepared.status == 201
    assert prepared.json.keys() == {"asset_id", "upload_url"}
    assert (await put(client, prepared.json["upload_url"], content)).status == 200
    asset = await confirm(client, prepared.json["asset_id"])
    assert asset.json["size_bytes"] == len(content)
    again = (await client.get(f"/v1/assets/{prepared.json['asset_id']}")).json
    for each in (asset.json["url"], again["url"]):
        assert (await client.get(each, key=None)).content == content


@pytest.mark.parametrize("size", [0, -1, 52_428_801, "5", 1.5, None, True])
async def test_a_size_out_of_range_is_a_validation_error(client: Client, size: object) -> None:
    reply = await prepare(client, size)
    assert reply.error_code == (422, "VALIDATION_ERROR")
    assert reply.json["errors"][0]["loc"] == ["body", "size_bytes"]


@pytest.mark.parametrize("body", [b"{", b"[]"])
async def test_a_body_that_is_not_an_object_is_a_bad_request(client: Client, body: bytes) -> None:
    reply = await client.request("POST", "/v1/asset-uploads", data=body)
    assert reply.error_code == (400, "BAD_REQUEST")


async def test_an_upload_address_works_once_for_the_declared_file(client: Client, clock: VirtualClock) -> None:
    upload = (await prepare(client, 5)).json
    url = upload["upload_url"]
    assert (await put(client, url, b"1234")).error_code == (400, "SIZE_MISMATCH")
    assert (await put(client, url, b"123456")).error_code == (400, "SIZE_MISMATCH")
    assert (await put(client, url, b"12345", **{"Content-Type": "text/plain"})).error_code == (
        403,
        "CONTENT_TYPE_MISMATCH",
    )
    assert (await put(client, url, b"12345", Authorization="Bearer x")).error_code == (400, "BAD_REQUEST")
    assert (await put(client, url.partition("?")[0], b"12345")).error_code == (403, "SIGNATURE_DOES_NOT_MATCH")
    assert (await confirm(client, upload["asset_id"])).error_code == (404, "UPLOAD_NOT_FOUND")
    assert (await put(client, url, b"12345")).status == 200
    assert (await put(client, url, b"12345")).error_code == (403, "UPLOAD_URL_USED")
    late = (await prepare(client, 5)).json["upload_url"]
    await clock.sleep(601)
    assert (await put(client, late, b"12345")).error_code == (403, "LINK_EXPIRED")


async def test_an_upload_is_confirmed_once_and_by_its_owner(client: Client) -> None:
    upload = (await prepare(client, 5)).json
    await put(client, upload["upload_url"], b"12345")
    assert (await confirm(client, upload["asset_id"], "rf_live_other")).error_code == (404, "UPLOAD_NOT_FOUND")
    assert (await confirm(client, upload["asset_id"])).status == 201
    assert (await confirm(client, upload["asset_id"])).error_code == (409, "CONFLICT")
    assert (await client.get(f"/v1/assets/{upload['asset_id']}", key="rf_live_other")).status == 404


async def test_a_key_without_the_scope_uploads_nothing(client: Client) -> None:
    assert (await prepare(client, 5, key="rf_live_sandbox_readonly")).error_code == (403, "PERMISSION_DENIED")
    assert (await confirm(client, "x", "rf_live_sandbox_readonly")).error_code == (403, "PERMISSION_DENIED")


async def test_a_run_takes_the_assets_of_its_caller_alone(client: Client) -> None:
    mine = await uploaded(client, picture((255, 0, 255)))
    reference = {"image_urls": [f"runflow://assets/{mine}"]}
    assert (await client.create(MODEL, {**PROMPT, **reference})).status == 201
    for key, values in (("rf_live_other", reference), ("rf_live_sandbox", {"a": {"b": "runflow://assets/none"}})):
        reply = await client.create(MODEL, {**PROMPT, **values}, key=key)
        assert reply.error_code == (422, "VALIDATION_ERROR")
        assert reply.json["errors"][0]["type"] == "asset_not_found"


def colours(content: bytes) -> dict[tuple[int, ...], int]:
    with Image.open(io.BytesIO(content)) as opened:
        found: Any = opened.convert("RGB").getcolors(opened.width * opened.height)
    return {colour: count for count, colour in found}


@pytest.mark.parametrize("model", [REMOVAL, "runflow/skin-fix", "google/nano-banana-2"])
async def test_the_picture_of_a_run_shows_what_was_uploaded(client: Client, model: str) -> None:
    first, second = ((255, 0, 255), (0, 255, 1))
    ids = [await uploaded(client, picture(colour)) for colour in (first, second)]
    values = {"image_url": f"runflow://assets/{ids[0]}", "more": [f"runflow://assets/{ids[1]}"], **PROMPT}
    run = await client.finished(model, values)
    urls = [each for each in orjson.dumps(run["output"]).decode().split('"') if each.startswith("http")]
    shown = colours((await client.get(urls[0], key=None)).content)
    assert min(shown[first], shown[second]) > 10_000


@pytest.mark.parametrize("content", [b"not a picture at all", picture((1, 2, 3))[:60]], ids=["text", "cut short"])
async def test_a_file_that_is_not_a_picture_does_not_break_the_run(client: Client, content: bytes) -> None:
    asset = await uploaded(client, content)
    run = await client.finished("runflow/skin-fix", {"image_url": f"runflow://assets/{asset}"})
    assert (await client.get(run["output"]["image"]["url"], key=None)).status == 200


async def test_old_files_make_room_for_new_ones(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "MAX_STORED", 10)
    monkeypatch.setattr(assets, "MAX_UPLOADS", 3)
    ids = [await uploaded(client, b"1234") for _ in range(3)]
    statuses = [(await client.get(f"/v1/assets/{each}")).status for each in ids]
    assert statuses == [404, 200, 200]
    for _ in range(3):
        await prepare(client, 4)
    assert len(list(client.sandbox.assets)) == 3


async def test_a_key_shows_its_balance(client: Client) -> None:
    assert (await client.get("/v1/billing/balance")).json == {"balance": "25.00", "currency": "USD"}
    assert (await client.get("/v1/billing/balance", key="rf_live_sandbox_no_credit")).json["balance"] == "0.00"
