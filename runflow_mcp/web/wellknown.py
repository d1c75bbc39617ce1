"""The protected-resource document (RFC 9728) and the challenge that points to it.

It names no authorization server unless the settings do: there is no OAuth here, callers already have their key.
"""

import orjson
from aiohttp import web

from runflow_mcp.json_types import JSON
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import SERVICES
from runflow_mcp.web.responses import json_response

PATH = "/.well-known/oauth-protected-resource"
DOCUMENTATION = "https://docs.runflow.io"


def public_origin(config: Config, request: web.BaseRequest) -> str:
    """The origin that clients use: the configured one, else the Host of the request, which the allowlist admitted."""
    return config.public_url or f"http://{request.host}"


def challenge(config: Config, request: web.BaseRequest) -> str:
    """The WWW-Authenticate value of a 401."""
    metadata = f"{public_origin(config, request)}{PATH}"
    return f'Bearer realm="runflow-mcp", error="invalid_token", resource_metadata="{metadata}"'


async def protected_resource(request: web.Request) -> web.Response:
    config = request.app[SERVICES].config
    document: dict[str, JSON] = {
        "resource": f"{public_origin(config, request)}/mcp",
        "bearer_methods_supported": ["header"],
        "resource_name": "Runflow",
        "resource_documentation": DOCUMENTATION,
    }
    if config.authorization_servers:
        document["authorization_servers"] = list(config.authorization_servers)
    return json_response(orjson.dumps(document))
