"""Draws the landmark of a scene: a lighthouse, pines, a cabin, a boat or a balloon.

Coordinates are multiples of the landmark's height, from its foot upwards. Imports Pillow, so it must be imported only
when a picture is drawn.
"""

from collections.abc import Callable
from math import pi, sin
from typing import TypeAlias

import attrs
from PIL import Image

from runflow_mcp.sandbox.media.brush import Shapes, brush, mix
from runflow_mcp.sandbox.media.scenery import RGB, Light, Scene, Size

WHITE: RGB = (250, 246, 238)
LAMP: RGB = (255, 226, 140)
RED: RGB = (206, 62, 58)
WOOD: RGB = (120, 78, 58)
#: Distance of the near shore and the boats below the horizon, as a share of the height.
SHORE = 0.12


@attrs.frozen
class Place:
    """Where a landmark stands. ``foot`` and ``unit``, its height, are in pixels."""

    picture: Image.Image
    scene: Scene
    foot: tuple[float, float]
    unit: float

    @property
    def light(self) -> Light:
        return self.scene.light

    @property
    def sunny_side(self) -> int:
        """-1 for left, 1 for right."""
        return 1 if self.scene.sun_x > self.scene.landmark_x else -1

    @property
    def shadow(self) -> RGB:
        """The colour of silhouettes."""
        return mix(self.light.hills[1], (0, 0, 0), 0.25)

    def brush(self, colour: RGB) -> Shapes:
        return brush(self.picture, colour, origin=self.foot, unit=self.unit)


Draw: TypeAlias = Callable[[Place], None]


def draw_in_sky(picture: Image.Image, scene: Scene, progress: float) -> None:
    if scene.landmark == "balloon":
        foot = (picture.width * scene.landmark_x, picture.height * (scene.horizon - 0.2 - 0.04 * progress))
        _balloon(Place(picture, scene, foot, picture.height * 0.24))


def draw_on_shore(picture: Image.Image, scene: Scene, progress: float) -> None:
    """A landmark on a headland, or a boat."""
    x, y = picture.width * scene.landmark_x, picture.height * (scene.horizon + SHORE)
    unit = min(picture.size) * 0.3
    if scene.landmark == "boat":
        _boat(Place(picture, scene, (x, y + sin(4 * pi * progress) * unit * 0.02), unit * 0.85))
    elif scene.landmark in ON_LAND:
        place = Place(picture, scene, (x, y - picture.height * 0.035), unit)
        if scene.landmark == "lighthouse" and scene.light.lamps:
            _beams(place)
        ON_LAND[scene.landmark](place)
        _headland(picture, scene, y)


def cutout(scene: Scene, size: Size) -> Image.Image:
    """The landmark in RGBA, large, on a transparent background."""
    picture = Image.new("RGBA", size)
    unit = min(size) * 0.8
    LANDMARKS[scene.landmark](Place(picture, scene, (size[0] / 2, size[1] / 2 + unit / 2), unit))
    return picture


def _headland(picture: Image.Image, scene: Scene, y: float) -> None:
    """Low land from the nearer edge of the picture into the water."""
    width, height = picture.size
    edge, inwards = (-2.0, 1) if scene.landmark_x < 0.5 else (width + 2.0, -1)  # noqa: PLR2004 - the middle
    tip = width * (scene.landmark_x + 0.2 * inwards)
    random = scene.random("headland")
    shares = [step / 40 for step in range(41)]
    top = [
        (edge + (tip - edge) * share, y - height * ((1 - share**3) * 0.05 + random.uniform(-0.002, 0.002)))
        for share in shares
    ]
    with brush(picture, mix(scene.light.hills[1], (0, 0, 0), 0.25)) as shapes:
        shapes.polygon([*top, (tip, y + 2), ((edge + tip) / 2, y + height * 0.018), (edge, y + height * 0.026)])


def _beams(place: Place) -> None:
    """A light beam to each side, in slices of decreasing opacity."""
    slices, reach = 24, 2.2
    with place.brush(LAMP) as shapes:
        for side in (-1, 1):
            for number in range(slices):
                near, far = reach * number / slices, reach * (number + 1) / slices
                corners = [(near, -1), (near, 1), (far, 1), (far, -1)]
                beam = [
                    (side * along, 0.81 + 0.08 * side * along + edge * (0.02 + 0.09 * along)) for along, edge in corners
                ]
                shapes.polygon(beam, 0.34 * (1 - number / slices) ** 1.5)


