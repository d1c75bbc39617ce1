"""Captions: the first words of any text, in characters of the typeface, within the picture."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageFont

from runflow_mcp.sandbox.media.caption import ELLIPSIS, MAX_LINES, TYPOGRAPHIC, legible, wrap, write

TITLE = "Nano Banana 2"
AVAILABLE = {chr(code) for code in range(32, 127)} | set(TYPOGRAPHIC)


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("a lighthouse at dusk", "a lighthouse at dusk"),
        ("  two\n lines\tand\u00a0gaps\u2028here ", "two lines and gaps here"),
        ("Föhre, naïve café, Łódź, smørrebrød, Straße", "Fohre, naive cafe, Lodz, smorrebrod, Strasse"),
        ("“quoted” – it’s 16×9…", "“quoted” - it’s 16x9..."),
        ("«Paris»", "“Paris”"),
        ("ｆｕｌｌ ｗｉｄｔｈ 𝓼𝓬𝓻𝓲𝓹𝓽", "full width script"),
        ("three apples 🍎🍎🍎", "three apples"),
        ("a cat 猫", "a cat"),
        ("<b>&amp;", "<b>&amp;"),
        ("42", TITLE),
        ("Лодка на море", TITLE),
        ("灯台と夕暮れ", TITLE),
        ("קפה", TITLE),
        ("猫の写真 ok", TITLE),
        ("🍎🍎", TITLE),
        ("", TITLE),
        (" \n", TITLE),
        ("\x00\x1b[31mred\x7f", "[31mred"),
        ("\ud800 lone surrogate", "lone surrogate"),
    ],
)
def test_a_text_is_made_legible_or_replaced_by_the_title(text: str, caption: str) -> None:
    assert legible(text, TITLE) == caption


@given(st.text())
def test_a_caption_contains_only_characters_of_the_typeface(text: str) -> None:
    assert set(legible(text, TITLE)) <= AVAILABLE


def test_the_typeface_has_every_character_that_a_caption_may_contain() -> None:
    font = ImageFont.load_default(size=40)
    missing = bytes(font.getmask("\uffff"))
    assert [letter for letter in AVAILABLE - {" "} if bytes(font.getmask(letter)) == missing] == []


def test_words_are_wrapped_and_an_ellipsis_marks_cut_text() -> None:
    assert wrap("a red dragon over the old city at night", lambda line: len(line) <= 14) == [
        "a red dragon",
        f"over the old{ELLIPSIS}",
    ]
    assert wrap("short", lambda line: len(line) <= 14) == ["short"]
    assert wrap("incomprehensibilities of it", lambda line: len(line) <= 14) == [f"incomprehensi{ELLIPSIS}", "of it"]


@given(st.text(alphabet="ab .", max_size=60), st.integers(2, 20))
def test_every_line_of_a_caption_fits(text: str, width: int) -> None:
    lines = wrap(text, lambda line: len(line) <= width)
    assert len(lines) <= MAX_LINES
    assert all(0 < len(line) <= width for line in lines)


@pytest.mark.parametrize(
    ("text", "size"),
    list(product(["a", "W" * 300, "several words " * 40, "", "i"], [(768, 768), (480, 270), (192, 448), (192, 192)])),
)
def test_a_caption_stays_within_the_picture(text: str, size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size)
    write(picture, legible(text, TITLE), "a-provider-with-a-long-name/and-a-model-with-a-longer-one · simulated")
    box = ImageChops.difference(picture, Image.new("RGB", size)).getbbox()
    assert box is not None
    assert 0 < box[0] < box[2] < size[0]
    assert size[1] // 2 < box[1] < box[3] < size[1]
