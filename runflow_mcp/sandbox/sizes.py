"""The width and height of a picture, from the inputs that models have for them.

Pure. Of ``aspect_ratio`` and ``image_size`` the sandbox takes the proportions; the resolution is its own.
"""

import re

from runflow_mcp.sandbox.media.scenery import Size
from runflow_mcp.sandbox.payload import Json, JsonObject

#: The shorter side of a picture, of one that is sent inline with every poll, and of a video; pixels.
PICTURE, INLINE_PICTURE, VIDEO = 768, 192, 270
#: Longer formats are clipped to this ratio, which bounds the number of pixels.
MOST = 21 / 9
_PAIR = re.compile(r"(portrait|landscape)?_?(\d{1,5})[:x_](\d{1,5})")


def proportions(values: JsonObject, default: float) -> float:
    """Width by height."""
    for name in ("aspect_ratio", "image_size"):
        pair = _pair(values.get(name))
        if pair is not None:
            width, height = pair
            return min(max(width / height, 1 / MOST), MOST)
    return 1.0 if str(values.get("image_size", "")).startswith("square") else default


def size(ratio: float, shorter: int) -> Size:
    """Both sides in pixels; even, as video formats like them."""
    longer = 2 * round(shorter * max(ratio, 1 / ratio) / 2)
    return (longer, shorter) if ratio >= 1 else (shorter, longer)


def _pair(value: Json) -> tuple[int, int] | None:
    if isinstance(value, dict):
        width, height = value.get("width"), value.get("height")
        if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
            return width, height
        return None
    match = _PAIR.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    one, other = int(match[2]), int(match[3])
    if not one or not other:
        return None
    if match[1] is None:
        return one, other
    return (min(one, other), max(one, other)) if match[1] == "portrait" else (max(one, other), min(one, other))
