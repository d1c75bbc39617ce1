"""Limits on the size of a request, in JSON values, and on the text of an error that quotes it.

Pure. Anyone can invent a key, so requests are bounded in values as well as in bytes, and so is every text that
quotes one.
"""

from collections.abc import Collection

#: JSON values in one request body: a Python object takes 50 to 200 bytes where its JSON takes three, so a body of
#: 256 KB could otherwise become 20 MB. The largest inputs of real models have a few hundred values.
MAX_BODY_VALUES = 20_000
#: Bytes of a JSON-RPC id or a progress token, which the answers repeat.
MAX_ID_BYTES = 1024
#: Bytes of an error text. Hosts cut texts at about 11,000 characters.
MAX_ERROR_TEXT = 8192
#: Bytes of the text of ``upload_needed``, which holds a command and a signed address for each file.
MAX_UPLOAD_TEXT = 32_768
#: Characters of one name, value or header quoted in an error.
MAX_QUOTED = 64
#: Names listed in one error.
MAX_LISTED = 10
_WHITE_SPACE = b" \t\r\n"


def has_too_many_values(text: bytes, limit: int = MAX_BODY_VALUES) -> bool:
    """Whether a JSON text has more than ``limit`` values, counted without parsing it.

    For bytes that are not JSON the result is arbitrary; the parser then rejects them.
    """
    if len(text) <= limit:  # each value takes at least one byte
        return False
    # One value at the root, one after each comma, one at the beginning of each container.
    if 1 + text.count(b",") + text.count(b"[") + text.count(b"{") <= limit:
        return False
    bare = _without_strings(text).translate(None, _WHITE_SPACE)
    opened = bare.count(b"[") + bare.count(b"{") - bare.count(b"[]") - bare.count(b"{}")
    return 1 + bare.count(b",") + opened > limit


def _without_strings(text: bytes) -> bytes:
    """The JSON text with every string replaced by 0, so that all remaining commas and brackets are syntax."""
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"0".join(unescaped.split(b'"')[::2])


def quote(text: str, limit: int = MAX_QUOTED) -> str:
    """A caller's text for an error message: printable and short."""
    short = "".join(char if char.isprintable() else "?" for char in text[:limit])
    return short if len(text) <= limit else f"{short}…"


def quote_all(names: Collection[str]) -> str:
    """A caller's names for an error message: the first ``MAX_LISTED``, and how many more there are."""
    listed = [quote(name) for name, _ in zip(names, range(MAX_LISTED), strict=False)]
    more = len(names) - len(listed)
    return ", ".join(listed) + (f" and {more:,} more" if more else "")


def truncate(text: str, limit: int = MAX_ERROR_TEXT) -> str:
    """The text, cut to ``limit`` bytes of UTF-8."""
    if len(text) * 4 <= limit or len(encoded := text.encode("utf-8", "replace")) <= limit:
        return text
    mark = "…"
    return encoded[: limit - len(mark.encode())].decode("utf-8", "ignore") + mark
