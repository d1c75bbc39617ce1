"""Pictures take their proportions from the input, whatever form it has and whatever stands in it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.sandbox import catalog
from runflow_mcp.sandbox.sizes import MOST, proportions, size
from tests.sandbox.client import MODEL

ODD: list[Any] = ["auto", "0:0", "16:0", "", "16:9:4", 5, None, True, [], {}, {"width": 0, "height": 5}, {"width": "5"}]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, (768, 768)),
        ({"aspect_ratio": "1:1"}, (768, 768)),
        ({"aspect_ratio": "4:3"}, (1024, 768)),
        ({"aspect_ratio": "9:16"}, (768, 1366)),
        ({"aspect_ratio": "21:9"}, (1792, 768)),
        ({"aspect_ratio": "8:1"}, (1792, 768)),
        ({"aspect_ratio": "1:8"}, (768, 1792)),
        ({"image_size": "landscape_16_9"}, (1366, 768)),
        ({"image_size": "portrait_4_3"}, (768, 1024)),
        ({"image_size": "square_hd"}, (768, 768)),
        ({"image_size": "1536x1024"}, (1152, 768)),
        ({"image_size": {"width": 512, "height": 1024}}, (768, 1536)),
        *(({name: odd}, (768, 768)) for name in ("aspect_ratio", "image_size") for odd in ODD),
    ],
)
def test_a_picture_takes_the_proportions_of_the_input(values: Any, expected: tuple[int, int]) -> None:
    assert size(proportions(values, 1.0), 768) == expected


def test_every_aspect_ratio_of_the_catalog_is_understood() -> None:
    allowed = {item.name: item.allowed for item in catalog.models()[MODEL].inputs}["aspect_ratio"]
    assert {ratio: proportions({"aspect_ratio": ratio}, 0.0) for ratio in allowed}.pop("auto") == 0.0
    assert all(proportions({"aspect_ratio": ratio}, 0.0) > 0 for ratio in allowed if ratio != "auto")


def test_a_square_video_can_be_asked_for_where_wide_is_the_default() -> None:
    assert proportions({"image_size": "square"}, 16 / 9) == 1.0
    assert proportions({"image_size": "auto"}, 16 / 9) == 16 / 9


@given(st.floats(1 / MOST, MOST), st.sampled_from([192, 270, 768]))
def test_both_sides_are_even_and_the_shorter_one_is_fixed(ratio: float, shorter: int) -> None:
    sides = size(ratio, shorter)
    assert min(sides) == shorter
    assert all(side % 2 == 0 for side in sides)
