"""Pictures and sounds are deterministic, differ from one another, and show the prompt."""

import io
import subprocess
import sys
import wave
from hashlib import sha256
from itertools import combinations, pairwise

import pytest
from PIL import Image, ImageChops, ImageStat

from runflow_mcp.sandbox.media import files, melody
from runflow_mcp.sandbox.media.files import PictureSpec
from runflow_mcp.sandbox.media.landmarks import LANDMARKS as DRAWINGS
from runflow_mcp.sandbox.media.painting import paint
from runflow_mcp.sandbox.media.scenery import LANDMARKS, LIGHTS, choose_scene

#: Small pictures are drawn fast and have everything that large ones have.
SIZE = (192, 192)
PROMPTS = ["a lighthouse at dusk", "a red dragon", "pines", "a boat at noon", "a cabin", "balloons at night", "x", ""]


def spec(prompt: str, number: int = 0) -> PictureSpec:
    seed = sha256(f"{prompt}/{number}".encode()).digest()
    return PictureSpec(seed=seed, prompt=prompt, title="Nano Banana 2", model="google/nano-banana-2")


def picture(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def difference(first: bytes, second: bytes) -> float:
    """Mean difference of the colour values, 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(picture(first), picture(second))).mean)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_same_spec_gives_the_same_bytes_whatever_was_drawn_before(prompt: str) -> None:
    first = files.png(spec(prompt), SIZE)
    files.png.cache_clear()
    files.png(spec("something else"), SIZE)
    assert files.png(spec(prompt), SIZE) == first


def test_any_two_runs_look_clearly_different() -> None:
    drawn = [files.png(spec(prompt, number), SIZE) for prompt in PROMPTS[:4] for number in range(3)]
    assert min(difference(*pair) for pair in combinations(drawn, 2)) > 3


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_picture_has_many_colours(prompt: str) -> None:
    colours = picture(files.png(spec(prompt), SIZE)).getcolors(SIZE[0] * SIZE[1])
    assert colours is not None
    assert len(colours) > 1000


def test_the_prompt_is_written_into_the_picture_and_changes_nothing_else() -> None:
    plain = paint(choose_scene(spec("a boat").seed, "a boat"), SIZE)
    captioned = picture(files.png(spec("a boat"), SIZE))
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
def test_the_words_of_the_prompt_choose_the_landmark(prompt: str, landmark: str) -> None:
    assert {choose_scene(spec(prompt, number).seed, prompt).landmark for number in range(20)} == {landmark}


@pytest.mark.parametrize("light", LIGHTS, ids=lambda light: min(light.words))
def test_the_words_of_the_prompt_choose_the_light(light: object) -> None:
    for word in light.words:  # type: ignore[attr-defined]
        assert choose_scene(spec(word).seed, f"a castle, {word}").light is light


def test_every_light_and_every_landmark_is_chosen_for_some_seed() -> None:
    scenes = [choose_scene(spec("?", number).seed, "?") for number in range(200)]
    assert {scene.light for scene in scenes} == set(LIGHTS)
    assert {scene.landmark for scene in scenes} == set(LANDMARKS) == set(DRAWINGS)


@pytest.mark.parametrize("landmark", LANDMARKS)
def test_a_cutout_has_soft_edges_and_a_transparent_background(landmark: str) -> None:
    cut = Image.open(io.BytesIO(files.cutout_png(spec(landmark), SIZE)))
    assert cut.mode == "RGBA"
    opacity = cut.getchannel("A").histogram()
    assert opacity[0] > 0.4 * SIZE[0] * SIZE[1]
    assert opacity[255] > 500
    assert sum(opacity[1:255]) > 100


def test_a_sound_neither_clips_nor_clicks() -> None:
    for number in range(2):
        with wave.open(io.BytesIO(melody.make_wav(spec("?", number).seed))) as file:
            samples = memoryview(file.readframes(file.getnframes())).cast("h")
        assert 8_000 < max(abs(sample) for sample in samples) < 32_000
        assert abs(samples[0]) < 200
        assert abs(samples[-1]) < 200
        assert max(abs(after - before) for before, after in pairwise(samples)) < 6_000


def test_a_sound_depends_only_on_its_seed() -> None:
    first, second = (spec("?", number).seed for number in (1, 2))
    assert melody.make_wav(first) == melody.make_wav(first) != melody.make_wav(second)


def test_pillow_is_not_imported_before_a_picture_is_drawn() -> None:
    """In front of the real Runflow the server runs without Pillow."""
    code = "import sys, runflow_mcp.cli.main, runflow_mcp.sandbox; print('PIL' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert ran.stdout == "False\n"
