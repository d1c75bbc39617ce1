"""``runflow-model://{provider}/{+slug}``: one catalog entry as JSON, with an example of the call that runs it."""

from collections.abc import Mapping, Sequence
from itertools import chain

import orjson

from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.identifiers import model_problem
from runflow_mcp.json_types import JSON
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.resource_errors import not_found, unavailable
from runflow_mcp.methods.resource_templates import Reading, Template
from runflow_mcp.methods.tools.list_models import listing
from runflow_mcp.runflow.catalog.catalog import CatalogUnavailable
from runflow_mcp.runflow.catalog.entries import Model, Snapshot
from runflow_mcp.runflow.catalog.model_inputs import Input

_NOT_FOUND = "The catalog has no such model; list_models has the names."


async def _read(uri: str, name: str, ctx: RequestContext) -> Reading:
    if model_problem(name):
        raise not_found(_NOT_FOUND, uri, ctx.protocol)
    catalog = ctx.services.catalog
    try:
        snapshot = await catalog.snapshot()
    except CatalogUnavailable as error:
        message = f"The model catalog is unavailable: {error.reason}. Read the resource again in a minute."
        code = ToolErrorCode.CATALOG_FETCH_FAILED
        raise unavailable(ToolError(code, message, error.status), uri, ctx.request_id) from error
    model = snapshot.cached(_by_name).get(name)
    if model is None:
        raise not_found(_NOT_FOUND, uri, ctx.protocol)
    ctx.record.model = model.name
    stale: dict[str, JSON] = {} if (seconds := catalog.stale_seconds()) is None else {"stale_seconds": seconds}
    text = orjson.dumps({**listing(model), **stale, "example": _example(model)})
    return Reading(text, int(catalog.fresh_for() * 1000), "public")


def _by_name(snapshot: Snapshot) -> Mapping[str, Model]:
    """Each entry by its name, and by its slugs where they differ from it."""
    by_slugs = {f"{model.provider_slug}/{model.model_slug}": model for model in snapshot.models}
    return by_slugs | {model.name: model for model in snapshot.models}


def _example(model: Model) -> dict[str, JSON]:
    """The params of a ``tools/call`` that runs the model, with its required inputs."""
    values = {model_input.name: _example_value(model_input) for model_input in model.inputs if model_input.required}
    return {"name": "generate", "arguments": {"model": model.name, "input": values}}


def _example_value(model_input: Input) -> JSON:
    """The first allowed value, else a placeholder."""
    return model_input.values[0] if model_input.values else f"<{model_input.name}>"


def _slugs_by_provider(snapshot: Snapshot) -> Mapping[str, Sequence[str]]:
    """Providers in the catalog's order, each with the slugs of its models."""
    slugs: dict[str, list[str]] = {}
    for model in snapshot.models:
        provider, _, slug = model.name.partition("/")
        slugs.setdefault(provider, []).append(slug)
    return slugs


def _all_slugs(snapshot: Snapshot) -> Sequence[str]:
    """Every slug, once."""
    return list(dict.fromkeys(chain.from_iterable(snapshot.cached(_slugs_by_provider).values())))


def _providers(snapshot: Snapshot, _others: Mapping[str, str]) -> Sequence[str]:
    return list(snapshot.cached(_slugs_by_provider))


def _slugs(snapshot: Snapshot, others: Mapping[str, str]) -> Sequence[str]:
    """The slugs of the provider that was given, else of all."""
    if "provider" in others:
        return snapshot.cached(_slugs_by_provider).get(others["provider"], ())
    return snapshot.cached(_all_slugs)


TEMPLATE = Template(
    uri_template="runflow-model://{provider}/{+slug}",
    kind="model",
    name="model",
    title="Model or Solution",
    description="One catalog entry: inputs with their allowed values, price, and an example call of generate.",
    read=_read,
    variables={"provider": _providers, "slug": _slugs},
)
