"""Listing resources, and reading links: a host that reads a link back gets the link itself, and nothing is fetched."""

import pytest
import structlog

from tests.methods.recorded_requests import caller_requests
from tests.scripted_sandbox import Respond, Route, ScriptedSandbox
from tests.serving import Serve, Server

LEGACY = ("2025-03-26", "2025-06-18", "2025-11-25")
URIS = [
    "https://cdn.example.com/a.png",
    "https://cdn.example.com/a.png?X-Amz-Signature=0a&X-Amz-Expires=3600#x",
    "http://127.0.0.1:9000/outputs/0.png",
    "HTTPS://CDN.example.com/A.PNG",
    "https://m\u00fcnchen.de/\u00e9.png",
    "https://xn--mnchen-3ya.de/%C3%A9.png",
    "https://[::1]:8443/x",
    "https://a/" + "b" * 8000,
]


@pytest.mark.parametrize("uri", URIS, ids=lambda uri: uri[:30])
@pytest.mark.parametrize("revision", LEGACY)
async def test_a_link_is_answered_with_itself(
    server: Server, sandbox: ScriptedSandbox, revision: str, uri: str
) -> None:
    before = len(caller_requests(sandbox))
    answer = await server.rpc("resources/read", {"uri": uri}, headers={"MCP-Protocol-Version": revision})
    assert answer.result == {"contents": [{"uri": uri, "mimeType": "text/uri-list", "text": uri}]}
    assert len(caller_requests(sandbox)) == before


@pytest.mark.parametrize("uri", URIS, ids=lambda uri: uri[:30])
async def test_a_client_of_2026_gets_the_same_with_cache_hints(server: Server, uri: str) -> None:
    answer = await server.modern("resources/read", {"uri": uri})
    assert answer.result["contents"] == [{"uri": uri, "mimeType": "text/uri-list", "text": uri}]
    assert (answer.result["resultType"], answer.result["ttlMs"], answer.result["cacheScope"]) == (
        "complete",
        0,
        "private",
    )


async def test_every_link_of_a_result_can_be_read(server: Server) -> None:
    headers = {"MCP-Protocol-Version": "2025-06-18"}
    ran = await server.generate(input={"prompt": "x", "num_images": 2}, headers=headers)
    for link in ran.result["content"][1:]:
        answer = await server.rpc("resources/read", {"uri": link["uri"]}, headers=headers)
        assert answer.result["contents"][0]["text"] == link["uri"]


UNKNOWN = [
    *("", "x", "a.png", "file:///etc/passwd", "javascript:alert(1)", "data:,x", "ftp://a/x", "skill://nothing"),
    *(
        "https://",
        "https:///x",
        "https://a b/",
        "https://a/\n#x",
        "https://a/\r\nx",
        "https://a/\x00",
        "https://a/\x1f",
    ),
    *("https://a/\x7f", "https://a/\x85", "https://a/\u2028x", " https://a/x", "https://a/" + "b" * 9000),
]


@pytest.mark.parametrize("uri", UNKNOWN, ids=lambda uri: ascii(uri[:30]))
async def test_any_other_uri_is_an_unknown_resource(server: Server, uri: str) -> None:
    for revision in LEGACY:
        answer = await server.rpc("resources/read", {"uri": uri}, headers={"MCP-Protocol-Version": revision})
        assert (answer.status, answer.error["code"], answer.error["data"]) == (200, -32002, {"uri": uri[:1024]})
    if len(uri) > 8192:
        return  # nor does such a URI fit into the header that repeats it
    answer = await server.modern("resources/read", {"uri": uri})
    assert (answer.status, answer.error["code"], answer.error["data"]) == (200, -32602, {"uri": uri[:1024]})


@pytest.mark.parametrize(
    "params", [{}, {"uri": None}, {"uri": 5}, {"uri": ["https://a/x"]}, {"url": "https://a/x"}], ids=str
)
async def test_a_uri_that_is_not_a_string_is_invalid_params(server: Server, params: dict[str, object]) -> None:
    assert (await server.rpc("resources/read", params)).error["code"] == -32602
    assert (await server.modern("resources/read", params)).error["code"] == -32602


