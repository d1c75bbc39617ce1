"""The server card, the catalog that names it, and the entry for the MCP registry: their schemas, names and versions."""

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import orjson
import pytest

from runflow_mcp import __version__
from runflow_mcp.protocol.revisions import SUPPORTED
from runflow_mcp.web import server_card
from tests.serving import Serve, Server

CARD, CATALOG = "/mcp/server-card", "/.well-known/ai-catalog.json"
SCHEMAS = Path(__file__).parent / "schemas"
REGISTRY_ENTRY = Path(__file__).parents[2] / "deploy" / "server.json"
PUBLIC_URL = "https://mcp.example.com"


def schema(name: str) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads((SCHEMAS / name).read_bytes())
    return document


def card_schema() -> dict[str, Any]:
    document = schema("server-card.schema.json")
    return {"$schema": document["$schema"], "$defs": document["$defs"], "$ref": "#/$defs/ServerCard"}


async def test_the_card_fits_the_published_schema(serve: Serve) -> None:
    server = await serve(MCP_PUBLIC_URL=PUBLIC_URL)
    jsonschema.Draft202012Validator(card_schema()).validate((await server.request("GET", CARD)).json)


async def test_the_card_names_the_server_its_endpoint_and_the_secret_header(serve: Serve) -> None:
    server = await serve(MCP_PUBLIC_URL=PUBLIC_URL)
    card = (await server.request("GET", CARD)).json
    assert card["$schema"] == "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json"
    assert (card["name"], card["version"]) == ("io.runflow/mcp", __version__)
    [remote] = card["remotes"]
    assert (remote["type"], remote["url"]) == ("streamable-http", f"{PUBLIC_URL}/mcp")
    assert remote["supportedProtocolVersions"] == list(SUPPORTED)
    [header] = remote["headers"]
    assert (header["name"], header["isRequired"], header["isSecret"]) == ("Authorization", True, True)
    assert "value" not in header


async def test_the_card_says_what_the_connected_server_says(server: Server) -> None:
    card = (await server.request("GET", CARD)).json
    discovered = (await server.modern("server/discover")).result
    info = discovered["_meta"]["io.modelcontextprotocol/serverInfo"]
    assert {name: card[name] for name in ("title", "version", "description", "websiteUrl")} == {
        name: info[name] for name in ("title", "version", "description", "websiteUrl")
    }
    assert card["remotes"][0]["supportedProtocolVersions"] == discovered["supportedVersions"]


async def test_the_catalog_names_the_card(serve: Serve) -> None:
    server = await serve(MCP_PUBLIC_URL=PUBLIC_URL)
    catalog = (await server.request("GET", CATALOG)).json
    assert catalog == {
        "specVersion": "1.0",
        "entries": [
            {
                "identifier": "urn:air:runflow.io:mcp:mcp",
                "type": "application/mcp-server-card+json",
                "url": f"{PUBLIC_URL}/mcp/server-card",
            }
        ],
    }


@pytest.mark.parametrize(
    ("path", "content_type"),
    [(CARD, "application/mcp-server-card+json"), (CATALOG, "application/ai-catalog+json")],
)
async def test_a_document_is_public_cacheable_and_the_same_bytes_each_time(
    server: Server, path: str, content_type: str
) -> None:
    first = await server.request("GET", path, headers={"Origin": "https://anywhere.example"})
    assert first.status == 200
    assert first.headers["Content-Type"].partition(";")[0] == content_type
    assert first.headers["Access-Control-Allow-Origin"] == "*"
    assert first.headers["Access-Control-Expose-Headers"] == "ETag"
    assert first.headers["Cache-Control"] == "public, max-age=3600"
    assert (await server.request("GET", path)).content == first.content
    head = await server.request("HEAD", path)
    assert (head.status, head.content) == (200, b"")


@pytest.mark.parametrize("path", [CARD, CATALOG])
@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
async def test_a_document_that_is_known_is_not_sent_again(server: Server, path: str, known: str) -> None:
    etag = (await server.request("GET", path)).headers["ETag"]
    answer = await server.request("GET", path, headers={"If-None-Match": known.format(etag)})
    assert (answer.status, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    assert (await server.request("GET", path, headers={"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize("path", [CARD, CATALOG])
@pytest.mark.parametrize("origin", ["https://anywhere.example", "null"])
async def test_pages_of_any_origin_may_read_a_document(server: Server, path: str, origin: str) -> None:
    preflight = await server.request(
        "OPTIONS", path, headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
    )
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET"
    assert preflight.headers["Access-Control-Allow-Headers"] == "Content-Type, If-None-Match"
    assert (await server.request("GET", path, headers={"Origin": origin})).status == 200


@pytest.mark.parametrize("path", [CARD, CATALOG])
async def test_a_document_is_refused_under_an_unknown_host(server: Server, path: str) -> None:
    answer = await server.request("GET", path, headers={"Host": "evil.example"})
    assert (answer.status, answer.error["data"]["code"]) == (403, "host_rejected")


@pytest.mark.parametrize("path", [CARD, CATALOG])
async def test_a_document_takes_only_get(server: Server, path: str) -> None:
    answer = await server.request("POST", path)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_a_hostile_host_stays_a_text_of_the_document(serve: Serve) -> None:
    server = await serve(MCP_ALLOWED_HOSTS="*")
    answer = await server.request("GET", CARD, headers={"Host": 'a"},{"x":"b'})
    assert answer.status in (200, 400)
    if answer.status == 200:
        assert answer.json["name"] == "io.runflow/mcp"


# The registry


def test_the_registry_entry_fits_the_published_schema() -> None:
    jsonschema.Draft7Validator(schema("server.schema.json")).validate(orjson.loads(REGISTRY_ENTRY.read_bytes()))


def test_the_registry_entry_has_the_names_and_the_version_of_the_card() -> None:
    entry = orjson.loads(REGISTRY_ENTRY.read_bytes())
    card = server_card.server_card(PUBLIC_URL)
    for member in ("name", "title", "description", "version", "websiteUrl"):
        assert entry[member] == card[member], f"correct {member} in deploy/server.json"
    assert entry["remotes"][0]["headers"] == card["remotes"][0]["headers"]
