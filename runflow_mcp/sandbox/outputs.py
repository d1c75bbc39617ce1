"""The media files that a run returns: how many, their names and sizes, and their content.

Pure. Nothing is stored: a file is drawn from the run's request whenever it is needed.
"""

import re
from collections.abc import Sequence

from runflow_mcp.sandbox.json_types import JSON, JSONObject, digest
from runflow_mcp.sandbox.media import files
from runflow_mcp.sandbox.media.files import PictureSpec
from runflow_mcp.sandbox.media.scenery import Size
from runflow_mcp.sandbox.requests import RunRequest

#: Output medium → file extension and content type.
FORMATS = {"image": ("png", "image/png"), "video": ("webm", "video/webm"), "audio": ("wav", "audio/wav")}
#: Models that return one object on a transparent background.
BACKGROUND_REMOVERS = {"runflow/background-removal", "bria/background/remove"}
MAX_IMAGES = 4
#: Characters, more than the widest caption holds: the cost of wrapping grows with the square of the length.
MAX_PROMPT = 400
#: Pixels of the shorter side. Inline pictures are small because every poll returns them.
PICTURE_SIDE, INLINE_PICTURE_SIDE, VIDEO_SIDE = 768, 192, 270
#: Width ÷ height where the input has none, and the limit, which bounds the number of pixels.
PICTURE_RATIO, VIDEO_RATIO, MAX_RATIO = 1.0, 16 / 9, 21 / 9
_PAIR = re.compile(r"(portrait|landscape)?_?(\d{1,5})[:x_](\d{1,5})")


def file_count(request: RunRequest) -> int:
    """``num_images`` of the input, within the limits of the models; 1 for video and audio."""
    count = request.input.get("num_images")
    if request.model.medium != "image" or not isinstance(count, int):
        return 1
    return max(1, min(count, MAX_IMAGES))


def file_name(request: RunRequest, number: int) -> str:
    return f"{number}.{FORMATS[request.model.medium][0]}"


def content_type(request: RunRequest) -> str:
    return FORMATS[request.model.medium][1]


def draw_file(request: RunRequest, number: int, *, inline: bool = False, pictures: Sequence[bytes] = ()) -> bytes:
    """File ``number``, counted from 0. Takes up to a second: call it in a thread.

    ``pictures``: the caller's uploads that the input names; they are shown in the file.
    """
    model, values = request.model, request.input
    seed = digest(model.name, values, number)
    if model.medium == "audio":
        return files.wav(seed)
    prompt = values.get("prompt")
    text = prompt[:MAX_PROMPT] if isinstance(prompt, str) else ""
    if model.medium == "video":
        draw, size = files.webm, size_of(aspect_ratio(values, VIDEO_RATIO), VIDEO_SIDE)
    else:
        draw = files.cutout_png if model.name in BACKGROUND_REMOVERS else files.png
        size = size_of(aspect_ratio(values, PICTURE_RATIO), INLINE_PICTURE_SIDE if inline else PICTURE_SIDE)
    shown = files.reduced(pictures, size)
    title = model.title or model.name
    return draw(PictureSpec(seed=seed, prompt=text, title=title, model=model.name, pictures=shown), size)


def aspect_ratio(values: JSONObject, default: float) -> float:
    """Width ÷ height by the inputs ``aspect_ratio`` and ``image_size``, whose resolution is ignored."""
    for name in ("aspect_ratio", "image_size"):
        pair = _width_and_height(values.get(name))
        if pair is not None:
            width, height = pair
            return min(max(width / height, 1 / MAX_RATIO), MAX_RATIO)
    return 1.0 if str(values.get("image_size", "")).startswith("square") else default


def size_of(ratio: float, shorter_side: int) -> Size:
    """Width and height in pixels, both even: VP8 stores colour for blocks of 2 × 2 pixels."""
    longer_side = 2 * round(shorter_side * max(ratio, 1 / ratio) / 2)
    return (longer_side, shorter_side) if ratio >= 1 else (shorter_side, longer_side)


def _width_and_height(value: JSON) -> tuple[int, int] | None:
    """From ``{"width", "height"}``, ``16:9``, ``1024x768`` or ``portrait_4_3``; None for anything else."""
    if isinstance(value, dict):
        width, height = value.get("width"), value.get("height")
        if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
            return width, height
        return None
    match = _PAIR.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    width, height = int(match[2]), int(match[3])
    if not width or not height:
        return None
    if match[1] is None:
        return width, height
    shorter, longer = sorted((width, height))
    return (shorter, longer) if match[1] == "portrait" else (longer, shorter)
