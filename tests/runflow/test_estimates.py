"""The estimate of what a run costs: four forms of price, and the inputs that decide the number of units."""

import pytest

from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.catalog.entries import Model
from runflow_mcp.runflow.catalog.estimates import Estimate, estimate
from runflow_mcp.runflow.catalog.model_inputs import Input


def model(pricing: JSON, *inputs: str, provider: str = "google") -> Model:
    return Model(
        name=f"{provider}/m",
        provider_slug=provider,
        model_slug="m",
        model_name="M",
        category="text-to-image",
        runs_endpoint=f"/v1/models/{provider}/m/runs",
        description=None,
        pricing=pricing,
        inputs=tuple(Input(name, "string", required=False) for name in inputs),
    )


@pytest.mark.parametrize(
    ("pricing", "inputs", "amount", "depends_on"),
    [
        ("$0.018/request", ("image_url",), 0.018, ()),
        ("$0.14/second", ("prompt", "duration"), 0.14, ("duration",)),
        ("$0.14/second", ("duration", "num_videos"), 0.14, ("duration", "num_videos")),
        ("$0.03/megapixel", ("image_size", "num_images"), 0.03, ("image_size", "num_images")),
        ("$0.03/megapixel", ("height", "width"), 0.03, ("width", "height")),
        ("$0.075/image", ("prompt", "num_images"), 0.075, ("num_images",)),
        (" $ 1 / Image ", ("num_images",), 1.0, ("num_images",)),
    ],
)
def test_the_four_forms_of_price_are_read(
    pricing: str, inputs: tuple[str, ...], amount: float, depends_on: tuple[str, ...]
) -> None:
    unit = pricing.lower().split("/")[1].strip()
    assert estimate(model(pricing, *inputs)) == Estimate(amount, unit, depends_on)


@pytest.mark.parametrize(
    ("pricing", "inputs"),
    [
        ("$0.14/second", ("video_url", "prompt")),
        ("$0.075/image", ("image_url",)),
        ("$0.03/megapixel", ("width",)),
        ("$100/1m-tokens", ("text", "duration", "num_images")),
        ("from $0.14/second", ("duration",)),
        ("$0.14/second or $0.20/second with audio", ("duration",)),
        ("0.14/second", ("duration",)),
        ("$-1/request", ()),
        (0.14, ("duration",)),
        ({"usd": 0.14}, ("duration",)),
        (None, ("duration",)),
    ],
    ids=str,
)
def test_other_prices_and_inputs_give_no_estimate(pricing: JSON, inputs: tuple[str, ...]) -> None:
    assert estimate(model(pricing, *inputs)) is None


def test_a_solution_has_no_estimate() -> None:
    assert estimate(model("$0.35/request", provider="runflow")) is None
