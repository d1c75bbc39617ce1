"""Draws a scene with Pillow: sky, sun or moon, clouds, hills, water that reflects them, and a landmark.

Deterministic. Imports Pillow, so it must be imported only when a picture is drawn.
"""

from functools import lru_cache
from math import pi, sin

from PIL import Image, ImageDraw, ImageFilter

from runflow_mcp.sandbox.media import landmarks
from runflow_mcp.sandbox.media.brush import brush, glow_mask, gradient, mix, scale_mask
from runflow_mcp.sandbox.media.scenery import Scene, Size

HILLS = 4
STARS = 150
#: How far the sun sinks during a video, as a share of the height.
SUN_DESCENT = 0.16
#: Line widths and wave heights are given for pictures of this width.
REFERENCE_WIDTH = 768


def paint(scene: Scene, size: Size, progress: float = 0.0) -> Image.Image:
    """The scene in RGB. ``progress`` is the position in a video, 0 to 1: the sun sinks, clouds and water move."""
    horizon = int(size[1] * scene.horizon)
    evening = [mix(colour, scene.light.hills[1], 0.3 * progress) for colour in scene.light.sky]
    picture = gradient(size, evening, end=horizon)
    if scene.light.night:
        _stars(picture, scene, horizon)
    _sun(picture, scene, progress)
    _clouds(picture, scene, horizon, progress)
    _hills(picture, scene, horizon)
    landmarks.draw_in_sky(picture, scene, progress)
    _water(picture, scene, horizon, progress)
    _glitter(picture, scene, horizon, progress)
    landmarks.draw_on_shore(picture, scene, progress)
    return picture


