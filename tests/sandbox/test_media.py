"""Pictures, videos and sounds: deterministic, different from one another, and made of the prompt."""

import io
import subprocess
import sys
import wave
from hashlib import sha256
from itertools import pairwise

import pytest
from PIL import Image, ImageChops, ImageStat

from runflow_mcp.sandbox.media import files as media
from runflow_mcp.sandbox.media import melody
from runflow_mcp.sandbox.media.files import Motif
from runflow_mcp.sandbox.media.landmarks import LANDMARKS as DRAWN
from runflow_mcp.sandbox.media.painting import paint
from runflow_mcp.sandbox.media.scenery import LANDMARKS, LIGHTS, choose

#: Small ones are drawn fast and have everything that large ones have.
SIZE = (192, 192)
PROMPTS = ["a lighthouse at dusk", "a red dragon", "pines", "a boat at noon", "a cabin", "balloons at night", "x", ""]


def motif(prompt: str, number: int = 0) -> Motif:
    seed = sha256(f"{prompt}/{number}".encode()).digest()
    return Motif(seed=seed, prompt=prompt, title="Nano Banana 2", model="google/nano-banana-2")


def picture(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def difference(one: bytes, other: bytes) -> float:
    """Mean difference of the colour values, 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(picture(one), picture(other))).mean)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_same_motif_gives_the_same_bytes_whatever_was_drawn_before(prompt: str) -> None:
    first = media.png(motif(prompt), SIZE)
    media.png.cache_clear()
    media.png(motif("something else"), SIZE)
    assert media.png(motif(prompt), SIZE) == first


def test_any_two_runs_look_clearly_different() -> None:
    drawn = [media.png(motif(prompt, number), SIZE) for prompt in PROMPTS[:4] for number in range(3)]
    assert min(difference(one, other) for at, one in enumerate(drawn) for other in drawn[:at]) > 3


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_picture_is_rich_in_colours(prompt: str) -> None:
    colours = picture(media.png(motif(prompt), SIZE)).getcolors(SIZE[0] * SIZE[1])
    assert colours is not None
    assert len(colours) > 1000


def test_the_prompt_stands_in_the_picture() -> None:
    """The same scene with and without its words differs where they stand and nowhere else."""
    plain = paint(choose(motif("a boat").seed, "a boat"), SIZE)
    captioned = picture(media.png(motif("a boat"), SIZE))
    box = ImageChops.difference(plain, captioned).getbbox()
    assert box is not None
    left, top, right, bottom = box
    assert left >= 0.04 * SIZE[0]
    assert right <= 0.96 * SIZE[0]
    assert top > 0.7 * SIZE[1]
    assert bottom < SIZE[1]


@pytest.mark.parametrize(
    ("prompt", "landmark"),
    [
        ("A LIGHTHOUSE at dusk", "lighthouse"),
        ("two sailboats? no, a boat.", "boat"),
        ("pine-trees in fog", "pines"),
        ("my grandmother's cottage", "cabin"),
        ("hot air balloons", "balloon"),
    ],
)
def test_the_words_of_the_prompt_choose_what_is_seen(prompt: str, landmark: str) -> None:
    assert {choose(motif(prompt, number).seed, prompt).landmark for number in range(20)} == {landmark}


@pytest.mark.parametrize("light", LIGHTS, ids=lambda light: min(light.words))
def test_the_words_of_the_prompt_choose_the_light(light: object) -> None:
    for word in light.words:  # type: ignore[attr-defined]
        assert choose(motif(word).seed, f"a castle, {word}").light is light


def test_every_light_and_every_landmark_comes_up_by_chance() -> None:
    scenes = [choose(motif("?", number).seed, "?") for number in range(200)]
    assert {scene.light for scene in scenes} == set(LIGHTS)
    assert {scene.landmark for scene in scenes} == set(LANDMARKS) == set(DRAWN)


@pytest.mark.parametrize("landmark", LANDMARKS)
def test_a_cut_out_has_soft_edges_and_no_background(landmark: str) -> None:
    cut = Image.open(io.BytesIO(media.cut_out(motif(landmark), SIZE)))
    assert cut.mode == "RGBA"
    opacity = cut.getchannel("A").histogram()
    assert opacity[0] > 0.4 * SIZE[0] * SIZE[1]
    assert opacity[255] > 500
    assert sum(opacity[1:255]) > 100


def test_a_sound_neither_clips_nor_clicks() -> None:
    for number in range(3):
        with wave.open(io.BytesIO(melody.wav(motif("?", number).seed))) as file:
            samples = memoryview(file.readframes(file.getnframes())).cast("h")
        assert 8_000 < max(abs(sample) for sample in samples) < 32_000
        assert abs(samples[0]) < 200
        assert abs(samples[-1]) < 200
        assert max(abs(after - before) for before, after in pairwise(samples)) < 6_000


def test_sounds_differ_and_repeat() -> None:
    one, other = (motif("?", number).seed for number in (1, 2))
    assert melody.wav(one) == melody.wav(one) != melody.wav(other)


def test_nothing_imports_pillow_before_something_is_drawn() -> None:
    """The server in front of the real Runflow runs without it."""
    code = "import sys, runflow_mcp.cli.main, runflow_mcp.sandbox; print('PIL' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert ran.stdout == "False\n"
