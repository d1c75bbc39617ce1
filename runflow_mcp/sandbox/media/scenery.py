"""What a picture shows: light, landmark and positions, chosen from a seed and a text.

Pure; ``painting`` draws it.
"""

import re
from collections.abc import Sequence
from random import Random
from typing import TypeAlias, TypeVar

import attrs

RGB: TypeAlias = tuple[int, int, int]
#: Width and height in pixels.
Size: TypeAlias = tuple[int, int]
Chosen = TypeVar("Chosen")


@attrs.frozen
class Light:
    """A time of day. ``words`` select it, ``sky`` is from zenith to horizon, ``hills`` from farthest to nearest."""

    words: frozenset[str]
    sky: tuple[RGB, RGB, RGB]
    sun: RGB
    hills: tuple[RGB, RGB]
    night: bool = False
    lamps: bool = False


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LIGHTS = (
    Light(
        _words("dusk sunset evening twilight golden orange autumn"),
        ((43, 42, 92), (194, 80, 122), (255, 178, 107)),
        (255, 227, 163),
        ((168, 87, 127), (29, 20, 54)),
        lamps=True,
    ),
    Light(
        _words("dawn sunrise morning pink spring flower flowers"),
        ((95, 127, 191), (240, 166, 184), (255, 227, 194)),
        (255, 244, 214),
        ((180, 148, 184), (44, 58, 94)),
    ),
    Light(
        _words("day sunny noon blue summer beach sea ocean"),
        ((47, 127, 196), (140, 199, 234), (234, 247, 242)),
        (255, 251, 230),
        ((143, 185, 207), (18, 70, 92)),
    ),
    Light(
        _words("night moon moonlit midnight stars space dark neon"),
        ((5, 10, 36), (19, 41, 90), (74, 106, 160)),
        (242, 244, 255),
        ((52, 80, 138), (5, 10, 30)),
        night=True,
        lamps=True,
    ),
    Light(
        _words("forest green jungle garden mist fog rain"),
        ((31, 90, 99), (127, 191, 174), (243, 238, 200)),
        (255, 247, 209),
        ((134, 181, 160), (13, 47, 51)),
    ),
    Light(
        _words("aurora winter snow ice northern arctic"),
        ((11, 16, 56), (28, 106, 120), (159, 230, 195)),
        (244, 255, 251),
        ((61, 138, 150), (8, 26, 51)),
        night=True,
        lamps=True,
    ),
    Light(
        _words("desert red fire volcano mars storm dramatic"),
        ((58, 16, 48), (184, 50, 61), (247, 160, 75)),
        (255, 224, 138),
        ((156, 61, 74), (36, 10, 36)),
    ),
)

LANDMARKS = {
    "lighthouse": _words("lighthouse tower beacon coast"),
    "boat": _words("boat ship sail sailing sailboat yacht lake"),
    "pines": _words("tree trees pine pines forest wood woods mountain mountains"),
    "cabin": _words("house cabin cottage home village hut"),
    "balloon": _words("balloon balloons flying sky air cloud clouds"),
}


@attrs.frozen
class Scene:
    """``sun_x`` and ``landmark_x`` are shares of the width, ``sun_y`` and ``horizon`` of the height.

    ``seed`` determines the random details: ridges, stars, clouds, waves.
    """

    seed: int
    light: Light
    landmark: str
    sun_x: float
    sun_y: float
    horizon: float
    landmark_x: float

    def random(self, purpose: str) -> Random:
        """A generator that depends only on the seed and the purpose."""
        return Random(f"{self.seed}/{purpose}")


def choose_scene(seed: bytes, text: str) -> Scene:
    """The words of the text choose light and landmark if they name any; the seed chooses everything else."""
    number = int.from_bytes(seed)
    random = Random(number)
    text_words = frozenset(re.findall(r"[a-z]+", text.lower()))
    light = _first_named([(light.words, light) for light in LIGHTS], text_words, random)
    landmark = _first_named([(words, name) for name, words in LANDMARKS.items()], text_words, random)
    left = random.random() < 0.5  # noqa: PLR2004 - even chances
    sun_x = random.uniform(0.56, 0.8)
    landmark_x = random.uniform(0.17, 0.3)
    return Scene(
        seed=number,
        light=light,
        landmark=landmark,
        sun_x=sun_x if left else 1 - sun_x,
        sun_y=random.uniform(0.2, 0.4),
        horizon=random.uniform(0.56, 0.62),
        landmark_x=landmark_x if left else 1 - landmark_x,
    )


def _first_named(
    choices: Sequence[tuple[frozenset[str], Chosen]], text_words: frozenset[str], random: Random
) -> Chosen:
    """The first choice with a word of the text; a random one if there is none."""
    # Drawn even if unused, so that later random numbers do not depend on the text.
    index = int(random.random() * len(choices))
    return next((choice for words, choice in choices if words & text_words), choices[index][1])
