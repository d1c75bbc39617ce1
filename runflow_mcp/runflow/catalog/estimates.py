"""The estimated cost of one run of a raw model, as an amount per unit. Pure.

Only the four forms of price on Runflow's pages are read, and only where inputs of the model decide the number of units.
Anything else would be a guess.
"""

import re

import attrs

from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.catalog.entries import Model

_PRICE = re.compile(r"\$\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*/\s*(request|second|megapixel|image)")
#: Sets of inputs that decide the number of units; the first one that the model has is used.
_DECIDING = {
    "request": ((),),
    "second": (("duration",), ("duration_seconds",), ("seconds",)),
    "megapixel": (("image_size",), ("size",), ("width", "height")),
    "image": (("num_images",), ("number_of_images",), ("num_outputs",), ("n",)),
}
#: Inputs that multiply the seconds or megapixels of one result.
_COUNTS = ("num_images", "number_of_images", "num_outputs", "num_videos", "n")
_COUNTED = frozenset({"second", "megapixel"})


@attrs.frozen
class Estimate:
    """``amount``: US dollars for one ``unit``. ``depends_on``: the inputs that decide how many units a run has."""

    amount: float
    unit: str
    depends_on: tuple[str, ...]

    def listing(self) -> dict[str, JSON]:
        return {"amount": self.amount, "currency": "USD", "unit": self.unit, "depends_on": list(self.depends_on)}


def estimate(model: Model) -> Estimate | None:
    """None for a Solution, whose price needs no estimate, and where price and inputs do not decide the cost."""
    match = _PRICE.fullmatch(model.pricing.strip().lower()) if isinstance(model.pricing, str) else None
    if match is None or model.is_solution:
        return None
    unit = match[2]
    names = {model_input.name for model_input in model.inputs}
    for deciding in _DECIDING[unit]:
        if names.issuperset(deciding):
            counts = tuple(name for name in _COUNTS if name in names) if unit in _COUNTED else ()
            return Estimate(float(match[1]), unit, (*deciding, *counts))
    return None
