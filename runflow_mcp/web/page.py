"""The page for people at ``/``: what this server is, how to connect a client, and the Solutions as a list.

A template with escaped values; the bytes are rendered once per catalog snapshot and origin.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.resources import files

import attrs
from aiohttp import web

from runflow_mcp import __version__
from runflow_mcp.client_recipes import ENTRY, Recipe, recipes
from runflow_mcp.methods.prompts import PromptBook, prompt_book
from runflow_mcp.web.app_keys import SERVICES
from runflow_mcp.web.health import HEALTHZ
from runflow_mcp.web.responses import cacheable_response, entity_tag
from runflow_mcp.web.wellknown import DOCUMENTATION, public_origin

PATH = "/"
#: Maximum number of origins whose page is kept per snapshot; there are more only where any Host is allowed.
MAX_KEPT = 16
#: Characters of a Solution's description.
MAX_DESCRIPTION = 240
_PLACE = re.compile(r"<!--\{(\w+)\}-->")


@attrs.frozen
class Page:
    """The page as bytes, and its entity tag."""

    body: bytes
    etag: str


async def get_page(request: web.Request) -> web.Response:
    """The page, for a browser. Raises ``HTTPNotFound`` for everything else, as for any unknown path."""
    if request.method not in ("GET", "HEAD") or not accepts_html(request.headers.getall("Accept", ())):
        raise web.HTTPNotFound
    services = request.app[SERVICES]
    origin = public_origin(services.config, request)
    snapshot = services.catalog.current
    if snapshot is None:
        page = render(origin, None)
    else:
        kept = snapshot.cached(pages_of)
        page = kept.get(origin) or render(origin, snapshot.cached(prompt_book))
        if len(kept) < MAX_KEPT:
            kept[origin] = page
    return cacheable_response(
        request, page.body, page.etag, content_type="text/html; charset=utf-8", headers=_headers()
    )


def pages_of(_snapshot: object) -> dict[str, Page]:
    """The pages of one snapshot by origin, filled on request."""
    return {}


def accepts_html(values: Iterable[str]) -> bool:
    """Whether an Accept header lists ``text/html`` itself, as browsers do, with a weight above zero."""
    for entry in ",".join(values).split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        if media_type == "text/html":
            return not any(re.fullmatch(r"q\s*=\s*0(\.0*)?", parameter) for parameter in parameters)
    return False


def render(origin: str, book: PromptBook | None) -> Page:
    """The page of the server at ``origin``. ``book``: None while there is no catalog."""
    values = {
        "url": escape(f"{origin}/mcp"),
        "host": escape(origin.partition("://")[2]),
        "clients": "".join(map(_client, recipes(f"{origin}/mcp"))),
        "solutions": _solutions(book),
        "health": HEALTHZ,
        "documentation": DOCUMENTATION,
        "version": escape(__version__),
    }
    body = _PLACE.sub(lambda place: values[place[1]], _template()).encode()
    return Page(body, entity_tag(body))


def _client(recipe: Recipe) -> str:
    parts = []
    if recipe.install_link is not None:
        parts.append(
            f'<p><a class="install" href="{escape(recipe.install_link)}">Add to {escape(recipe.title)}</a></p>'
        )
    if recipe.shell is not None:
        parts.append(_snippet("In a terminal", recipe.shell))
    if recipe.steps:
        parts.append(f"<ol>{''.join(f'<li>{escape(step)}</li>' for step in recipe.steps)}</ol>")
    if recipe.file is not None:
        parts.append(_snippet(recipe.file.place, recipe.file.content))
    parts.append(f"<p><b>Your key.</b> {escape(recipe.key)}</p><p><b>Check.</b> {escape(recipe.check)}</p>")
    return f"<details><summary><h3>{escape(recipe.title)}</h3></summary><div>{''.join(parts)}</div></details>"


def _snippet(label: str, text: str) -> str:
    return (
        f'<figure><figcaption><span>{escape(label)}</span><button type="button" hidden>Copy</button></figcaption>'
        f'<pre tabindex="0"><code>{escape(text)}</code></pre></figure>'
    )


def _solutions(book: PromptBook | None) -> str:
    if book is None:
        return "<p>The list is not loaded at the moment. Reload this page in a minute.</p>"
    if not book.solutions:
        return "<p>The catalog lists no Solution at the moment.</p>"
    items = (
        f'<li><h3 dir="auto">{escape(model.model_name)}</h3><code>/{ENTRY}:{escape(name)}</code>'
        f'<p dir="auto">{escape(_cut(model.description or ""))}</p></li>'
        for name, model in book.solutions.items()
    )
    return f'<ul class="solutions">{"".join(items)}</ul>'


def _cut(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION else f"{text[:MAX_DESCRIPTION].rstrip()}…"


@cache
def _template() -> str:
    return files("runflow_mcp.web").joinpath("page.html").read_text(encoding="utf-8")


@cache
def _headers() -> dict[str, str]:
    """The policy allows only the template's own script and style, and loads nothing."""
    policy = (
        "default-src 'none'",
        f"script-src {_digest('script')}",
        f"style-src {_digest('style')}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "Cache-Control": "no-cache",  # stored, and revalidated with its entity tag
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
    }


def _digest(element: str) -> str:
    """The source expression of the template's one inline element of this name."""
    [content] = re.findall(rf"<{element}>(.*?)</{element}>", _template(), re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
