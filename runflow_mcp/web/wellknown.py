"""The protected-resource document (RFC 9728) and the challenge that points to it.

It names no authorization server on purpose: there is no OAuth, callers already have their key.
"""

import orjson
from aiohttp import web

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
    document = {
        "resource": f"{public_origin(config, request)}/mcp",
        "bearer_methods_supported": ["header"],
        "resource_name": "Runflow",
        "resource_documentation": DOCUMENTATION,
    }
    return json_response(orjson.dumps(document))
