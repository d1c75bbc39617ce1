"""What a run brought, as an answer shows it: the URLs of its outputs, their media types, and no inline media.

Pure: JSON values in, JSON values out. Knows nothing of the run around the output.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from runflow_mcp.jsontypes import JSON

#: Inline media longer than this is replaced by a note: it would fill the model's context.
MAX_INLINE_MEDIA = 2048
MAX_OUTPUT_URLS = 1000
#: Signed URLs run to some kilobytes.
MAX_URL_LENGTH = 8192
_URL = re.compile(r"https?://[^\s\"<>]+", re.IGNORECASE)
_HOST = re.compile(r"[^\W_](?:[\w.-]{0,251}[^\W_])?\.?")
#: By the URL standard such a host is an IPv4 address or none.
_ENDS_IN_NUMBER = re.compile(r"(?:^|\.)\d+\.?$")
#: Members of an output that repeat what went in or how it was made.
_NOT_OUTPUT = frozenset({"input", "inputs", "request", "metadata", "logs", "timing"})

_MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "svg": "image/svg+xml",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "json": "application/json",
    "zip": "application/zip",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "glb": "model/gltf-binary",
}


def media_type(url: str) -> str | None:
    """The media type that a URL's path promises."""
    path = url.partition("?")[0].partition("#")[0]
    name = path.rpartition("/")[2]
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower()) if "." in name else None


def output_urls(output: JSON) -> list[str]:
    """Every URL in an output, in order and once, whatever the shape around it."""
    found = dict.fromkeys(_urls(output))
    return list(found)[:MAX_OUTPUT_URLS]


def _urls(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        if _is_url(value):
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _urls(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in _NOT_OUTPUT:
                yield from _urls(item)


def _is_url(text: str) -> bool:
    """Whether a text can be a link: some clients throw the whole result away for one link that they cannot parse."""
    if len(text) > MAX_URL_LENGTH or not _URL.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        return parts.port != 0 and _is_host(parts.hostname or "")
    except ValueError:  # brackets that do not fit, a port that is none
        return False


def _is_host(host: str) -> bool:
    """Raises ``ValueError`` for some that are none."""
    if ":" in host:
        return bool(IPv6Address(host))
    if _ENDS_IN_NUMBER.search(host):
        return bool(IPv4Address(host))
    return _HOST.fullmatch(host) is not None and bool(host.encode("idna").decode("idna"))


def without_inline_media(value: JSON) -> JSON:
    """The same value with every long ``data:`` URI replaced by a short note."""
    if isinstance(value, str):
        head = value[:200].lstrip()
        if len(value) <= MAX_INLINE_MEDIA or head[:5].lower() != "data:":
            return value
        kind = head[5:100].partition(",")[0].partition(";")[0] or "media"
        return f"[inline {kind} of {len(value)} characters left out; run again without sync_mode to get a URL]"
    if isinstance(value, list):
        return [without_inline_media(item) for item in value]
    if isinstance(value, dict):
        return {name: without_inline_media(item) for name, item in value.items()}
    return value
