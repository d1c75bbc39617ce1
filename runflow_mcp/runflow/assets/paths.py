"""Decides whether a text is the path of a file on the caller's machine, and reads the size stated in it. Pure.

Whether an input may hold media at all is decided in ``media_inputs``.
"""

import re
from urllib.parse import unquote_to_bytes

import attrs

from runflow_mcp.runflow.reading.media_types import MEDIA_TYPES

#: Maximum bytes of one file, Runflow's limit.
MAX_FILE_BYTES = 52_428_800
#: Maximum characters of a path. Longer texts are inline media, which may also begin with a slash.
MAX_PATH = 1024
#: What separates a path from the size that the caller adds to it.
SIZE_MARK = "#bytes="
#: The media type of a file with an unknown suffix.
UNKNOWN_TYPE = "application/octet-stream"

_SIZE = re.compile(r"0*([0-9]{1,12})")
#: ``./x ../x /home/x ~/x C:\x C:/x .\x \\server\x``. Two slashes begin a URL without its scheme.
_EXPLICIT = re.compile(r"\.{1,2}[/\\]|/(?!/)|~[/\\]|[A-Za-z]:[\\/]|\\\\")
_FILE_URL = re.compile(r"file:(?://(?:localhost(?=/))?)?(?=.)", re.IGNORECASE)
#: A file URL's path of a Windows drive has a slash before it.
_DRIVE_IN_URL = re.compile(r"/[A-Za-z]:[\\/]")
#: At least two characters: a single one is a drive.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
#: A JPEG in base64 also begins with a slash.
_BASE64 = re.compile(r"/9j/[A-Za-z0-9+/]{40,}={0,2}")
_MEDIA_KINDS = ("image/", "video/", "audio/", "model/", "application/zip")


@attrs.frozen
class LocalFile:
    """A file on the caller's machine. ``path``: for a shell on that machine.

    ``size``: the stated bytes; None if they are missing or not a size that can be uploaded. ``stated``: the text that
    the caller gave as the size, None if there was none. ``inputs``: the inputs that name the file.
    """

    path: str
    size: int | None = None
    stated: str | None = None
    inputs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path; empty for a directory."""
        return re.split(r"[/\\]", self.path)[-1]

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES.get(_suffix(self.path), UNKNOWN_TYPE)


def read_path(text: str, *, bare: bool = True) -> LocalFile | None:
    """The file that a media input names; None for any other text: a URL, ``data:``, a word, a prompt.

    ``bare``: accept a path without a leading ``./``, ``/`` or the like, if it has a media suffix or a size.
    """
    return _read(text, bare=bare) or (_read(text.strip(), bare=bare) if text != text.strip() else None)


def _read(text: str, *, bare: bool) -> LocalFile | None:
    path, mark, stated = text.rpartition(SIZE_MARK)
    if not mark:
        path, stated = text, ""
    if not path or len(path) > MAX_PATH or "\x00" in path:  # no file system has such a name
        return None
    if _FILE_URL.match(path):
        path = _path_of_url(path)
    elif not (_EXPLICIT.match(path) and not _BASE64.fullmatch(path)):
        if not bare or path.startswith("//") or _SCHEME.match(path):
            return None
        if not (mark or MEDIA_TYPES.get(_suffix(path), "").startswith(_MEDIA_KINDS)):
            return None
    return LocalFile(path, _size(stated), stated if mark else None)


def _path_of_url(url: str) -> str:
    """The path in a ``file://`` URL; with a host, that of a share on it."""
    rest = _FILE_URL.sub("", url, count=1)
    if "//" in url[:7] and not rest.startswith("/"):
        rest = f"//{rest}"
    try:
        decoded = unquote_to_bytes(rest).decode()
    except UnicodeDecodeError:
        decoded = rest
    path = rest if "\x00" in decoded else decoded
    return path[1:] if _DRIVE_IN_URL.match(path) else path


def _size(stated: str) -> int | None:
    match = _SIZE.fullmatch(stated)
    size = int(match[1]) if match else 0
    return size if 1 <= size <= MAX_FILE_BYTES else None


def _suffix(path: str) -> str:
    name = re.split(r"[/\\]", path)[-1]
    return name.rpartition(".")[2].lower() if "." in name else ""
