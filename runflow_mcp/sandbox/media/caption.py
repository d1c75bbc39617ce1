"""The caption of a picture: the first words of a text, in at most two lines of Pillow's own typeface.

Imports Pillow, so it must be imported only when a picture is drawn.
"""

import unicodedata
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont

MAX_LINES = 2
#: Pixels; smaller letters run together.
MIN_FONT_SIZE = 10
#: The typeface has ASCII and these; any other character would be drawn as a box.
TYPOGRAPHIC = "‘’“”…·"
ELLIPSIS = "…"
#: Letters that do not decompose into ASCII and an accent, dashes and quotes.
TRANSLITERATION = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "ħ": "h", "Ħ": "H",
        "–": "-", "—": "-", "‑": "-", "−": "-", "×": "x", "„": "“", "«": "“", "»": "”",
    }
)  # fmt: skip


def legible(text: str, fallback: str) -> str:
    """``text`` on one line in characters of the typeface; ``fallback`` if most of its letters would be lost."""
    # Compatibility decomposition also makes full-width and styled letters plain.
    plain = unicodedata.normalize("NFKD", text.translate(TRANSLITERATION))
    kept = "".join(character if _is_available(character) else _replacement(character) for character in plain)
    letters = sum(character.isalpha() for character in plain)
    letters_kept = sum(character.isalpha() for character in kept)
    return " ".join(kept.split()) if letters_kept and letters_kept * 2 >= letters else fallback


def _is_available(character: str) -> bool:
    return " " <= character <= "~" or character in TYPOGRAPHIC


def _replacement(character: str) -> str:
    """Empty for an accent, which follows its letter; a space for any other character."""
    return "" if unicodedata.combining(character) else " "


def wrap(text: str, fits: Callable[[str], bool]) -> list[str]:
    """At most ``MAX_LINES`` lines that fit; an ellipsis marks text that is cut."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < MAX_LINES:
        last = len(lines) == MAX_LINES - 1
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


def write(picture: Image.Image, text: str, footer: str) -> None:
    """Write ``text`` into the lower left corner of an RGB picture, and ``footer`` in one small line below it."""
    width, height = picture.size
    margin = min(picture.size) * 0.06
    large = ImageFont.load_default(size=min(picture.size) * 0.058)
    small = ImageFont.load_default(size=max(min(picture.size) * 0.026, MIN_FONT_SIZE))
    available = width - 2 * margin
    lines = wrap(text, lambda line: large.getlength(line) <= available)
    line_height = min(picture.size) * 0.072
    draw = ImageDraw.Draw(picture)
    top = height - margin * 1.55 - line_height * len(lines)
    for number, line in enumerate(lines):
        draw.text((margin, top + number * line_height), line, font=large, fill=(255, 255, 255))
    footer_line = wrap(footer, lambda line: small.getlength(line) <= available)[0]
    draw.text((margin, height - margin * 1.2), footer_line, font=small, fill=(225, 228, 236))