async def test_the_header_of_2026_must_name_the_uri(server: Server) -> None:
    answer = await server.modern("resources/read", {"uri": URIS[0]}, headers={"Mcp-Name": URIS[1]})
    assert (answer.status, answer.error["code"]) == (400, -32020)


async def test_an_error_repeats_a_long_uri_shortened(server: Server) -> None:
    answer = await server.rpc("resources/read", {"uri": "x" * 200_000})
    assert len(answer.content) < 8192


# The lists


async def test_the_resources_are_listed_and_each_can_be_read(server: Server) -> None:
    for ask in (server.rpc, server.modern):
        listed = (await ask("resources/list")).result["resources"]
        assert "skill://runflow/SKILL.md" in [resource["uri"] for resource in listed]
        for resource in listed:
            [content] = (await ask("resources/read", {"uri": resource["uri"]})).result["contents"]
            assert (content["uri"], content["mimeType"]) == (resource["uri"], resource["mimeType"])
            assert len(content["text"].encode()) == resource["size"]
            assert content.get("_meta") == resource.get("_meta")


async def test_the_two_templates_are_listed(server: Server) -> None:
    for ask in (server.rpc, server.modern):
        listed = (await ask("resources/templates/list")).result["resourceTemplates"]
        assert [template["uriTemplate"] for template in listed] == [
            "runflow-model://{provider}/{+slug}",
            "runflow-run://{run_id}",
        ]
        for template in listed:
            assert set(template) == {"uriTemplate", "name", "title", "description", "mimeType"}
            assert template["mimeType"] == "application/json"


@pytest.mark.parametrize("method", ["resources/list", "resources/templates/list"])
async def test_a_list_has_one_page_and_the_same_bytes_each_time(server: Server, method: str) -> None:
    await server.services.clock.sleep(1)
    first = await server.rpc(method, {"cursor": ""})
    assert "nextCursor" not in first.result
    assert (await server.rpc(method)).content == first.content
    assert (await server.rpc(method, {"cursor": "2"})).error["code"] == -32602
    modern = (await server.modern(method)).result
    assert (modern["resultType"], modern["cacheScope"]) == ("complete", "public")
    assert 0 < modern["ttlMs"] <= 300_000
    assert "ttlMs" not in first.result


@pytest.mark.parametrize("revision", LEGACY)
async def test_resources_are_declared_without_subscriptions(server: Server, revision: str) -> None:
    capabilities = (await server.rpc("initialize", {"protocolVersion": revision})).result["capabilities"]
    assert capabilities["resources"] == {}
    for method in ("resources/subscribe", "resources/unsubscribe"):
        assert (await server.rpc(method, {"uri": "runflow-run://x"})).error["code"] == -32601
    discovered = (await server.modern("server/discover")).result["capabilities"]
    assert discovered["resources"] == {}


async def test_lists_are_answered_without_the_catalog(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Respond(500), times=None)
    server = await serve()
    assert (await server.rpc("resources/list")).result["resources"]
    assert (await server.rpc("resources/templates/list")).result["resourceTemplates"]
    assert server.services.clock.monotonic() == 0


# The log


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("skill://runflow/SKILL.md", "skill"),
        ("runflow-model://google/nano-banana-2", "model"),
        ("runflow-run://no-such-run", "run"),
        ("https://cdn.example.com/secret.png?signature=secret", "link"),
        ("ftp://cdn.example.com/secret", "unknown"),
    ],
)
async def test_the_access_line_names_the_kind_of_a_resource_and_never_its_uri(
    server: Server, uri: str, kind: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        await server.rpc("resources/read", {"uri": uri})
    [line] = [line for line in logs if line["event"] == "request"]
    assert (line["rpc"], line["resource"]) == ("resources/read", kind)
    assert "secret" not in repr(logs)
