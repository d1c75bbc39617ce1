"""Pictures take their aspect ratio from the input in any of its forms; invalid values are ignored."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.sandbox import catalog
from runflow_mcp.sandbox.outputs import MAX_RATIO, aspect_ratio, size_of
from tests.sandbox.api_client import MODEL

BAD: list[Any] = ["auto", "0:0", "16:0", "", "16:9:4", 5, None, True, [], {}, {"width": 0, "height": 5}, {"width": "5"}]


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
        *(({name: value}, (768, 768)) for name in ("aspect_ratio", "image_size") for value in BAD),
    ],
)
def test_the_size_of_a_picture_follows_the_aspect_ratio_of_the_input(values: Any, expected: tuple[int, int]) -> None:
    assert size_of(aspect_ratio(values, 1.0), 768) == expected


def test_every_aspect_ratio_of_the_catalog_is_parsed() -> None:
    allowed = {item.name: item.allowed for item in catalog.models()[MODEL].inputs}["aspect_ratio"]
    assert {ratio: aspect_ratio({"aspect_ratio": ratio}, 0.0) for ratio in allowed}.pop("auto") == 0.0
    assert all(aspect_ratio({"aspect_ratio": ratio}, 0.0) > 0 for ratio in allowed if ratio != "auto")


def test_an_input_can_request_a_square_video_although_wide_is_the_default() -> None:
    assert aspect_ratio({"image_size": "square"}, 16 / 9) == 1.0
    assert aspect_ratio({"image_size": "auto"}, 16 / 9) == 16 / 9


@given(st.floats(1 / MAX_RATIO, MAX_RATIO), st.sampled_from([192, 270, 768]))
def test_both_sides_are_even_and_the_shorter_one_is_fixed(ratio: float, shorter: int) -> None:
    sides = size_of(ratio, shorter)
    assert min(sides) == shorter
    assert all(side % 2 == 0 for side in sides)
