"""The files that an input names: paths on the caller's machine, and finished uploads. Pure.

Paths are reported. The reference to an upload is replaced by the reference to the asset, which Runflow reads.
"""

import re
from collections.abc import Callable

import attrs
import orjson

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.runflow.assets.media_inputs import Holds, MediaInputs, by_name
from runflow_mcp.runflow.assets.paths import MAX_PATH, LocalFile, read_path

#: Files that one call may name: their commands must fit into an answer.
MAX_FILES = 8
#: Inputs that an error names for one file.
MAX_PLACES = 10
#: Characters of a text that can be a path with a size, or the reference to an upload.
MAX_TEXT = 2 * MAX_PATH
UPLOAD_SCHEME, ASSET_SCHEME = "runflow-upload://", "runflow://assets/"
_UPLOAD = re.compile(rf"{UPLOAD_SCHEME}(.*)", re.IGNORECASE | re.DOTALL)
ASSET_ID = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,128}")
#: Every text that names a file has one of these bytes. Inputs without any are not parsed again.
_SIGNS = (b"/", b"\\", b".", b"#")


@attrs.define
class NamedFilesError(Exception):
    """The files cannot be used as the input names them. ``problem`` completes "input …" or "input.<place> …"."""

    problem: str
    place: str | None = None


@attrs.frozen
class NamedFiles:
    """The distinct files of one input. ``local``: to be uploaded. ``uploads``: the asset ids of uploads."""

    local: tuple[LocalFile, ...] = ()
    uploads: tuple[str, ...] = ()


NO_FILES = NamedFiles()


def find_files(input_json: bytes, media: Callable[[], MediaInputs]) -> tuple[NamedFiles, JSONObject | None]:
    """(the files that an input names, the input to send instead; None if it is unchanged).

    ``input_json``: compact JSON of an object. ``media``: called only if some text of the input may name a file.
    Raises ``NamedFilesError``.
    """
    if not any(sign in input_json for sign in _SIGNS):
        return NO_FILES, None
    search = _Search(media())
    value: JSONObject = orjson.loads(input_json)
    replaced = {name: search.visit(item, name, search.media.holds(name)) for name, item in value.items()}
    found = NamedFiles(tuple(search.local.values()), tuple(search.uploads))
    return found, replaced if found.uploads else None


@attrs.define
class _Search:
    media: MediaInputs
    #: path → the file; the same file may be named twice.
    local: dict[str, LocalFile] = attrs.field(factory=dict)
    uploads: dict[str, None] = attrs.field(factory=dict)

    def visit(self, value: JSON, place: str, holds: Holds) -> JSON:
        """The value, with references to uploads replaced by references to assets."""
        if isinstance(value, str):
            return self._text(value, place, holds)
        if isinstance(value, list):
            return [
                self.visit(item, f"{place}[{position}]", holds) if isinstance(item, str | list | dict) else item
                for position, item in enumerate(value)
            ]
        if isinstance(value, dict):
            return {name: self.visit(item, f"{place}.{name}", by_name(name)) for name, item in value.items()}
        return value

    def _text(self, text: str, place: str, holds: Holds) -> str:
        if len(text) > MAX_TEXT:
            return text
        if upload := _UPLOAD.fullmatch(text.strip()):
            if ASSET_ID.fullmatch(upload[1]):
                self.uploads[upload[1]] = None
                self._check_count()
                return ASSET_SCHEME + upload[1]
            if holds is not Holds.NO_MEDIA:
                raise NamedFilesError(
                    f"is {UPLOAD_SCHEME} without a valid id; use the value from the error upload_needed", place
                )
        elif holds is not Holds.NO_MEDIA and (file := read_path(text, bare=holds is Holds.MEDIA)):
            self._add(file, place)
        return text

    def _add(self, file: LocalFile, place: str) -> None:
        known = self.local.get(file.path, attrs.evolve(file, inputs=()))
        # One mention with a size is enough.
        best = known if known.size is not None or file.size is None else file
        self.local[file.path] = attrs.evolve(best, inputs=(*known.inputs, place)[:MAX_PLACES])
        self._check_count()

    def _check_count(self) -> None:
        if len(self.local) + len(self.uploads) > MAX_FILES:
            raise NamedFilesError(f"names more than {MAX_FILES} files; {MAX_FILES} can be used in one call")
