"""Catalog, skill and health are read without a key; requests for other routes get JSON errors."""

import pytest

from tests.sandbox.api_client import MODEL, Client

CATEGORIES = {"text-to-image", "image-to-image", "text-to-video", "image-to-video", "text-to-audio"}


async def test_the_catalog_lists_45_models_of_which_19_are_solutions(client: Client) -> None:
    models = (await client.get("/models-catalog.json", key=None)).json["models"]
    assert len(models) == 45
    assert sum(model["provider_slug"] == "runflow" for model in models) == 19
    assert {model["category"] for model in models} == CATEGORIES


async def test_every_entry_of_the_catalog_is_complete(client: Client) -> None:
    for model in (await client.get("/models-catalog.json", key=None)).json["models"]:
        name = f"{model['provider_slug']}/{model['model_slug']}"
        assert model["runs_endpoint"] == f"/v1/models/{name}/runs"
        assert model["status"] == "active"
        assert model["model_name"]
        assert model["description"].endswith(".")
        assert model["inputs"]
        for item in model["inputs"]:
            assert set(item) - {"enum", "default"} == {"name", "type", "required", "description"}


async def test_every_listed_model_can_be_run(client: Client) -> None:
    for model in (await client.get("/models-catalog.json", key=None)).json["models"]:
        values = {item["name"]: item.get("enum", ["x"])[0] for item in model["inputs"]}
        name = f"{model['provider_slug']}/{model['model_slug']}"
        assert (await client.finished(name, values))["status_code"] == "succeeded"


async def test_the_api_lists_the_same_models_under_its_own_names(client: Client) -> None:
    items = (await client.get("/v1/public/models", key=None)).json["items"]
    assert len(items) == 45
    [item] = [item for item in items if item["slug"] == MODEL]
    assert (item["category_code"], item["status_code"]) == ("text_to_image", "active")
    assert {field["name"]: field["is_required"] for field in item["inputs"]}["prompt"] is True
    assert all("variable_type_code" in field for field in item["inputs"])


async def test_the_skill_is_markdown_with_front_matter(client: Client) -> None:
    reply = await client.get("/.well-known/agent-skills/runflow/SKILL.md", key=None)
    assert reply.headers["Content-Type"] == "text/markdown; charset=utf-8"
    text = reply.content.decode()
    assert text.startswith("---\nname: runflow\n")
    assert text.index("## Solutions first") < text.index("## Raw models second")


@pytest.mark.parametrize("path", ["/models-catalog.json", "/.well-known/agent-skills/runflow/SKILL.md"])
async def test_a_document_is_not_sent_again_to_a_client_with_its_etag(client: Client, path: str) -> None:
    tag = (await client.get(path, key=None)).headers["ETag"]
    again = await client.get(path, key=None, headers={"If-None-Match": tag})
    assert (again.status, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert (await client.get(path, key=None, headers={"If-None-Match": '"old"'})).status == 200


async def test_the_health_route_returns_ok(client: Client) -> None:
    assert (await client.get("/v1/health", key=None)).json == {"status": "ok"}


async def test_errors_for_unknown_routes_and_wrong_methods_are_json(client: Client) -> None:
    unknown = await client.get("/v2/anything")
    assert (unknown.status, unknown.json) == (
        404,
        {"code": "NOT_FOUND", "message": "Not Found", "errors": None},
    )
    wrong = await client.request("DELETE", "/v1/runs")
    assert wrong.error_code == (405, "METHOD_NOT_ALLOWED")
    assert wrong.headers["Allow"] == "GET,HEAD"
