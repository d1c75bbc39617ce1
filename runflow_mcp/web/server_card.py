"""The server card (SEP-2127) and the catalog that names it, for clients that look for servers by domain.

Shapes: the documents ``discovery.md`` and ``schema.json`` of the extension's repository, as of July 2026.
"""

import orjson
from aiohttp import web

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods.lifecycle import SERVER_INFO
from runflow_mcp.protocol.revisions import SUPPORTED
from runflow_mcp.web.app_keys import SERVICES
from runflow_mcp.web.guards import ANY_ORIGIN_HEADERS
from runflow_mcp.web.responses import cacheable_response, entity_tag
from runflow_mcp.web.wellknown import public_origin

CARD_PATH, CATALOG_PATH = "/mcp/server-card", "/.well-known/ai-catalog.json"
CARD_TYPE, CATALOG_TYPE = "application/mcp-server-card+json", "application/ai-catalog+json"
SCHEMA = "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json"
NAME = "io.runflow/mcp"
IDENTIFIER = "urn:air:runflow.io:mcp:mcp"
AUTHORIZATION_HEADER: JSONObject = {
    "name": "Authorization",
    "description": "Bearer, a space, and a Runflow API key, which starts with rf_live_.",
    "isRequired": True,
    "isSecret": True,
    "placeholder": "Bearer <your Runflow API key>",
}


def server_card(origin: str) -> JSONObject:
    """The card of the server at ``origin``."""
    remote: JSON = {
        "type": "streamable-http",
        "url": f"{origin}/mcp",
        "headers": [AUTHORIZATION_HEADER],
        "supportedProtocolVersions": [*SUPPORTED],
    }
    return {
        "$schema": SCHEMA,
        "name": NAME,
        # The same texts as in ``serverInfo``.
        **{member: SERVER_INFO[member] for member in ("version", "title", "description", "websiteUrl")},
        "remotes": [remote],
    }


def ai_catalog(origin: str) -> JSONObject:
    """A catalog with one entry, the card."""
    entry: JSON = {"identifier": IDENTIFIER, "type": CARD_TYPE, "url": f"{origin}{CARD_PATH}"}
    return {"specVersion": "1.0", "entries": [entry]}


async def get_card(request: web.Request) -> web.Response:
    return _document(request, server_card(_origin(request)), CARD_TYPE)


async def get_catalog(request: web.Request) -> web.Response:
    return _document(request, ai_catalog(_origin(request)), CATALOG_TYPE)


def _origin(request: web.Request) -> str:
    return public_origin(request.app[SERVICES].config, request)


def _document(request: web.Request, document: JSONObject, content_type: str) -> web.Response:
    body = orjson.dumps(document)
    headers = {**ANY_ORIGIN_HEADERS, "Cache-Control": "public, max-age=3600"}
    return cacheable_response(request, body, entity_tag(body), content_type=content_type, headers=headers)
