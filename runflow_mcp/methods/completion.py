"""``completion/complete``: the values of a prompt's argument or a template's variable that begin as typed."""

from collections.abc import Iterable, Mapping

import attrs

from runflow_mcp.json_types import JSON
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.prompts import find_prompt
from runflow_mcp.methods.resource_templates import Template
from runflow_mcp.methods.resources import TEMPLATES
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Request, Result

#: The specification's limit for one answer.
MAX_COMPLETIONS = 100
_TEMPLATES = {template.uri_template: template for template in TEMPLATES}
_WRONG_REF = (
    'The param ref must be {"type": "ref/prompt", "name": …}, or {"type": "ref/resource", "uri": …} with a URI '
    "template of resources/templates/list."
)


@attrs.frozen
class _Params:
    """``ref``: a prompt's name, or a template. ``typed``: case-folded. ``others``: the arguments already given."""

    ref: str | Template
    argument: str
    typed: str
    others: Mapping[str, str]


async def complete(request: Request, ctx: RequestContext) -> Result:
    """The values that match, ignoring case; none for an argument that takes any text."""
    params = _read_params(request)
    if isinstance(params.ref, Template):
        allowed: Iterable[str] = await _template_values(params.ref, params, ctx)
    else:
        model = await find_prompt(params.ref, ctx)
        allowed = next((known.texts for known in model.inputs if known.name == params.argument), ())
    values = [text for text in allowed if text.casefold().startswith(params.typed)]
    return {
        "completion": {
            "values": values[:MAX_COMPLETIONS],
            "total": len(values),
            "hasMore": len(values) > MAX_COMPLETIONS,
        }
    }


async def _template_values(template: Template, params: _Params, ctx: RequestContext) -> Iterable[str]:
    """The values of a variable; none while the catalog is unavailable."""
    ctx.record.resource = template.kind
    values = template.variables.get(params.argument)
    if values is None:
        return ()
    catalog = ctx.services.catalog
    if catalog.current is None:
        await catalog.first_attempt()
    return () if catalog.current is None else values(catalog.current, params.others)


def _read_params(request: Request) -> _Params:
    """The params that completion needs; the others are released."""
    params = request.take_params()
    argument, context = params.get("argument"), params.get("context")
    ref = _read_ref(params.get("ref"))
    if not isinstance(argument, dict) or not all(isinstance(argument.get(key), str) for key in ("name", "value")):
        raise ProtocolError(ErrorCode.INVALID_PARAMS, 'The param argument must be {"name": …, "value": …}.')
    given = context.get("arguments") if isinstance(context, dict) else None
    variables = ref.variables if isinstance(ref, Template) else ()
    others = {name: given[name] for name in variables if isinstance(given, dict) and isinstance(given.get(name), str)}
    return _Params(ref, argument["name"], argument["value"].casefold(), others)


def _read_ref(ref: JSON) -> str | Template:
    if isinstance(ref, dict):
        name, uri = ref.get("name"), ref.get("uri")
        if ref.get("type") == "ref/prompt" and isinstance(name, str):
            return name
        if ref.get("type") == "ref/resource" and isinstance(uri, str) and uri in _TEMPLATES:
            return _TEMPLATES[uri]
    raise ProtocolError(ErrorCode.INVALID_PARAMS, _WRONG_REF)
