"""Soft-edged shapes, gradients and mixed colours: what ``painting`` needs beyond Pillow's own drawing.

Imports Pillow, so it must be imported only when a picture is drawn.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import TypeAlias

import attrs
from PIL import Image, ImageDraw

from runflow_mcp.sandbox.media.scenery import RGB, Size

Point: TypeAlias = tuple[float, float]

#: Pillow's shapes have hard edges: they are drawn this many times larger and scaled down.
SCALE = 2


@attrs.frozen
class Brush:
    """Draws into a mask. ``opacity`` is 0 to 1. ``_origin`` and ``_unit``: see ``brush``."""

    _draw: ImageDraw.ImageDraw
    _origin: Point | None
    _unit: float

    def polygon(self, points: Sequence[Point], opacity: float = 1.0) -> None:
        self._draw.polygon([self._place(point) for point in points], fill=_level(opacity))

    def box(self, first: Point, second: Point) -> None:
        """A rectangle between two opposite corners."""
        self.polygon([first, (second[0], first[1]), second, (first[0], second[1])])

    def ellipse(self, centre: Point, width: float, height: float, opacity: float = 1.0) -> None:
        """``width`` and ``height`` are measured from the centre to the edge."""
        x, y = self._place(centre)
        across, up = width * self._unit * SCALE, height * self._unit * SCALE
        self._draw.ellipse((x - across, y - up, x + across, y + up), fill=_level(opacity))

    def _place(self, point: Point) -> Point:
        x, y = point
        if self._origin is not None:
            x, y = self._origin[0] + x * self._unit, self._origin[1] - y * self._unit
        return x * SCALE, y * SCALE


Shapes: TypeAlias = AbstractContextManager[Brush]


@contextmanager
def brush(
    picture: Image.Image, fill: RGB | Image.Image, *, origin: Point | None = None, unit: float = 1.0
) -> Iterator[Brush]:
    """Draw shapes filled with one colour, or with a picture of the same size as ``picture``.

    Coordinates are pixels from the top left. With an ``origin`` (in pixels) they are multiples of ``unit`` pixels from
    there, with y upwards.
    """
    large = Image.new("L", (picture.width * SCALE, picture.height * SCALE))
    yield Brush(ImageDraw.Draw(large), origin, unit)
    mask = large.reduce(SCALE)
    if picture.mode == "RGBA":
        # Pasting would mix the colour with the black of transparent pixels.
        layer = fill.convert("RGBA") if isinstance(fill, Image.Image) else Image.new("RGBA", picture.size, (*fill, 255))
        layer.putalpha(mask)
        picture.alpha_composite(layer)
    elif box := mask.getbbox():
        picture.paste(fill.crop(box) if isinstance(fill, Image.Image) else fill, box, mask.crop(box))


def gradient(size: Size, colours: Sequence[RGB], *, start: int = 0, end: int | None = None) -> Image.Image:
    """From top to bottom; rows above ``start`` have the first colour, rows below ``end`` the last."""
    column = _column(size[1], tuple(colours), start, size[1] if end is None else end)
    return column.resize(size, Image.Resampling.NEAREST)


@lru_cache(16)  # the frames of a video share most of them
def _column(height: int, colours: tuple[RGB, ...], start: int, end: int) -> Image.Image:
    rows = []
    steps = len(colours) - 1
    for y in range(height):
        place = min(max((y - start) / max(1, end - start), 0.0), 1.0) * steps
        step = min(int(place), steps - 1)
        rows.append(mix(colours[step], colours[step + 1], place - step))
    column = Image.new("RGB", (1, height))
    column.putdata(rows)
    return column


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """``share`` of the second colour, from 0 to 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def scale_mask(mask: Image.Image, strength: float) -> Image.Image:
    """A mask with every value scaled."""
    return mask.point([round(value * strength) for value in range(256)])


def glow_mask(side: int, strength: float) -> Image.Image:
    """A square mask: ``strength`` in the centre, falling to nothing at the edges."""
    # Pillow's radial gradient grows by the square root of 2 for each pixel of its radius of 128.
    levels = [round(255 * strength * max(0.0, 1 - value / (128 * 2**0.5)) ** 2) for value in range(256)]
    return Image.radial_gradient("L").point(levels).resize((side, side), Image.Resampling.BILINEAR)


def _level(opacity: float) -> int:
    return round(255 * min(max(opacity, 0.0), 1.0))
