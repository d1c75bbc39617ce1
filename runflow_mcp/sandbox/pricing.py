"""What a run costs: the list price times what the input asks for.

Pure; an estimate that looks like Runflow's figures, in US dollars.
"""

import re
from decimal import Decimal

from runflow_mcp.sandbox.catalog import Model
from runflow_mcp.sandbox.payload import JsonObject

#: For models whose price is not public.
DEFAULT_PRICE = "$0.10/request"
DEFAULT_VIDEO_SECONDS = 5
MAX_IMAGES = 4
CENTS_OF_CENTS = Decimal("0.0001")


def image_count(model: Model, values: JsonObject) -> int:
    """How many pictures a run makes: ``num_images``, within what the models allow."""
    wanted = values.get("num_images")
    if model.medium != "image" or not isinstance(wanted, int):
        return 1
    return max(1, min(wanted, MAX_IMAGES))


def cost(model: Model, values: JsonObject) -> str:
    """A decimal string, as the API has it."""
    price, _, unit = (model.price or DEFAULT_PRICE).removeprefix("$").partition("/")
    return str((Decimal(price) * _quantity(unit, model, values)).quantize(CENTS_OF_CENTS))


def _quantity(unit: str, model: Model, values: JsonObject) -> Decimal:
    if unit == "second":
        seconds = re.match(r"\d{1,2}", str(values.get("duration")))
        return Decimal(seconds[0] if seconds else DEFAULT_VIDEO_SECONDS)
    if unit == "1m-tokens":
        return Decimal(len(str(values.get("text", "")))) / 1_000_000
    # A request is one whatever it makes; a sandbox picture counts as one megapixel.
    return Decimal(1 if unit == "request" else image_count(model, values))
