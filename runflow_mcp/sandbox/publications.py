"""What anybody may read without a key: the catalog in both shapes, the skill, the health of the API.

Owns the conditional answers; the documents themselves are files of the package.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files

import orjson
from aiohttp import web

from runflow_mcp.sandbox import catalog


@cache
def skill() -> bytes:
    return files(__package__).joinpath("skill.md").read_bytes()


async def catalog_page(request: web.Request) -> web.Response:
    return _conditional(request, catalog.document(), "application/json")


async def skill_page(request: web.Request) -> web.Response:
    return _conditional(request, skill(), "text/markdown")


async def public_models(_request: web.Request) -> web.Response:
    return web.Response(body=catalog.public_document(), content_type="application/json")


async def health(_request: web.Request) -> web.Response:
    return web.Response(body=orjson.dumps({"status": "ok"}), content_type="application/json")


def _conditional(request: web.Request, content: bytes, content_type: str) -> web.Response:
    """304 without a body for a client that already has ``content``."""
    tag = sha256(content).hexdigest()[:16]
    known = any(etag.value in {tag, "*"} for etag in request.if_none_match or ())
    if known:
        response = web.Response(status=304)
    else:
        response = web.Response(body=content, content_type=content_type, charset="utf-8")
    response.etag = tag
    return response
