"""``resources/list``, ``resources/templates/list`` and ``resources/read``, for the rows of ``FIXED`` and ``TEMPLATES``.

Some hosts read the links of a result; the content of a link is its own URL. Nothing is fetched, since a server that
fetches any URL can be used to reach addresses inside its own network.
"""

from collections.abc import Callable

import orjson

from runflow_mcp.methods import model_resource, run_resource
from runflow_mcp.methods.context import RequestContext, Services
from runflow_mcp.methods.fixed_resources import FixedResource
from runflow_mcp.methods.pagination import reject_cursor
from runflow_mcp.methods.resource_errors import not_found, read_uri
from runflow_mcp.methods.resource_templates import Template, list_json
from runflow_mcp.methods.skills import skill_resource
from runflow_mcp.methods.view_resource import view_resource
from runflow_mcp.protocol.jsonrpc import Request, Result
from runflow_mcp.protocol.results import with_cache_hints
from runflow_mcp.runflow.reading.links import is_link

URI_LIST = "text/uri-list"
#: The resources at fixed URIs, in the order of ``resources/list``. Each returns its current version, which
#: is made once and not for each request.
FIXED: tuple[Callable[[Services], FixedResource], ...] = (skill_resource, view_resource)
#: The templates, in the order of ``resources/templates/list``.
TEMPLATES: tuple[Template, ...] = (model_resource.TEMPLATE, run_resource.TEMPLATE)
_TEMPLATES_JSON = list_json(TEMPLATES)
_BY_PREFIX = {template.prefix: template for template in TEMPLATES}
_NO_SUCH_URI = (
    "This resource does not exist. resources/list and resources/templates/list show those that exist; the http "
    "and https links of results can be read too."
)


async def list_resources(request: Request, ctx: RequestContext) -> Result:
    """``resources/list``: everything on one page."""
    reject_cursor(request.take_params())
    listings = [current(ctx.services).listing for current in FIXED]
    return _cached({"resources": orjson.Fragment(b"[" + b",".join(listings) + b"]")}, ctx)


async def list_templates(request: Request, ctx: RequestContext) -> Result:
    """``resources/templates/list``: everything on one page."""
    reject_cursor(request.take_params())
    ttl_ms = round(ctx.services.config.catalog_ttl * 1000)
    return with_cache_hints({"resourceTemplates": orjson.Fragment(_TEMPLATES_JSON)}, ctx.protocol, ttl_ms)


async def read(request: Request, ctx: RequestContext) -> Result:
    """``resources/read``. Raises ``ProtocolError``: unknown URIs, and resources that cannot be read now."""
    uri = read_uri(request)
    for current in FIXED:
        resource = current(ctx.services)
        if resource.answers(uri):
            ctx.record.resource = resource.kind
            return _cached({"contents": [resource.content(uri)]}, ctx)
    scheme, mark, rest = uri.partition("://")
    if template := _BY_PREFIX.get(scheme + mark):
        ctx.record.resource = template.kind
        reading = await template.read(uri, rest, ctx)
        return with_cache_hints({"contents": [reading.content(uri)]}, ctx.protocol, reading.ttl_ms, scope=reading.scope)
    if not is_link(uri):
        ctx.record.resource = "unknown"
        raise not_found(_NO_SUCH_URI, uri, ctx.protocol)
    ctx.record.resource = "link"
    content = {"uri": uri, "mimeType": URI_LIST, "text": uri}
    # Private and not cached: a signed URL belongs to its caller, and another read costs nothing.
    return with_cache_hints({"contents": [content]}, ctx.protocol, 0, scope="private")


def _cached(result: Result, ctx: RequestContext) -> Result:
    """A fixed resource, or their list; the skill is the only one that changes."""
    return with_cache_hints(result, ctx.protocol, round(ctx.services.skill.fresh_for() * 1000))