def _lighthouse(place: Place) -> None:
    foot, neck, gallery = 0.115, 0.07, 0.74

    def half_width(height: float) -> float:
        return foot + (neck - foot) * height / gallery

    with place.brush(mix(WHITE, place.light.hills[0], 0.18)) as shapes:
        shapes.polygon([(-foot, 0), (-neck, gallery), (neck, gallery), (foot, 0)])
    with place.brush(mix(RED, place.light.hills[1], 0.15)) as shapes:
        for low, high in ((0.1, 0.22), (0.36, 0.48)):
            at_low, at_high = half_width(low), half_width(high)
            shapes.polygon([(-at_low, low), (-at_high, high), (at_high, high), (at_low, low)])
        shapes.polygon([(-neck, 0.88), (0, 0.98), (neck, 0.88)])
    with place.brush(place.shadow) as shapes:
        dark = -place.sunny_side
        shapes.polygon(
            [(dark * foot, 0), (dark * neck, gallery), (dark * 0.2 * neck, gallery), (dark * 0.3 * foot, 0)], 0.22
        )
        shapes.box((-0.1, 0.72), (0.1, 0.76))
        shapes.box((-0.05, 0.74), (0.05, 0.89))
        shapes.box((-0.012, 0.57), (0.012, 0.63))
    with place.brush(LAMP) as shapes:
        shapes.box((-0.035, 0.77), (0.035, 0.87))


def _pines(place: Place) -> None:
    random = place.scene.random("pines")
    trees = sorted((random.uniform(0.55, 1.0), number) for number in range(7))
    with place.brush(place.shadow) as shapes:
        for size, number in trees:
            middle = (number - 3) * 0.17 + random.uniform(-0.03, 0.03)
            shapes.box((middle - 0.012, -0.04), (middle + 0.012, 0.12))
            for tier in range(6):
                reach = 0.2 * (1 - tier / 6.6)
                tip = min(1.0, 0.34 + 0.15 * tier)
                outline = [(-1, 0), (-0.5, 0.06), (0, tip - 0.06 - 0.15 * tier), (0.5, 0.06), (1, 0), (0, 0.03)]
                shapes.polygon(
                    [(middle + size * reach * across, size * (0.06 + 0.15 * tier + up)) for across, up in outline]
                )


def _cabin(place: Place) -> None:
    x, y = place.foot
    _pines(attrs.evolve(place, foot=(x - place.unit * 0.1, y), unit=place.unit * 0.8))
    with place.brush(mix(place.light.hills[1], WOOD, 0.5)) as shapes:
        shapes.polygon([(-0.3, -0.03), (-0.3, 0.24), (0, 0.44), (0.3, 0.24), (0.3, -0.03)])
    with place.brush(place.shadow) as shapes:
        shapes.polygon([(-0.38, 0.18), (0, 0.42), (0.38, 0.18), (0.37, 0.24), (0, 0.5), (-0.37, 0.24)])
        shapes.box((0.15, 0.35), (0.21, 0.54))
        shapes.box((0.1, -0.03), (0.2, 0.14))
    with place.brush(LAMP) as shapes:
        for left in (-0.23, -0.12):
            for low in (0.07, 0.15):
                shapes.box((left, low), (left + 0.09, low + 0.07))


def _boat(place: Place) -> None:
    with place.brush(mix(WHITE, place.light.sky[2], 0.25)) as shapes:
        shapes.polygon([(0, 0.95), (0.1, 0.5), (0.36, 0.16), (0, 0.16)])
    with place.brush(mix(RED, place.light.sky[1], 0.2)) as shapes:
        shapes.polygon([(-0.03, 0.82), (-0.03, 0.17), (-0.27, 0.17)])
    with place.brush(place.shadow) as shapes:
        shapes.box((-0.025, 0.08), (-0.005, 0.99))
        shapes.polygon([(-0.4, 0.12), (0.4, 0.12), (0.27, 0), (-0.29, 0)])
        for number in range(5):
            shapes.ellipse((0, -0.03 - 0.035 * number), 0.3 - 0.045 * number, 0.008, 0.5 - 0.08 * number)


def _balloon(place: Place) -> None:
    middle, radius = 0.64, 0.36
    white, red = mix(WHITE, place.light.sky[2], 0.3), mix(RED, place.light.sky[1], 0.1)
    # From the outside in: each stripe covers the middle of the previous one.
    for share, colour in ((1.0, red), (0.72, white), (0.42, red), (0.14, white)):
        with place.brush(colour) as shapes:
            shapes.ellipse((0, middle), radius * share, radius)
            top, bottom = 0.31 * share, 0.07 * share
            shapes.polygon([(-top, 0.46), (-bottom, 0.17), (bottom, 0.17), (top, 0.46)])
    with place.brush(place.shadow) as shapes:
        for side in (-1, 1):
            shapes.polygon(
                [(side * across, up) for across, up in ((0.062, 0.17), (0.04, 0.08), (0.034, 0.08), (0.054, 0.17))]
            )
        shapes.polygon([(-0.05, 0.08), (0.05, 0.08), (0.04, 0), (-0.04, 0)])


ON_LAND: dict[str, Draw] = {"lighthouse": _lighthouse, "pines": _pines, "cabin": _cabin}
LANDMARKS: dict[str, Draw] = {**ON_LAND, "boat": _boat, "balloon": _balloon}
