"""A JSON value cut to what an answer can carry: no long inline media, no long texts, a limited size in all.

Pure. The work is bounded whatever the size of the value: values that are left out are never visited.
"""

import re
from collections.abc import Mapping

import attrs
import orjson

from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.reading.links import MAX_URL_LENGTH
from runflow_mcp.runflow.reading.media_types import encoded_type

#: Inline media longer than this is replaced by a note: it would fill the model's context.
MAX_INLINE_MEDIA = 2048
#: Characters of any other text.
MAX_TEXT = 16 * 1024
#: Characters of a member's name.
MAX_NAME = 256
#: Values copied from one payload; visiting this many takes some tens of milliseconds.
MAX_COPIED_VALUES = 20_000
#: Levels of nesting: orjson writes 254, and an answer wraps upstream's values in a few of its own.
MAX_DEPTH = 100
#: Bytes of JSON of the whole value, exceeded by at most one text.
MAX_SIZE = 256 * 1024

_CHARACTER = r"[A-Za-z0-9+/_=%-]"
#: Further lines of base64 or hex, and slashes, both also as escaped in a JSON text inside a text.
_MORE = rf"(?:\\/{_CHARACTER}*+|(?:\r?\n|(?:\\r)?\\n)[ \t]*+{_CHARACTER}{{40,}}+)*+"
#: The last line may be short if nothing of the text follows it.
_LAST = rf"(?:(?:\r?\n|(?:\\r)?\\n)[ \t]*+{_CHARACTER}{{1,39}}+(?=\s*(?:\Z|[\"'<>)\]}}\\])))?"
_ENCODED = re.compile(rf"{_CHARACTER}*+{_MORE}{_LAST}")
#: Written out, since a class with \\s is matched several times more slowly.
_NOT_QUOTED = re.compile(r"[^\x00-\x20\"'<>()]*+")
#: Where inline media can begin: at the head of a ``data:`` URI, or at a row of 40 such characters.
_MEDIA = re.compile(
    r"(?P<head>[Dd][Aa][Tt][Aa]:(?P<kind>[A-Za-z0-9_.+-]{1,60}\\?/[A-Za-z0-9_.+-]{1,90})?(?:;[^\x00-\x20,;\"'<>()]{0,100})*+,)"
    rf"|(?<!{_CHARACTER}){_CHARACTER}{{40}}",
)


def trimmed(value: JSON, size: int = MAX_SIZE) -> JSON:
    """A copy of the value, equal to it if nothing in it is too long; a note at each cut says what was there.

    ``size``: bytes of JSON, exceeded by at most one text.
    """
    return _Trimmer(size).value(value, MAX_DEPTH)


def trimmed_text(text: str) -> str:
    """A text without long inline media, cut at ``MAX_TEXT`` characters; notes say what was left out."""
    if len(text) <= MAX_INLINE_MEDIA:
        return text
    kept: list[str] = []
    at = length = 0
    while at < len(text) and length < MAX_TEXT:
        window = at + MAX_TEXT - length
        found = _next_media(text, at, window)
        start, end, kind = found or (window, window, "")
        kept.append(text[at:start])
        length += len(kept[-1])
        at = end
        if found:
            kept.append(
                f"[inline {kind} of {end - start} characters left out; run again without sync_mode to get a URL]"
            )
            length += len(kept[-1])
    if at < len(text):
        kept.append(f"… [cut here: the whole text has {len(text)} characters]")
    return "".join(kept)


def _next_media(text: str, at: int, window: int) -> tuple[int, int, str] | None:
    """(start, end, kind) of the first long inline media that begins between ``at`` and ``window``."""
    end = at
    for found in _MEDIA.finditer(text, at, window + 200):
        start = found.start()
        if start >= window:
            return None
        if start < end:  # inside media that were found to be short
            continue
        end = _end(text, found)
        if end - start > MAX_INLINE_MEDIA and (found["head"] or _is_encoded(text, start, end)):
            kind = (
                (found["kind"] or "media").replace("\\", "").lower()
                if found["head"]
                else encoded_type(text[start : start + 20])
            )
            return start, end, kind
    return None


def _end(text: str, found: re.Match[str]) -> int:
    """The end of the media that begin there."""
    start, body = found.start(), found.end()
    if not found["head"]:
        pattern, body = _ENCODED, start
    elif "base64" in found["head"].lower():
        pattern = _ENCODED
    elif start <= MAX_INLINE_MEDIA and not text[:start].strip():
        return len(text)  # the text is one URI, whose body may hold any character
    else:
        pattern = _NOT_QUOTED
    match = pattern.match(text, body)
    return match.end() if match else body


def _is_encoded(text: str, start: int, end: int) -> bool:
    """Whether a row of base64 characters is media, and not a list of hashes or part of a URL."""
    head = text[start : start + 400]
    if "\n" in text[start : start + MAX_INLINE_MEDIA] and (head == head.lower() or head == head.upper()):
        return False
    scheme = text.rfind("://", max(0, start - MAX_URL_LENGTH), start + 2)
    return scheme < 0 or end - scheme > MAX_URL_LENGTH or not _NOT_QUOTED.fullmatch(text, scheme, start)


@attrs.define
class _Trimmer:
    """Makes one copy. ``size``, ``values``: the bytes and values that it may still take."""

    size: int
    values: int = MAX_COPIED_VALUES

    def value(self, value: JSON, depth: int) -> JSON:
        self.values -= 1
        if isinstance(value, str):
            text = trimmed_text(value)
            self.size -= len(orjson.dumps(text))
            return text
        if not isinstance(value, list | dict):
            self.size -= len(str(value)) + 1
            return value
        self.size -= 3
        if depth == 0:
            return "[nested too deeply to show]"
        return self._list(value, depth) if isinstance(value, list) else self._object(value, depth)

    @property
    def _full(self) -> bool:
        return self.size <= 0 or self.values <= 0

    def _list(self, items: list[JSON], depth: int) -> list[JSON]:
        kept: list[JSON] = []
        for item in items:
            if self._full:
                kept.append(f"[{len(items) - len(kept)} more left out: the answer would be too long]")
                break
            kept.append(self.value(item, depth - 1))
        return kept

    def _object(self, members: Mapping[str, JSON], depth: int) -> dict[str, JSON]:
        kept: dict[str, JSON] = {}
        for name, item in members.items():
            if self._full:
                kept["[left out]"] = f"{len(members) - len(kept)} more: the answer would be too long"
                break
            if len(name) > MAX_NAME:
                name = f"{name[:64]}… [name {len(kept) + 1}, of {len(name)} characters]"  # noqa: PLW2901
            self.size -= len(name) + 3
            kept[name] = self.value(item, depth - 1)
        return kept
