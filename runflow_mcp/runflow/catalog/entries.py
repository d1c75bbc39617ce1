"""The model catalog as values: entries read tolerantly from any of their known shapes, Solutions first.

Pure. The live document has not been seen; shapes and spellings come from Runflow's pages and public clients.
"""

import re

import attrs
import orjson

from runflow_mcp import lenient_json
from runflow_mcp.identifiers import model_problem
from runflow_mcp.json_types import JSON, JSONObject, deeper_than
from runflow_mcp.runflow.assets.media_inputs import MediaInputs
from runflow_mcp.runflow.catalog.memo import Memo
from runflow_mcp.runflow.catalog.model_inputs import Input, read_inputs
from runflow_mcp.runflow.reading import heavy_json
from runflow_mcp.runflow.reading.fields import parse_boolean, read_boolean, read_text

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
    {"deprecated", "retired", "archived", "draft", "hidden", "unavailable", "deleted", "removed", "discontinued"}
    | {"suspended", "paused", "offline", "unpublished", "coming soon", "sunset", "end of life", "not available"}
)
_RUNS_ENDPOINT = re.compile(r"(?:^|/)v1/models/([^?#\s]+)/runs/?(?:[?#].*)?$", re.DOTALL)
_MAX_DESCRIPTION = 1000
MAX_PRICING_DEPTH = 8
#: Values in a catalog; 300 models have some tens of thousands, and this many take 60 ms to parse.
MAX_CATALOG_VALUES = 200_000
#: Bytes of a catalog that is not strict JSON; the lenient parser blocks all threads for long.
MAX_LENIENT = 2 * 1024 * 1024


@attrs.frozen
class Model:
    """One active catalog entry. ``name``: what ``generate`` takes, as spelt in the entry's ``runs_endpoint``."""

    name: str
    provider_slug: str
    model_slug: str
    model_name: str
    category: str
    runs_endpoint: str
    description: str | None
    pricing: JSON
    inputs: tuple[Input, ...]

    @property
    def is_solution(self) -> bool:
        return self.provider_slug == SOLUTION_PROVIDER

    @property
    def media_inputs(self) -> MediaInputs:
        """Which of the inputs hold media."""
        return MediaInputs({each.name: each.type if each.type_stated else None for each in self.inputs})


class CatalogUnreadable(ValueError):
    """The document is not a catalog."""


@attrs.define(eq=False)
class Snapshot(Memo):
    """The models of one catalog document: Solutions first, then catalog order. ``skipped``: unreadable entries."""

    models: tuple[Model, ...]
    skipped: int = 0

    @property
    def solutions(self) -> tuple[Model, ...]:
        return tuple(model for model in self.models if model.is_solution)


def parse_catalog(body: bytes) -> Snapshot:
    """Read a catalog document; unreadable entries are skipped and counted.

    Raises ``CatalogUnreadable`` when the document as a whole is not a catalog. Takes seconds for megabytes.
    """
    if heavy_json.count_values(body) > MAX_CATALOG_VALUES:
        raise CatalogUnreadable(f"the catalog has more than {MAX_CATALOG_VALUES:,} values")
    try:
        document = (orjson.loads if len(body) > MAX_LENIENT else lenient_json.loads)(body)
    except ValueError as error:
        raise CatalogUnreadable("the catalog is not JSON") from error
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
    active = read_boolean(entry, "is_active", "active")
    if active is not None:
        return active
    for name in ("status", "status_code", "availability_status"):
        value = entry.get(name)
        # A number may be a code of another kind than 0 and 1.
        if isinstance(value, str | bool) and (parse_boolean(value) is False or _words(value) in _INACTIVE):
            return False
    return True


def model_of_endpoint(endpoint: str) -> str | None:
    """The model in a ``runs_endpoint`` (a path or a whole URL); None when that is malformed."""
    match = _RUNS_ENDPOINT.search(endpoint)
    return match[1] if match and model_problem(match[1]) is None else None


def _model(entry: JSON) -> Model | None:
    if not isinstance(entry, dict):
        return None
    endpoint_name = model_of_endpoint(read_text(entry, "runs_endpoint") or "")
    slug_name = _name_of_slugs(entry) or endpoint_name
    if slug_name is None:
        return None
    name = endpoint_name or slug_name
    provider, _, slug = slug_name.partition("/")
    description = read_text(entry, "description", "short_description", "summary")
    return Model(
        name=name,
        provider_slug=provider,
        model_slug=slug,
        model_name=read_text(entry, "model_name", "name", "title") or slug,
        category=_category(read_text(entry, "category", "category_code") or ""),
        runs_endpoint=f"/v1/models/{name}/runs",
        description=description[:_MAX_DESCRIPTION] if description else None,
        pricing=_pricing(entry),
        inputs=read_inputs(entry.get("inputs"), entry.get("input_schema")),
    )


def _name_of_slugs(entry: JSONObject) -> str | None:
    """The name made of the entry's slugs, if they are well-formed."""
    provider, slug = read_text(entry, "provider_slug", "provider"), read_text(entry, "model_slug", "slug")
    if slug and not provider:
        provider, _, slug = slug.partition("/")  # the API's own list gives "provider/slug" as the slug
    if not provider or not slug:
        return None
    name = f"{provider}/{slug.removeprefix(f'{provider}/')}"
    return name if model_problem(name) is None else None


def _pricing(entry: JSONObject) -> JSON:
    """The price in any shape, unless it is nested too deeply to be written: orjson reads deeper than it writes."""
    pricing = next((entry[key] for key in ("pricing", "pricing_note", "price") if _is_price(entry.get(key))), None)
    return None if deeper_than(pricing, MAX_PRICING_DEPTH) else pricing


def _is_price(value: JSON) -> bool:
    """Whether a value is a price: zero is, a boolean, an empty value and a blank text are not."""
    if isinstance(value, str):
        return bool(value.strip())
    return isinstance(value, int | float | list | dict) and not isinstance(value, bool) and value not in ([], {})


def _category(value: str) -> str:
    """``text_to_image`` and ``Text to image`` are ``text-to-image``."""
    return _words(value).replace(" ", "-")


def _words(value: object) -> str:
    return " ".join(str(value).lower().replace("_", " ").replace("-", " ").split())
