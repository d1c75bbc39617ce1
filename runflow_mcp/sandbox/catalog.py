"""The models on offer: ``catalog.json`` as it is served, as typed entries, and in the API's own shape.

Reads its one file on first use; knows neither HTTP nor runs.
"""

from functools import cache
from importlib.resources import files

import attrs
import orjson

from runflow_mcp.sandbox.payload import Json, JsonObject

SOLUTIONS_PROVIDER = "runflow"


@attrs.frozen
class Input:
    """One input of a model; ``allowed`` is empty where any value goes."""

    name: str
    required: bool
    allowed: tuple[Json, ...]


@attrs.frozen
class Model:
    """What a run needs to know about its model; ``name`` is ``provider/slug``, ``title`` is for people."""

    name: str
    title: str = ""
    category: str = "text-to-image"
    price: str | None = None
    inputs: tuple[Input, ...] = ()

    @property
    def is_solution(self) -> bool:
        return self.name.startswith(f"{SOLUTIONS_PROVIDER}/")

    @property
    def medium(self) -> str:
        """``image``, ``video`` or ``audio``."""
        return self.category.rpartition("-")[2]


@cache
def document() -> bytes:
    """The marketing site's ``models-catalog.json``."""
    return files(__package__).joinpath("catalog.json").read_bytes()


@cache
def entries() -> tuple[JsonObject, ...]:
    return tuple(orjson.loads(document())["models"])


@cache
def models() -> dict[str, Model]:
    """Every listed model by name, in catalog order."""
    listed = (
        Model(
            name=f"{entry['provider_slug']}/{entry['model_slug']}",
            title=entry["model_name"],
            category=entry["category"],
            price=entry["price"],
            inputs=tuple(
                Input(item["name"], item["required"], tuple(item.get("enum", ()))) for item in entry["inputs"]
            ),
        )
        for entry in entries()
    )
    return {model.name: model for model in listed}


@cache
def public_document() -> bytes:
    """The same models as ``GET /v1/public/models`` has them, under the API's field names."""
    items = [
        {
            "slug": f"{entry['provider_slug']}/{entry['model_slug']}",
            "name": entry["model_name"],
            "description": entry["description"],
            "category_code": entry["category"].replace("-", "_"),
            "status_code": entry["status"],
            "pricing_note": entry["price"],
            "inputs": [
                {
                    "name": item["name"],
                    "description": item["description"],
                    "is_required": item["required"],
                    "variable_type_code": item["type"],
                    "options": item.get("enum"),
                }
                for item in entry["inputs"]
            ],
        }
        for entry in entries()
    ]
    return orjson.dumps({"items": items})
