"""Server-sent events: whether a client accepts them, and their bytes.

Frames follow the specification's transport page: ``event: message``, one JSON text on one ``data`` line, and no
``id``, since streams cannot be resumed; a run is found again by its client_ref.
"""

import re
from functools import lru_cache

from multidict import istr

#: ``istr``, here and for the other headers of a stream: of any other string the headers of each response, kept while
#: its call waits, make a copy of their own, 0.2 KB a header.
HEADERS = {
    istr("Content-Type"): "text/event-stream",
    istr("Cache-Control"): "no-cache, no-transform",
    # Tells nginx and similar proxies to pass events on at once.
    istr("X-Accel-Buffering"): "no",
}
KEEPALIVE_COMMENT = b": keepalive\n\n"
#: Entries, and characters of an Accept header in one entry: clients send few different ones, but of any length.
_CACHE_SIZE, _MAX_CACHED_LENGTH = 256, 256
_ZERO_WEIGHT = re.compile(r"q\s*=\s*(?:0+\.?0*|\.0+)")
#: U+0085, U+2028 and U+2029 in UTF-8. Some clients end a line there, as Python's ``str.splitlines`` does, and lose
#: the rest of the event. orjson escapes every other character that could end a line.
_LINE_SEPARATORS = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")


def accepts_sse(accept: list[str]) -> bool:
    """Whether an Accept header lists ``text/event-stream`` by name; ``*/*`` gets plain JSON."""
    text = ",".join(accept)
    return (_lists_sse if len(text) <= _MAX_CACHED_LENGTH else _lists_sse.__wrapped__)(text)


@lru_cache(maxsize=_CACHE_SIZE)
def _lists_sse(accept: str) -> bool:
    # A weight of zero means "not acceptable" (RFC 9110, 12.4.2), however many zeros it is written with.
    for media_range in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in media_range.split(";"))
        if kind == "text/event-stream" and not any(_ZERO_WEIGHT.fullmatch(part) for part in parameters):
            return True
    return False


def render_event(message: bytes) -> bytes:
    """One JSON-RPC message as one event."""
    # JSON has characters outside ASCII in strings only, where an escape means the same.
    if not message.isascii():
        message = _LINE_SEPARATORS.sub(_escape, message)
    return b"event: message\ndata: " + message + b"\n\n"


def _escape(separator: re.Match[bytes]) -> bytes:
    return f"\\u{ord(separator[0].decode()):04x}".encode()
