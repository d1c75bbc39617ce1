"""The agent skill: as a resource, and as the entry of ``skills/list`` and ``skills/get`` (SEP-2640).

A host accepts a skill only if its bytes and front matter match the entry, so all three are made from one text.
"""

import hashlib

import attrs
import orjson

from runflow_mcp.json_types import JSON
from runflow_mcp.methods.context import RequestContext, Services
from runflow_mcp.methods.fixed_resources import FixedResource
from runflow_mcp.methods.pagination import reject_cursor
from runflow_mcp.methods.resource_errors import read_uri, shown_uri
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result
from runflow_mcp.protocol.results import with_cache_hints
from runflow_mcp.runflow.catalog.skill import SkillText

KIND = "skill"
NAME = "runflow"
#: The segment before the file is the skill's name. ``URI`` always works, since the instructions name it.
_URI = "skill://{name}/SKILL.md"
URI = _URI.format(name=NAME)
#: For a live skill without a description.
DESCRIPTION = "Run image, video and audio models and ready-made workflows (Solutions) on Runflow."


@attrs.frozen
class ServedSkill:
    """One version of the skill: the resource, and its entry as JSON."""

    resource: FixedResource
    entry: bytes = attrs.field(repr=False)


def served_skill(services: Services) -> ServedSkill:
    """The skill as this process has it now."""
    return services.skill.current.cached(_serve)


def skill_resource(services: Services) -> FixedResource:
    return served_skill(services).resource


async def skills_list(request: Request, ctx: RequestContext) -> Result:
    """``skills/list``: everything on one page."""
    reject_cursor(request.take_params())
    return _cached({"skills": orjson.Fragment(b"[" + served_skill(ctx.services).entry + b"]")}, ctx)


async def skills_get(request: Request, ctx: RequestContext) -> Result:
    """``skills/get``. Raises ``ProtocolError`` -32602, in every revision, for any URI but the skill's."""
    uri = read_uri(request)
    skill = served_skill(ctx.services)
    if uri != skill.resource.uri:
        message = "This server has no such skill; skills/list has the URIs."
        raise ProtocolError(ErrorCode.INVALID_PARAMS, message, {"uri": shown_uri(uri)})
    return _cached({"skill": orjson.Fragment(skill.entry)}, ctx)


def _cached(result: Result, ctx: RequestContext) -> Result:
    ctx.record.resource = KIND
    return with_cache_hints(result, ctx.protocol, round(ctx.services.skill.fresh_for() * 1000))


def _serve(skill: SkillText) -> ServedSkill:
    # Loads PyYAML, which nothing else needs: once a client asks for the skill, and not at the start.
    from runflow_mcp.runflow.catalog.front_matter import with_front_matter  # noqa: PLC0415

    text, front_matter = with_front_matter(skill.markdown, NAME, DESCRIPTION)
    name, description = str(front_matter["name"]), str(front_matter["description"])
    uri = _URI.format(name=name)
    resource = FixedResource(
        uri=uri,
        name=name,
        title="Runflow agent skill",
        description=description,
        mime_type="text/markdown",
        text=text,
        aliases=frozenset({URI}),
        kind=KIND,
    )
    raw = text.encode()
    file: dict[str, JSON] = {"uri": uri, "digest": f"sha256:{hashlib.sha256(raw).hexdigest()}", "size": len(raw)}
    return ServedSkill(resource, orjson.dumps({"uri": uri, "frontmatter": front_matter, "resources": [file]}))
