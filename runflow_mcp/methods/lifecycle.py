"""``initialize`` and ``ping``, and the instructions that come with the first.

``initialize`` never waits for the network: it says what this process has of the skill at that moment.
"""

import orjson

from runflow_mcp import __version__
from runflow_mcp.jsontypes import JSON
from runflow_mcp.methods.call import Call
from runflow_mcp.protocol.jsonrpc import Code, ProtocolError, Request, Result
from runflow_mcp.protocol.revisions import Revision, negotiate
from runflow_mcp.runflow.skill import SkillText

SERVER_INFO: dict[str, JSON] = {
    "name": "Runflow",
    "title": "Runflow",
    "version": __version__,
    "description": "Runs image, video and audio models and ready-made Solutions on Runflow.",
    "websiteUrl": "https://www.runflow.io",
}
CAPABILITIES: dict[str, JSON] = {"tools": {}, "prompts": {}, "completions": {}}

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


async def initialize(request: Request, call: Call) -> Result:
    """The handshake of the revisions up to 2025-11-25. An unknown revision is answered with our latest."""
    requested = request.params.get("protocolVersion")
    if not isinstance(requested, str):
        raise ProtocolError(Code.INVALID_PARAMS, "The param protocolVersion must be a string.")
    results = call.services.skill.current.derive(_initialize_results)
    return results[negotiate(requested)]


def _initialize_results(skill: SkillText) -> dict[Revision, orjson.Fragment]:
    text = instructions(skill)
    return {
        revision: orjson.Fragment(
            orjson.dumps(
                {
                    "protocolVersion": revision,
                    "capabilities": CAPABILITIES,
                    "serverInfo": SERVER_INFO,
                    "instructions": text,
                }
            )
        )
        for revision in Revision
    }


def instructions(skill: SkillText) -> str:
    """The preface, then the skill."""
    return f"{PREFACE}\n---\n\n{skill.markdown}"


async def ping(_request: Request, _call: Call) -> Result:
    return {}
