"""The model catalog as values: entries read tolerantly from any of its known shapes, filtered and ordered.

Pure. The live document was never seen; shapes and spellings come from Runflow's pages and public clients.
"""

from collections.abc import Iterable, Mapping

import attrs
import orjson

from runflow_mcp import lenient_json
from runflow_mcp.jsontypes import JSON, JSONObject, deeper_than
from runflow_mcp.names import model_fault
from runflow_mcp.runflow.derived import Source

SOLUTION = "solution"
SOLUTION_PROVIDER = "runflow"
CATEGORIES = (
    "text-to-image",
    "image-to-image",
    "text-to-video",
    "image-to-video",
    "video-to-video",
    "text-to-audio",
    SOLUTION,
)
_INACTIVE = frozenset(
    {"inactive", "disabled", "deprecated", "retired", "archived", "draft", "hidden", "unavailable", "deleted"}
)
_MAX_ENUM = 200
_MAX_DESCRIPTION = 1000
MAX_PRICING_DEPTH = 8


@attrs.frozen
class Input:
    """One input of a model. ``values``: the allowed ones, empty when any will do."""

    name: str
    type: str
    required: bool
    values: tuple[JSON, ...] = ()
    description: str | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The allowed values as a person types them."""
        return tuple(one if isinstance(one, str) else orjson.dumps(one).decode() for one in self.values)


@attrs.frozen
class Model:
    """One active catalog entry."""

    provider_slug: str
    model_slug: str
    model_name: str
    category: str
    runs_endpoint: str
    description: str | None
    pricing: JSON
    inputs: tuple[Input, ...]

    @property
    def name(self) -> str:
        """What ``generate`` takes: ``provider/slug``."""
        return f"{self.provider_slug}/{self.model_slug}"

    @property
    def is_solution(self) -> bool:
        return self.provider_slug == SOLUTION_PROVIDER


class CatalogUnreadable(ValueError):
    """The document is no catalog."""


@attrs.define(eq=False)
class Snapshot(Source):
    """One reading of the catalog, Solutions first, then catalog order. Never changes."""

    models: tuple[Model, ...]
    skipped: int = 0

    @property
    def solutions(self) -> tuple[Model, ...]:
        return tuple(model for model in self.models if model.is_solution)


def parse_catalog(body: bytes) -> Snapshot:
    """Read a catalog document; bad entries are skipped and counted.

    Raises ``CatalogUnreadable`` when the document as a whole is no catalog.
    """
    try:
        document = lenient_json.loads(body)
    except ValueError as fault:
        raise CatalogUnreadable("the catalog is not JSON") from fault
    entries = document
    if isinstance(document, dict):
        entries = next((document[key] for key in ("models", "items") if document.get(key) is not None), None)
    if not isinstance(entries, list):
        raise CatalogUnreadable("the catalog is neither a list nor an object with models or items")
    models: dict[str, Model] = {}
    skipped = 0
    for entry in entries:
        if isinstance(entry, dict) and not _active(entry):
            continue
        model = _model(entry)
        if model is None or model.name in models:
            skipped += 1
        else:
            models[model.name] = model
    if entries and skipped == len(entries):
        raise CatalogUnreadable("no entry of the catalog can be read")
    ordered = sorted(models.values(), key=lambda model: not model.is_solution)
    return Snapshot(tuple(ordered), skipped)


def _active(entry: JSONObject) -> bool:
    for name in ("is_active", "active"):
        if isinstance(entry.get(name), bool):
            return bool(entry[name])
    for name in ("status", "status_code", "availability_status"):
        value = entry.get(name)
        if isinstance(value, str) and value.strip().lower() in _INACTIVE:
            return False
    return True


def _model(entry: JSON) -> Model | None:
    if not isinstance(entry, dict):
        return None
    provider, slug = _text(entry, "provider_slug", "provider"), _text(entry, "model_slug", "slug")
    endpoint = _text(entry, "runs_endpoint") or ""
    if endpoint.startswith("/v1/models/") and endpoint.endswith("/runs") and not (provider and slug):
        provider, _, slug = endpoint[len("/v1/models/") : -len("/runs")].partition("/")
    if slug and not provider:
        provider, _, slug = slug.partition("/")  # the API's own list gives "provider/slug" as the slug
    if not provider or not slug:
        return None
    slug = slug.removeprefix(f"{provider}/")
    name = f"{provider}/{slug}"
    if model_fault(name) is not None:
        return None
    description = _text(entry, "description", "short_description", "summary")
    return Model(
        provider_slug=provider,
        model_slug=slug,
        model_name=_text(entry, "model_name", "name", "title") or slug,
        category=_category(_text(entry, "category", "category_code") or ""),
        runs_endpoint=f"/v1/models/{name}/runs",
        description=description[:_MAX_DESCRIPTION] if description else None,
        pricing=_pricing(entry),
        inputs=_inputs(entry),
    )


def _pricing(entry: JSONObject) -> JSON:
    """A price in any shape that can be written again; orjson reads deeper than it writes."""
    pricing = next((entry[key] for key in ("pricing", "pricing_note", "price") if entry.get(key)), None)
    return None if deeper_than(pricing, MAX_PRICING_DEPTH) else pricing


def _category(value: str) -> str:
    """``text_to_image`` and ``Text to image`` are ``text-to-image``."""
    return "-".join(value.strip().lower().replace("_", " ").replace("-", " ").split())


def _inputs(entry: JSONObject) -> tuple[Input, ...]:
    listed = entry.get("inputs")
    if isinstance(listed, list) and listed:
        return _required_first(filter(None, map(_listed_input, listed)))
    schema = entry.get("input_schema") or listed
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        return ()
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    return _required_first(
        Input(
            name=name,
            type=_type(spec.get("type")),
            required=name in names,
            values=_values(spec),
            description=_text(spec, "description"),
        )
        for name, spec in schema["properties"].items()
        if isinstance(spec, dict)
    )


def _required_first(inputs: Iterable[Input]) -> tuple[Input, ...]:
    unique = {one.name: one for one in inputs}
    return tuple(sorted(unique.values(), key=lambda one: not one.required))


def _listed_input(item: JSON) -> Input | None:
    if not isinstance(item, dict) or not (name := _text(item, "name")):
        return None
    required = item.get("is_required") if item.get("required") is None else item["required"]
    return Input(
        name=name,
        type=_type(item.get("type") or item.get("variable_type_code")),
        required=required is True,
        values=_values(item),
        description=_text(item, "description"),
    )


def _type(value: JSON) -> str:
    if isinstance(value, list):  # JSON Schema's ["string", "null"]
        value = next((one for one in value if one != "null"), None)
    return value if isinstance(value, str) and value else "string"


def _values(item: Mapping[str, JSON]) -> tuple[JSON, ...]:
    listed = item.get("enum") or item.get("options")
    if not isinstance(listed, list):
        return ()
    plain = (one.get("value") if isinstance(one, dict) else one for one in listed)
    return tuple(one for one in plain if isinstance(one, str | int | float))[:_MAX_ENUM]


def _text(entry: JSONObject, *names: str) -> str | None:
    for name in names:
        value = entry.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def select(
    snapshot: Snapshot, *, category: str | None = None, provider: str | None = None, query: str | None = None
) -> list[int]:
    """Positions in ``snapshot.models`` that fit, exact hits of the query first, then prefixes, then the rest."""
    hits: list[tuple[int, int]] = []
    needle = (query or "").strip().casefold()
    wanted_provider = (provider or "").strip().casefold()
    for position, model in enumerate(snapshot.models):
        if category == SOLUTION:
            if not model.is_solution:
                continue
        elif category is not None and model.category != category:
            continue
        if wanted_provider and model.provider_slug.casefold() != wanted_provider:
            continue
        rank = _rank(model, needle) if needle else 0
        if rank is not None:
            hits.append((rank, position))
    return [position for _, position in sorted(hits)]


def _rank(model: Model, needle: str) -> int | None:
    texts = (model.model_name.casefold(), model.model_slug.casefold())
    if needle in texts:
        return 0
    if any(text.startswith(needle) for text in texts):
        return 1
    return 2 if any(needle in text for text in texts) else None