def _sun(picture: Image.Image, scene: Scene, progress: float) -> None:
    radius = min(picture.size) * (0.045 if scene.light.night else 0.06)
    x, y = int(picture.width * scene.sun_x), int(picture.height * (scene.sun_y + SUN_DESCENT * progress))
    for reach, strength in ((10.0, 0.6), (3.5, 0.55)):
        side = int(radius * reach) * 2
        picture.paste(scene.light.sun, (x - side // 2, y - side // 2), glow_mask(side, strength))
    with brush(picture, scene.light.sun) as shapes:
        shapes.ellipse((x, y), radius, radius)


def _stars(picture: Image.Image, scene: Scene, horizon: int) -> None:
    random = scene.random("stars")
    with brush(picture, (255, 255, 255)) as shapes:
        for _ in range(STARS):
            x, y = random.random() * picture.width, random.random() ** 1.4 * horizon
            radius = random.uniform(0.5, 1.4) * picture.width / REFERENCE_WIDTH
            shapes.ellipse((x, y), radius, radius, opacity=random.uniform(0.25, 0.9))


def _clouds(picture: Image.Image, scene: Scene, horizon: int, progress: float) -> None:
    # Drawn small and scaled up: clouds have no edges.
    small = Image.new("L", (picture.width // 4, picture.height // 4))
    draw = ImageDraw.Draw(small)
    random = scene.random("clouds")
    for _ in range(5):
        x = (random.uniform(-0.1, 1.0) + progress * random.uniform(0.02, 0.05)) * small.width
        y = random.uniform(0.1, 0.8) * horizon / 4
        length = random.uniform(0.14, 0.36) * small.width
        for _ in range(9):
            at, reach = x + random.random() * length, length * random.uniform(0.1, 0.28)
            lift = (random.random() - 0.5) * small.height / 18
            draw.ellipse((at - reach, y + lift - reach / 6, at + reach, y + lift + reach / 6), fill=170)
    soft = small.filter(ImageFilter.GaussianBlur(small.width / 75)).resize(picture.size, Image.Resampling.BICUBIC)
    colour = mix(scene.light.sky[2], scene.light.sun, 0.5)
    picture.paste(colour, (0, 0), scale_mask(soft, 0.3 if scene.light.night else 0.75))


def _hills(picture: Image.Image, scene: Scene, horizon: int) -> None:
    """Ridges from the farthest, highest and palest to the nearest; each fades into haze at its foot."""
    width, height = picture.size
    far, near = scene.light.hills
    for number in range(HILLS):
        depth = number / (HILLS - 1)
        base, reach = horizon - height * (0.13 - 0.11 * depth), height * (0.1 - 0.07 * depth)
        points = [(x, base - reach * up) for x, up in _ridge(scene, number, width)]
        colour = mix(far, near, depth**1.3)
        top = int(min(y for _, y in points))
        fill = gradient(
            picture.size, (colour, mix(colour, scene.light.sky[2], 0.45 - 0.33 * depth)), start=top, end=horizon
        )
        with brush(picture, fill) as shapes:
            shapes.polygon([*points, (width + 3, height), (0, height)])


@lru_cache(2 * HILLS)  # the frames of a video share them
def _ridge(scene: Scene, number: int, width: int) -> tuple[tuple[int, float], ...]:
    """``(x, height)`` for every third pixel; heights are about -1 to 1: a sum of ever shorter and lower waves."""
    random = scene.random(f"ridge {number}")
    (frequency, phase, size), *shorter = (
        (random.uniform(0.7, 1.3) * 1.9**octave, random.random() * 2 * pi, random.uniform(0.5, 1.0) * 0.48**octave)
        for octave in range(7)
    )

    def height(position: float) -> float:
        # Absolute values turn the shorter waves into peaks.
        peaks = sum(
            size * (0.6 - 1.2 * abs(sin(pi * frequency * position + phase))) for frequency, phase, size in shorter
        )
        return size * 0.6 * sin(2 * pi * frequency * position + phase) + peaks

    return tuple((x, height(x / width)) for x in range(0, width + 3, 3))


def _water(picture: Image.Image, scene: Scene, horizon: int, progress: float) -> None:
    """The darkened reflection of the picture above, distorted by waves that grow towards the viewer."""
    width, depth = picture.width, picture.height - horizon
    deep = scene.light.hills[1]
    mirror = picture.crop((0, horizon - depth, width, horizon)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    mirror = Image.blend(mirror, Image.new("RGB", mirror.size, mix(deep, scene.light.sky[1], 0.35)), 0.3)
    mirror = mirror.filter(ImageFilter.GaussianBlur(width / 450))
    random = scene.random("waves")
    first, second = random.random() * 2 * pi, random.random() * 2 * pi
    turn = 2 * pi * 3 * progress
    # Wider than the picture, so that a shifted row leaves no gap at the edge.
    margin = 16 * width // REFERENCE_WIDTH + 1
    mirror = mirror.resize((width + 2 * margin, depth))
    for y in range(depth):
        near = y / depth
        swell = sin(60 * near**0.6 + first - turn) + 0.7 * sin(140 * near**0.7 + second + turn)
        left = margin + round(swell * (1 + 8 * near) * width / REFERENCE_WIDTH)
        picture.paste(mirror.crop((left, y, left + width, y + 1)), (0, horizon + y))
    shade = Image.linear_gradient("L").resize((width, depth))
    picture.paste(mix(deep, (0, 0, 0), 0.3), (0, horizon), scale_mask(shade, 0.6))


def _glitter(picture: Image.Image, scene: Scene, horizon: int, progress: float) -> None:
    """The path of light under the sun: short strokes, wider and sparser towards the viewer."""
    width, height = picture.size
    random = scene.random("glitter")
    with brush(picture, scene.light.sun) as shapes:
        for _ in range(170):
            near = random.random() ** 1.5
            x = width * scene.sun_x + (random.random() + random.random() - 1) * (0.03 + 0.13 * near) * width
            y = horizon + 2 + near * 0.75 * (height - horizon)
            length = random.uniform(0.3, 1) * (0.006 + 0.028 * near) * width
            thickness = max(0.4, (0.5 + 1.4 * near) * width / REFERENCE_WIDTH)
            pulse = 0.5 + 0.5 * sin(2 * pi * (2 * progress + random.random()))
            shapes.ellipse((x, y), length, thickness, opacity=(1 - 0.65 * near) * (0.25 + 0.65 * pulse))
