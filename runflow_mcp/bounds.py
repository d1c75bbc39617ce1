"""What a request may weigh, and what of it may be repeated: the one place that counts and the one that clips.

Pure. A key costs nothing to invent, so sizes are bounded in objects as well as in bytes, and so is every text
that is made of what a caller sent.
"""

from collections.abc import Collection

#: JSON values in one request body: a Python object takes 50 to 200 bytes where its JSON takes three, so a body of
#: 256 KB could otherwise hold 20 MB. The largest inputs of real models have some hundreds.
MAX_VALUES = 20_000
#: Bytes of a JSON-RPC id or a progress token: it is repeated in every message about the request.
MAX_ID_BYTES = 1024
#: Bytes of any error text, whatever was sent. Hosts cut them at about 11,000 characters.
MAX_ERROR_TEXT = 8192
#: Characters of one name, value or header that an error repeats.
MAX_QUOTED = 64
#: Names that one error lists.
MAX_LISTED = 10
_WHITE_SPACE = b" \t\r\n"


def has_too_many_values(text: bytes, limit: int = MAX_VALUES) -> bool:
    """Whether a JSON text holds more than ``limit`` values; counted without building any of them.

    What is not JSON gets some answer; the parser then refuses it.
    """
    if len(text) <= limit:  # each value takes a byte at least
        return False
    # One value at the root, one after each comma, and the first of each container.
    if 1 + text.count(b",") + text.count(b"[") + text.count(b"{") <= limit:
        return False
    bare = _without_strings(text).translate(None, _WHITE_SPACE)
    opened = bare.count(b"[") + bare.count(b"{") - bare.count(b"[]") - bare.count(b"{}")
    return 1 + bare.count(b",") + opened > limit


def _without_strings(text: bytes) -> bytes:
    """The JSON text with a 0 for every string: what is left of commas and brackets counts."""
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"0".join(unescaped.split(b'"')[::2])


def quote(text: str, limit: int = MAX_QUOTED) -> str:
    """What a caller wrote, fit to be repeated in an error: printable and short."""
    short = "".join(char if char.isprintable() else "?" for char in text[:limit])
    return short if len(text) <= limit else f"{short}…"


def quote_all(names: Collection[str]) -> str:
    """Names that a caller wrote, as many as an error may list, and how many more there are."""
    listed = [quote(name) for name, _ in zip(names, range(MAX_LISTED), strict=False)]
    more = len(names) - len(listed)
    return ", ".join(listed) + (f" and {more:,} more" if more else "")


def bounded(text: str, limit: int = MAX_ERROR_TEXT) -> str:
    """An error text of at most ``limit`` bytes."""
    if len(text) * 4 <= limit or len(encoded := text.encode("utf-8", "replace")) <= limit:
        return text
    mark = "…"
    return encoded[: limit - len(mark.encode())].decode("utf-8", "ignore") + mark
