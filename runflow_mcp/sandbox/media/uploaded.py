"""The pictures that a caller uploaded, reduced and pasted into the picture that a run returns.

Imports Pillow, so it must be imported only when a picture is drawn.
"""

import io
from collections.abc import Sequence

from PIL import Image, ImageOps

from runflow_mcp.sandbox.media.scenery import Size

#: Pictures that are shown, and pixels of one that is opened.
MAX_SHOWN, MAX_PIXELS = 4, 50_000_000
#: Shares of the frame: the part that the pictures fill, and the gap between them.
FILLED, GAP = 0.6, 0.03


def reduce_pictures(contents: Sequence[bytes], frame: Size) -> tuple[bytes, ...]:
    """The first pictures as PNGs that fit side by side into the frame; other files are left out."""
    shown = [picture for picture in map(_open, contents[:MAX_SHOWN]) if picture is not None]
    reduced = []
    for picture in shown:
        width = round(frame[0] * (FILLED - GAP * (len(shown) - 1)) / len(shown))
        fitted = ImageOps.contain(picture, (width, round(frame[1] * FILLED)))
        buffer = io.BytesIO()
        fitted.save(buffer, "PNG", compress_level=1)
        reduced.append(buffer.getvalue())
    return tuple(reduced)


def paste_pictures(picture: Image.Image, reduced: Sequence[bytes]) -> None:
    """Put reduced pictures side by side into the middle of a picture."""
    opened = [Image.open(io.BytesIO(content)).convert("RGBA") for content in reduced]
    gap = round(picture.width * GAP)
    left = (picture.width - sum(each.width for each in opened) - gap * (len(opened) - 1)) // 2
    for each in opened:
        picture.paste(each, (left, (picture.height - each.height) // 2), each)
        left += each.width + gap


def _open(content: bytes) -> Image.Image | None:
    try:
        with Image.open(io.BytesIO(content)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                return None
            return ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None  # the file is not a picture, whatever its name
