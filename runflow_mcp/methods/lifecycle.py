"""``initialize``, ``server/discover`` and ``ping``, and the instructions that come with the first two.

None of them waits for the network: they say what this process has of the skill at that moment.
"""

import orjson

from runflow_mcp import __version__
from runflow_mcp.json_types import JSON
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.revisions import SUPPORTED, TASKS, negotiate, with_cache_hints
from runflow_mcp.runflow.catalog.skill import SkillText

SERVER_INFO: dict[str, JSON] = {
    "name": "Runflow",
    "title": "Runflow",
    "version": __version__,
    "description": "Runs image, video and audio models and ready-made Solutions on Runflow.",
    "websiteUrl": "https://www.runflow.io",
}
CAPABILITIES: dict[str, JSON] = {"tools": {}, "prompts": {}, "completions": {}}
#: Only the modern era has a stream on which a changed list can be told.
MODERN_CAPABILITIES: dict[str, JSON] = {
    **CAPABILITIES,
    "prompts": {"listChanged": True},
    "extensions": {TASKS: {}},
}

#: Everything an agent must know stands here, within what the strictest client keeps (2,048 characters).
PREFACE = """\
Runflow runs image, video and audio models, and Solutions: ready-made workflows for one job.

Two tools:
- list_models finds what to run. Look for a Solution first (category "solution"): if one does the job, use it; \
choose a raw model only when none does. Entries list their inputs.
- generate runs a model or Solution and waits for the result. Runs cost money.

Rules:
- model is "provider/slug" exactly as list_models gives it; input holds that entry's inputs.
- Media inputs are public https URLs, never local paths or inline data.
- Give every run a client_ref of your own (for example a short job name plus a random part). After a time-out, \
a lost connection or polling_timeout call generate again with the SAME model and client_ref: the run is found, \
not started and billed again. A new client_ref starts a new run.
- For long runs (video) wait=false returns at once with the run_id; call again with the same client_ref to wait.
- On an error read next_action and do that. After run_failed use a new client_ref.
- Output URLs expire: hand them to the person or download them.
- Each Solution is also a prompt (slash command) of this server.
"""


async def initialize(request: Request, ctx: RequestContext) -> Result:
    """The handshake of the revisions up to 2025-11-25. An unknown revision is answered with our latest."""
    requested = request.params.get("protocolVersion")
    if not isinstance(requested, str):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param protocolVersion must be a string.")
    return {
        "protocolVersion": negotiate(requested),
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER_INFO,
        "instructions": ctx.services.skill.current.cached(_instructions),
    }


async def discover(_request: Request, ctx: RequestContext) -> Result:
    """``server/discover`` (2026-07-28): what this server speaks and offers, without a handshake."""
    result = {
        "supportedVersions": SUPPORTED,
        "capabilities": MODERN_CAPABILITIES,
        "instructions": ctx.services.skill.current.cached(_instructions),
    }
    return with_cache_hints(result, ctx.protocol, round(ctx.services.config.catalog_ttl * 1000))


def _instructions(skill: SkillText) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(instructions(skill)))


def instructions(skill: SkillText) -> str:
    """The preface, then the skill."""
    return f"{PREFACE}\n---\n\n{skill.markdown}"


async def ping(_request: Request, _call: RequestContext) -> Result:
    return {}
