"""Media types of outputs, from what an answer declares, from a URL, or from a file's first bytes.

Pure. The table is part of the code, so that answers do not depend on the machine's ``mime.types``.
"""

import re
from urllib.parse import unquote

from runflow_mcp.json_types import JSONObject

_TABLE = """
image/png png
image/apng apng
image/jpeg jpg jpeg jpe jfif
image/gif gif
image/webp webp
image/avif avif
image/heic heic
image/heif heif
image/jxl jxl
image/jp2 jp2
image/bmp bmp
image/svg+xml svg
image/tiff tif tiff
image/vnd.microsoft.icon ico
image/vnd.adobe.photoshop psd
image/vnd.radiance hdr
image/x-exr exr
image/x-tga tga
image/x-adobe-dng dng
image/ktx2 ktx2
video/mp4 mp4
video/webm webm
video/quicktime mov qt
video/ogg ogv
video/mpeg mpg mpeg
video/mp2t ts mts m2ts
video/3gpp 3gp
video/3gpp2 3g2
video/x-m4v m4v
video/x-matroska mkv
video/x-msvideo avi
video/x-ms-wmv wmv
video/x-flv flv
video/x-f4v f4v
audio/mpeg mp3 mp2
audio/wav wav wave
audio/ogg ogg oga
audio/opus opus
audio/flac flac
audio/aac aac
audio/mp4 m4a m4b
audio/webm weba
audio/aiff aif aiff
audio/amr amr
audio/ac3 ac3
audio/x-matroska mka
audio/midi mid midi
audio/x-caf caf
audio/x-ms-wma wma
model/gltf-binary glb
model/gltf+json gltf
model/vnd.usdz+zip usdz
model/vnd.usda usda
model/vnd.usd usd usdc
model/obj obj
model/mtl mtl
model/stl stl
model/3mf 3mf
model/ply ply
model/fbx fbx
model/step step stp
model/vnd.collada+xml dae
text/plain txt
text/csv csv
text/html html htm
text/markdown md
text/vtt vtt
text/xml xml
application/x-subrip srt
application/x-ass ass ssa
application/ttml+xml ttml
application/mxf mxf
application/json json
application/x-ndjson jsonl ndjson
application/pdf pdf
application/zip zip
application/gzip gz tgz
application/x-tar tar
application/vnd.apple.mpegurl m3u8
application/dash+xml mpd
"""
#: suffix → media type.
MEDIA_TYPES = {suffix: kind for kind, *suffixes in map(str.split, _TABLE.strip().splitlines()) for suffix in suffixes}
#: The defaults of storage services, which say nothing about a file.
_UNINFORMATIVE = frozenset({"application/octet-stream", "binary/octet-stream", "application/binary"})
_TYPE = re.compile(r"\s*([a-z]{1,20}/[a-z0-9][a-z0-9.+_-]{0,80})\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
#: Members that declare the type of the file whose URL is in the same object, in lower case without ``_`` and ``-``.
_TYPE_NAMES = frozenset({"contenttype", "mimetype", "mediatype", "mime", "type"})
_FORMAT_NAMES = frozenset({"format", "fileformat", "fileextension", "extension", "ext"})
_FILE_NAMES = frozenset({"filename", "name"})
#: Query parameters that set the Content-Type of storage's answer (S3, Azure).
_TYPE_IN_QUERY = re.compile(r"[?&](?:response-content-type|rsct)=([^&#]{1,200})", re.IGNORECASE)
#: Query parameters that name the file to serve, or its format.
_FILE_IN_QUERY = re.compile(r"[?&](?:filename|format|fm)=(?:[^&#]{0,300}\.)?(\w{1,10})(?=[&#]|$)", re.IGNORECASE)
#: Members beyond which an object is not searched for declarations.
MAX_MEMBERS = 64

#: The first bytes of a file, as base64 or hex spells them.
_MAGIC = (
    ("iVBORw0KGg", "image/png"),
    ("/9j/", "image/jpeg"),
    ("_9j_", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("PHN2Zy", "image/svg+xml"),
    ("UklGR", "media (RIFF: webp, wav or avi)"),
    ("SUQz", "audio/mpeg"),
    ("//u", "audio/mpeg"),
    ("T2dnUw", "audio/ogg"),
    ("ZkxhQ", "audio/flac"),
    ("GkXfo", "video/webm"),
    ("Z2xURg", "model/gltf-binary"),
    ("JVBERi0", "application/pdf"),
    ("UEsDB", "application/zip"),
    ("89504e47", "image/png"),
    ("ffd8ff", "image/jpeg"),
)
#: ISO media files begin with the length of a box, then "ftyp".
_ISO_MEDIA = re.compile(r"AAAA[A-Za-z0-9+/_-][GWm2]Z0eX")


def media_type(url: str) -> str | None:
    """The media type of a URL: by a type in its query, else by the suffix of its path or of a file in the query."""
    address, _, query = url.partition("#")[0].partition("?")
    if query and (query_type := _TYPE_IN_QUERY.search(f"?{query}")) and (kind := _parse_type(unquote(query_type[1]))):
        return kind
    if kind := _type_of_file_name(unquote(address.rpartition("/")[2]) if address.count("/") > 2 else ""):  # noqa: PLR2004
        return kind
    query_file = _FILE_IN_QUERY.search(f"?{query}") if query else None
    return MEDIA_TYPES.get(query_file[1].lower()) if query_file else None


def declared_type(owner: JSONObject) -> str | None:
    """The media type that an object declares for the file whose URL it holds (``content_type``)."""
    return next(filter(None, map(_parse_type, _values(owner, _TYPE_NAMES))), None)


def implied_type(owner: JSONObject) -> str | None:
    """The media type that the format or the file name in the object of a URL implies (``format``, ``file_name``)."""
    formats = (MEDIA_TYPES.get(value[:12].strip().lstrip(".").lower()) for value in _values(owner, _FORMAT_NAMES))
    names = map(_type_of_file_name, _values(owner, _FILE_NAMES))
    return next(filter(None, (*formats, *names)), None)


def _values(owner: JSONObject, names: frozenset[str]) -> list[str]:
    """The texts of an object under these names, in any spelling of the names."""
    if len(owner) > MAX_MEMBERS:
        return []
    texts = ((name, value) for name, value in owner.items() if isinstance(value, str))
    return [value for name, value in texts if name.replace("_", "").replace("-", "").lower() in names]


def encoded_type(text: str) -> str:
    """The media type of a file in base64 or hex, by its first bytes; ``data`` if they are not known."""
    if _ISO_MEDIA.match(text):
        return "video/mp4"
    return next((kind for magic, kind in _MAGIC if text.startswith(magic)), "data")


def _type_of_file_name(name: str) -> str | None:
    return MEDIA_TYPES.get(name.rpartition(".")[2][:12].strip().lower()) if "." in name else None


def _parse_type(value: str) -> str | None:
    """A media type without its parameters; None for an uninformative one, and for anything else."""
    match = _TYPE.fullmatch(value) if len(value) <= 200 else None  # noqa: PLR2004
    kind = match[1].lower() if match else None
    return None if kind in _UNINFORMATIVE else kind
