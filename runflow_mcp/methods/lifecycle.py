"""``initialize``, ``server/discover`` and ``ping``, and the instructions in the first two.

None of them waits for the network: the instructions have the skill that this process has at that moment.
"""

from collections.abc import Mapping
from importlib.resources import files

import orjson

from runflow_mcp import __version__
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.meta import META_SERVER_INFO
from runflow_mcp.protocol.results import with_cache_hints
from runflow_mcp.protocol.revisions import FEATURES, SUPPORTED, Era, Revision, negotiate
from runflow_mcp.runflow.catalog.skill import SkillText

SERVER_INFO: dict[str, JSON] = {
    "name": "Runflow",
    "title": "Runflow",
    "version": __version__,
    "description": "Runs image, video and audio models and ready-made Solutions on Runflow.",
    "websiteUrl": "https://www.runflow.io",
}
CAPABILITIES: dict[str, JSON] = {"tools": {}, "prompts": {}, "completions": {}, "resources": {}}
#: Only the modern era has a stream for notifications of changed lists.
MODERN_CAPABILITIES: dict[str, JSON] = {**CAPABILITIES, "prompts": {"listChanged": True}}
#: ``SERVER_INFO`` as JSON, and the ``_meta`` of results with it.
_SERVER_INFO_JSON = orjson.Fragment(orjson.dumps(SERVER_INFO))
SERVER_META: JSONObject = {META_SERVER_INFO: _SERVER_INFO_JSON}
#: revision → its capabilities as JSON
_BY_REVISION: Mapping[Revision, orjson.Fragment] = {
    revision: orjson.Fragment(
        orjson.dumps(
            {
                **(MODERN_CAPABILITIES if features.era is Era.MODERN else CAPABILITIES),
                "extensions": {name: {} for name in features.extensions},
            }
        )
    )
    for revision, features in FEATURES.items()
}
#: What every agent must know, in at most the 2,048 characters that the strictest client keeps. The skill follows.
PREFACE = files("runflow_mcp.methods").joinpath("instructions.md").read_text(encoding="utf-8")


async def initialize(request: Request, ctx: RequestContext) -> Result:
    """The handshake of the revisions up to 2025-11-25. Any other revision is answered with the latest of these."""
    requested = request.params.get("protocolVersion")
    if not isinstance(requested, str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param protocolVersion must be a string.")
    revision = ctx.record.revision = negotiate(requested)
    return {
        "protocolVersion": revision,
        "capabilities": _BY_REVISION[revision],
        "serverInfo": _SERVER_INFO_JSON,
        "instructions": ctx.services.skill.current.cached(_instructions),
    }


async def discover(_request: Request, ctx: RequestContext) -> Result:
    """``server/discover`` (2026-07-28): the revisions and capabilities of this server, without a handshake."""
    result = {
        "supportedVersions": SUPPORTED,
        "capabilities": _BY_REVISION[ctx.protocol.revision],
        "instructions": ctx.services.skill.current.cached(_instructions),
    }
    return with_cache_hints(result, ctx.protocol, round(ctx.services.config.catalog_ttl * 1000))


async def ping(_request: Request, _ctx: RequestContext) -> Result:
    return {}


def _instructions(skill: SkillText) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(f"{PREFACE}\n---\n\n{skill.markdown}"))
