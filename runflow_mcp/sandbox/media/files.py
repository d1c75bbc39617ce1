"""The media files of runs: pictures, videos and sounds, the same bytes for the same request.

Draws when asked and remembers a few. Pillow is an optional dependency and takes a while to import, so what
needs it is imported when the first picture is asked for. Drawing takes from 0.1 to 1 second: not for an event loop.
"""

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import attrs

from runflow_mcp.sandbox.media import melody
from runflow_mcp.sandbox.media.scenery import Size, choose
from runflow_mcp.sandbox.media.webm import vp8_frame, webm

if TYPE_CHECKING:
    from PIL import Image

#: As many files as polls and viewers may soon ask for again; the largest are about half a megabyte.
CACHED_FILES = 32
FRAMES, FRAME_RATE = 30, 12
#: WebP quality, which keeps a video under 400 KB, and effort, which keeps it fast.
FRAME_QUALITY, FRAME_EFFORT = 60, 2
#: zlib's level: beyond it a picture gets little smaller and takes much longer.
PNG_LEVEL = 4


@attrs.frozen
class Motif:
    """What is to be seen: ``prompt`` decides and captions the scene, ``title`` stands in where it cannot."""

    seed: bytes
    prompt: str
    title: str
    model: str

    @property
    def small_print(self) -> str:
        return f"{self.model} · simulated by the Runflow sandbox"


@lru_cache(CACHED_FILES)
def png(motif: Motif, size: Size) -> bytes:
    """A landscape with the first words of the prompt in it."""
    from runflow_mcp.sandbox.media import caption, painting  # noqa: PLC0415 - see above

    picture = painting.paint(choose(motif.seed, motif.prompt), size)
    caption.write(picture, caption.legible(motif.prompt, motif.title), motif.small_print)
    return _encoded(picture)


@lru_cache(CACHED_FILES)
def cut_out(motif: Motif, size: Size) -> bytes:
    """A PNG with one thing on a transparent ground: what the removal of a background leaves."""
    from runflow_mcp.sandbox.media import landmarks  # noqa: PLC0415 - see above

    return _encoded(landmarks.alone(choose(motif.seed, motif.prompt), size))


@lru_cache(CACHED_FILES)
def video(motif: Motif, size: Size) -> bytes:
    """A WebM of 2.5 seconds: the sun sinks, the water moves."""
    from runflow_mcp.sandbox.media import caption, painting  # noqa: PLC0415 - see above

    scene, words = choose(motif.seed, motif.prompt), caption.legible(motif.prompt, motif.title)
    frames = []
    for number in range(FRAMES):
        picture = painting.paint(scene, size, number / (FRAMES - 1))
        caption.write(picture, words, motif.small_print)
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=FRAME_QUALITY, method=FRAME_EFFORT)
        frames.append(vp8_frame(buffer.getvalue()))
    return webm(frames, size=size, rate=FRAME_RATE)


@lru_cache(CACHED_FILES)
def wav(seed: bytes) -> bytes:
    """A short melody."""
    return melody.wav(seed)


def _encoded(picture: "Image.Image") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()
