"""The page for people at ``/``: who gets it, what it says, and that nothing in it is loaded or interpreted."""

import re
from html.parser import HTMLParser
from typing import Any

import orjson
import pytest

from runflow_mcp.client_recipes import recipes
from runflow_mcp.methods.prompts import prompt_book
from runflow_mcp.runflow.catalog.entries import parse_catalog
from runflow_mcp.web.page import MAX_KEPT, accepts_html, pages_of, render
from tests.serving import Answer, Serve, Server

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
HOSTILE = "</h3><script>alert(1)</script><img src=x onerror=alert(1)>\"'&<!--{url}-->"
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Document(HTMLParser):
    """What the tests ask about a document. Raises ``AssertionError`` for elements that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words += data

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


async def page(server: Server, **headers: str) -> Answer:
    return await server.request("GET", "/", headers={"Accept": CHROME, **headers})


async def loaded(server: Server) -> Document:
    await server.services.catalog.snapshot()
    return Document((await page(server)).content.decode())


async def test_a_browser_gets_the_page(server: Server) -> None:
    answer = await page(server)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Vary"] == "Accept"
    head = await server.request("HEAD", "/", headers={"Accept": CHROME})
    assert (head.status, head.content) == (200, b"")


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/*", "text/html;q=0", "text/htmlx"])
async def test_anything_else_gets_the_404_of_an_unknown_path(server: Server, accept: str | None) -> None:
    answer = await server.request("GET", "/", headers={"Accept": accept} if accept else None)
    assert answer.status == 404
    assert answer.json == (await server.request("GET", "/nowhere")).json


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_other_methods_get_the_404_of_an_unknown_path(server: Server, method: str) -> None:
    answer = await server.request(method, "/", headers={"Accept": CHROME})
    assert (answer.status, answer.json["error"]) == (404, "not_found")


@pytest.mark.parametrize("accept", ["text/html", "TEXT/HTML;level=1", "a/b, text/html ;q=0.1", "*/*,text/html;q=1"])
def test_html_may_be_listed_anywhere_in_accept(accept: str) -> None:
    assert accepts_html([accept])
    assert accepts_html(["application/json", accept])


async def test_the_page_is_refused_under_an_unknown_host(server: Server) -> None:
    answer = await page(server, Host="evil.example")
    assert (answer.status, answer.error["data"]["code"]) == (403, "host_rejected")


async def test_the_page_needs_no_key_and_counts_in_no_window(serve: Serve) -> None:
    server = await serve(MCP_RATE_LIMIT_PRE_AUTH_PER_IP="1")
    for _ in range(3):
        assert (await page(server)).status == 200


async def test_the_page_shows_the_address_and_every_client(server: Server) -> None:
    words = (await loaded(server)).words
    assert server.url in words
    for recipe in recipes(server.url):
        assert recipe.title in words
        if recipe.shell:
            assert recipe.shell in words
        if recipe.file:
            assert recipe.file.content in words


async def test_the_page_shows_the_public_url_where_there_is_one(serve: Serve) -> None:
    server = await serve(MCP_PUBLIC_URL="https://mcp.example.com")
    document = await loaded(server)
    assert "https://mcp.example.com/mcp" in document.words
    assert server.url not in document.words


async def test_the_page_lists_the_solutions_with_their_commands(server: Server) -> None:
    document = await loaded(server)
    prompts = (await server.rpc("prompts/list")).result["prompts"]
    assert prompts
    for prompt in prompts:
        assert f"/runflow:{prompt['name']}" in document.words
        assert prompt["title"] in document.words


async def test_the_page_follows_the_catalog(server: Server) -> None:
    without = Document(render(server.origin, None).body.decode())
    assert "/runflow:" not in without.words.replace("/runflow: ", "")
    before = (await page(server)).headers["ETag"]
    server.services.catalog.current = parse_catalog(
        orjson.dumps([{"provider": "runflow", "slug": "new-one", "name": "New one"}])
    )
    after = await page(server)
    assert after.headers["ETag"] != before
    assert "/runflow:new-one" in after.content.decode()


async def test_the_page_is_made_once_per_snapshot_and_origin(server: Server) -> None:
    snapshot = await server.services.catalog.snapshot()
    first = await page(server)
    made = snapshot.cached(pages_of)[server.origin]
    assert (await page(server)).content == first.content == made.body
    assert snapshot.cached(pages_of)[server.origin] is made


async def test_no_more_pages_are_kept_than_there_are_places(serve: Serve) -> None:
    server = await serve(MCP_ALLOWED_HOSTS="*")
    snapshot = await server.services.catalog.snapshot()
    for number in range(MAX_KEPT + 4):
        assert f"host-{number}.example/mcp" in (await page(server, Host=f"host-{number}.example")).content.decode()
    assert len(snapshot.cached(pages_of)) == MAX_KEPT


async def test_a_page_that_the_browser_has_is_not_sent_again(server: Server) -> None:
    await server.services.catalog.snapshot()
    etag = (await page(server)).headers["ETag"]
    answer = await server.request("GET", "/", headers={"Accept": CHROME, "If-None-Match": etag})
    assert (answer.status, answer.content) == (304, b"")


async def test_nothing_is_loaded_and_only_the_pages_own_script_and_style_run(server: Server) -> None:
    answer = await page(server)
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    for directive in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy[directive])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    document = Document(answer.content.decode())
    for attributes in document.named(*{tag for tag, _ in document.elements}):
        assert not {"src", "srcset", "style", "onclick", "onload", "action", "background"} & set(attributes)
    assert not document.named("link", "img", "iframe", "form", "object", "base")


async def test_the_page_has_the_basics_that_readers_and_screen_readers_need(server: Server) -> None:
    document = await loaded(server)
    [html] = document.named("html")
    assert html["lang"] == "en"
    assert {"viewport", "description", "color-scheme"} <= {meta.get("name") for meta in document.named("meta")}
    assert len(document.named("title")) == len(document.named("main")) == len(document.named("h1")) == 1
    levels = [int(tag[1]) for tag, _ in document.elements if re.fullmatch(r"h[1-6]", tag)]
    assert all(level <= previous + 1 for previous, level in zip([0, *levels], levels, strict=False))
    assert any(link["href"] == "/healthz" for link in document.named("a"))


def hostile_catalog() -> Any:
    entry = {"provider": "runflow", "slug": "a", "name": HOSTILE, "description": HOSTILE}
    return parse_catalog(orjson.dumps([entry]))


def test_hostile_names_are_shown_as_text() -> None:
    document = Document(render(f"http://{HOSTILE}", prompt_book(hostile_catalog())).body.decode())
    assert len(document.named("script")) == 1
    assert not document.named("img")
    assert HOSTILE in document.words


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "<script>", "a.example:port", "%00"])
async def test_any_host_that_is_allowed_is_shown_as_text(serve: Serve, host: str) -> None:
    server = await serve(MCP_ALLOWED_HOSTS="*")
    answer = await page(server, Host=host)
    assert answer.status == 200
    assert host in Document(answer.content.decode()).words
    assert (await server.request("GET", "/mcp/server-card", headers={"Host": host})).status == 200


def test_the_page_shows_the_beginning_of_a_long_description() -> None:
    entry = {"provider": "runflow", "slug": "a", "name": "A", "description": "x" * 900}
    book = prompt_book(parse_catalog(orjson.dumps([entry])))
    assert "x" * 240 + "…" in render("http://a.example", book).body.decode()
