"""The published documents: the catalog as typed models and in two JSON forms, and the skill.

Reads its two files on first use; must not import HTTP or runs.
"""

from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import attrs
import orjson

SOLUTIONS_PROVIDER = "runflow"

#: One model as an entry of ``catalog.json``.
Entry: TypeAlias = dict[str, Any]


@attrs.frozen
class ModelInput:
    """One input of a model; an empty ``allowed`` permits any value."""

    name: str
    required: bool
    allowed: tuple[object, ...]


@attrs.frozen
class CatalogModel:
    """What a run needs to know about its model; ``name`` is ``provider/slug``, ``title`` is for people."""

    name: str
    title: str = ""
    category: str = "text-to-image"
    price: str | None = None
    inputs: tuple[ModelInput, ...] = ()

    @property
    def is_solution(self) -> bool:
        return self.name.startswith(f"{SOLUTIONS_PROVIDER}/")

    @property
    def medium(self) -> str:
        """``image``, ``video`` or ``audio``."""
        return self.category.rpartition("-")[2]


@cache
def models() -> dict[str, CatalogModel]:
    """Every listed model by name, in catalog order."""
    listed = (
        CatalogModel(
            name=f"{entry['provider_slug']}/{entry['model_slug']}",
            title=entry["model_name"],
            category=entry["category"],
            price=entry["price"],
            inputs=tuple(
                ModelInput(item["name"], item["required"], tuple(item.get("enum", ()))) for item in entry["inputs"]
            ),
        )
        for entry in entries()
    )
    return {model.name: model for model in listed}


@cache
def entries() -> tuple[Entry, ...]:
    return tuple(orjson.loads(catalog_document())["models"])


@cache
def catalog_document() -> bytes:
    """The marketing site's ``models-catalog.json``."""
    return files(__package__).joinpath("catalog.json").read_bytes()


@cache
def skill_document() -> bytes:
    return files(__package__).joinpath("skill.md").read_bytes()


@cache
def public_models_document() -> bytes:
    """The same models as ``GET /v1/public/models`` returns them, under the API's field names."""
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
