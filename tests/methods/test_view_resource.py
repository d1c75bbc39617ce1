"""The result view as a resource: what a host reads before it shows it. How it looks is in ``tests/browser``."""

import re

import pytest

from runflow_mcp.view import result_view
from tests.serving import Answer, Serve, Server

URI = "ui://runflow/result.html"
MIME_TYPE = "text/html;profile=mcp-app"
MAX_BYTES = 40_000


async def read(server: Server) -> Answer:
    return await server.rpc("resources/read", {"uri": URI})


async def test_the_tool_names_the_view_in_both_spellings_and_no_other_tool_does(server: Server) -> None:
    generate, list_models = (await server.rpc("tools/list")).result["tools"]
    assert generate["_meta"] == {"ui": {"resourceUri": URI}, "ui/resourceUri": URI}
    assert "_meta" not in list_models


async def test_the_view_is_listed(server: Server) -> None:
    [entry] = [
        resource for resource in (await server.rpc("resources/list")).result["resources"] if resource["uri"] == URI
    ]
    assert entry["mimeType"] == MIME_TYPE
    assert entry["name"]
    assert entry["_meta"] == (await read(server)).result["contents"][0]["_meta"]


async def test_the_view_is_read_in_every_revision(server: Server) -> None:
    legacy = (await read(server)).result["contents"]
    modern = (await server.modern("resources/read", {"uri": URI})).result
    assert modern["contents"] == legacy
    assert modern["cacheScope"] == "public"
    [content] = legacy
    assert (content["uri"], content["mimeType"]) == (URI, MIME_TYPE)
    assert content["text"].startswith("<!doctype html>")


async def test_a_host_may_load_media_from_the_origins_of_the_setting_and_from_the_sandbox(serve: Serve) -> None:
    server = await serve(MCP_VIEW_ORIGINS="https://media.example.com,https://*.cdn.example")
    csp = (await read(server)).result["contents"][0]["_meta"]["ui"]["csp"]
    assert csp == {
        "resourceDomains": ["https://media.example.com", "https://*.cdn.example", server.services.config.api_url],
        "connectDomains": [],
    }


async def test_the_live_upstream_adds_no_origin(serve: Serve) -> None:
    server = await serve(RUNFLOW_API_URL="https://api.runflow.io")
    csp = (await read(server)).result["contents"][0]["_meta"]["ui"]["csp"]
    assert csp["resourceDomains"] == [
        "https://*.runflow.io",
        "https://storage.googleapis.com",
        "https://*.amazonaws.com",
        "https://*.r2.cloudflarestorage.com",
    ]


def test_the_document_is_small_and_complete_by_itself() -> None:
    document = result_view.document()
    assert len(document.encode()) < MAX_BYTES
    assert not re.search(r"<(?:link|img|iframe|object|embed|base|form)\b|<script[^>]+src|@import|url\(", document)
    assert not re.search(r"https?://", document)


@pytest.mark.parametrize(
    "sink",
    ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc", "DOMParser"],
)
def test_the_document_never_makes_html_or_code_of_a_text(sink: str) -> None:
    assert sink not in result_view.document()


@pytest.mark.parametrize("call", ["fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon", "localStorage", "import("])
def test_the_document_talks_to_its_host_alone(call: str) -> None:
    assert call not in result_view.document()
