"""The words on a picture: the first ones of a text, set in two lines at most in Pillow's own typeface.

Imports Pillow, so it is imported only when a picture is asked for.
"""

import unicodedata
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont

LINES = 2
#: Pixels; below it letters run together.
SMALLEST_PRINT = 10
#: The typeface has ASCII and these; anything else would come out as a box.
TYPOGRAPHIC = "‘’“”…·"
ELLIPSIS = "…"
#: Letters that do not decompose into one of ASCII and an accent, and dashes.
TRANSLITERATION = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "ħ": "h", "Ħ": "H",
        "–": "-", "—": "-", "‑": "-", "−": "-", "×": "x", "„": "“", "«": "“", "»": "”",
    }
)  # fmt: skip


def legible(text: str, fallback: str) -> str:
    """``text`` in letters that the typeface has, on one line; ``fallback`` where that loses most of its letters."""
    # Compatibility decomposition also turns full-width and styled letters into plain ones.
    plain = unicodedata.normalize("NFKD", text.translate(TRANSLITERATION))
    kept = " ".join("".join(character if _has(character) else _stand_in(character) for character in plain).split())
    wanted = sum(character.isalpha() for character in plain)
    left = sum(character.isalpha() for character in kept)
    return kept if left and left * 2 >= wanted else fallback


def _has(character: str) -> bool:
    return " " <= character <= "~" or character in TYPOGRAPHIC


def _stand_in(character: str) -> str:
    """Nothing for an accent, which belongs to the letter before it; a gap for any other character."""
    return "" if unicodedata.combining(character) else " "


def wrap(text: str, fits: Callable[[str], bool]) -> list[str]:
    """At most ``LINES`` lines that fit; an ellipsis stands where the text goes on."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < LINES:
        last = len(lines) == LINES - 1
        taken = len(words)
        while taken > 1 and not fits(_joined(words, taken, last=last)):
            taken -= 1
        line = _joined(words, taken, last=last)
        # A single word that is too long is cut.
        while not fits(line) and len(line) > 1:
            line = line.removesuffix(ELLIPSIS)[:-1] + ELLIPSIS
        lines.append(line)
        words = words[taken:]
    return lines


def _joined(words: list[str], taken: int, *, last: bool) -> str:
    return " ".join(words[:taken]) + (ELLIPSIS if last and taken < len(words) else "")


def write(picture: Image.Image, text: str, small_print: str) -> None:
    """Set ``text`` in the lower left corner of an RGB picture, and ``small_print`` in one line under it."""
    width, height = picture.size
    margin = min(picture.size) * 0.06
    large = ImageFont.load_default(size=min(picture.size) * 0.058)
    small = ImageFont.load_default(size=max(min(picture.size) * 0.026, SMALLEST_PRINT))
    room = width - 2 * margin
    lines = wrap(text, lambda line: large.getlength(line) <= room)
    step = min(picture.size) * 0.072
    draw = ImageDraw.Draw(picture)
    top = height - margin * 1.55 - step * len(lines)
    for number, line in enumerate(lines):
        draw.text((margin, top + number * step), line, font=large, fill=(255, 255, 255))
    first_line = wrap(small_print, lambda line: small.getlength(line) <= room)[0]
    draw.text((margin, height - margin * 1.2), first_line, font=small, fill=(225, 228, 236))
