"""Media files: PNG, WebM and WAV, always the same bytes for the same arguments.

Keeps the last few files in memory. Each takes 0.1 to 1 second to draw: call these functions in a thread. Pillow is an
optional dependency and slow to import, so everything that needs it is imported on first use.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import attrs

from runflow_mcp.sandbox.media import melody
from runflow_mcp.sandbox.media.scenery import Size, choose_scene
from runflow_mcp.sandbox.media.webm import make_webm, vp8_frame

if TYPE_CHECKING:
    from PIL import Image

#: Enough for polls and viewers that read a file again; the largest files are about half a megabyte.
CACHED_FILES = 32
FRAMES, FRAME_RATE = 30, 12
#: WebP quality, which keeps a video under 400 KB, and effort, which keeps it fast.
FRAME_QUALITY, FRAME_EFFORT = 60, 2
#: zlib's level: higher ones take much longer and save little.
PNG_LEVEL = 4


@attrs.frozen
class PictureSpec:
    """What a picture shows. The caption is ``prompt``, or ``title`` if the typeface cannot write the prompt."""

    seed: bytes
    prompt: str
    title: str
    model: str
    #: The caller's uploaded pictures, reduced to small PNGs, which are shown in the middle.
    pictures: tuple[bytes, ...] = attrs.field(default=(), repr=False)

    @property
    def footer(self) -> str:
        return f"{self.model} · simulated by the Runflow sandbox"


@lru_cache(CACHED_FILES)
def png(spec: PictureSpec, size: Size) -> bytes:
    """A landscape with the first words of the prompt as its caption."""
    from runflow_mcp.sandbox.media import caption, painting, uploaded  # noqa: PLC0415 - see above

    picture = painting.paint(choose_scene(spec.seed, spec.prompt), size)
    uploaded.paste_pictures(picture, spec.pictures)
    caption.write(picture, caption.legible(spec.prompt, spec.title), spec.footer)
    return _encode_png(picture)


@lru_cache(CACHED_FILES)
def cutout_png(spec: PictureSpec, size: Size) -> bytes:
    """The uploaded pictures, else a landmark, on a transparent background, as a background removal returns them."""
    from PIL import Image  # noqa: PLC0415 - see above

    from runflow_mcp.sandbox.media import landmarks, uploaded  # noqa: PLC0415 - see above

    if not spec.pictures:
        return _encode_png(landmarks.cutout(choose_scene(spec.seed, spec.prompt), size))
    picture = Image.new("RGBA", size)
    uploaded.paste_pictures(picture, spec.pictures)
    return _encode_png(picture)


@lru_cache(CACHED_FILES)
def webm(spec: PictureSpec, size: Size) -> bytes:
    """2.5 seconds in which the sun sets and the water moves."""
    from runflow_mcp.sandbox.media import caption, painting, uploaded  # noqa: PLC0415 - see above

    scene, text = choose_scene(spec.seed, spec.prompt), caption.legible(spec.prompt, spec.title)
    frames = []
    for number in range(FRAMES):
        picture = painting.paint(scene, size, number / (FRAMES - 1))
        uploaded.paste_pictures(picture, spec.pictures)
        caption.write(picture, text, spec.footer)
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=FRAME_QUALITY, method=FRAME_EFFORT)
        frames.append(vp8_frame(buffer.getvalue()))
    return make_webm(frames, size=size, rate=FRAME_RATE)


@lru_cache(CACHED_FILES)
def wav(seed: bytes) -> bytes:
    """A short melody."""
    return melody.make_wav(seed)


def reduced(contents: Sequence[bytes], size: Size) -> tuple[bytes, ...]:
    """Uploaded pictures for a ``PictureSpec``, reduced for a file of this size."""
    if not contents:
        return ()
    from runflow_mcp.sandbox.media import uploaded  # noqa: PLC0415 - see above

    return uploaded.reduce_pictures(contents, size)


def _encode_png(picture: "Image.Image") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()
