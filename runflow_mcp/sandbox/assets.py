"""Uploads, and the assets made from them, in bounded memory.

Must not import HTTP or the clock.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto
from hashlib import sha256
from uuid import UUID

import attrs
import orjson

from runflow_mcp.sandbox.errors import APIError, bad_request, validation_failed
from runflow_mcp.sandbox.json_types import JSON, JSONObject

MAX_FILE_BYTES = 52_428_800
#: Maximum bytes of all files together, and maximum number of uploads; beyond either, the oldest are dropped.
MAX_STORED, MAX_UPLOADS = 4 * MAX_FILE_BYTES, 1000
#: Seconds for which an upload address works.
UPLOAD_SECONDS = 10 * 60
MAX_FILE_NAME = 255
ASSET_SCHEME = "runflow://assets/"
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")
_MIME_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+")


class Stage(Enum):
    PREPARED = auto()
    UPLOADED = auto()
    CONFIRMED = auto()


@attrs.define(eq=False)
class Asset:
    """A file of an organisation, from the preparation of its upload. ``created_at``: Unix time."""

    id: str
    owner: str
    filename: str
    mime_type: str
    size_bytes: int
    created_at: float
    stage: Stage = Stage.PREPARED
    content: bytes = attrs.field(default=b"", repr=False)

    @property
    def suffix(self) -> str:
        """The suffix of the file name, with its dot; empty if a URL would have to encode it."""
        match = _SUFFIX.search(self.filename)
        return match[0] if match else ""


def parse_upload_request(body: bytes) -> JSONObject:
    """``filename``, ``mime_type`` and ``size_bytes``. Raises an ``APIError``: 400, or 422 for invalid fields."""
    try:
        payload: JSON = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("Request body is not valid JSON") from None
    if not isinstance(payload, dict):
        raise bad_request("Request body must be a JSON object")
    filename, mime_type, size = (payload.get(name) for name in ("filename", "mime_type", "size_bytes"))
    valid = {
        "filename": isinstance(filename, str) and 1 <= len(filename) <= MAX_FILE_NAME,
        "mime_type": isinstance(mime_type, str) and bool(_MIME_TYPE.fullmatch(mime_type)),
        "size_bytes": isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= MAX_FILE_BYTES,
    }
    errors = [
        {"type": "value_error", "loc": ["body", name], "msg": f"Invalid {name}"} for name, ok in valid.items() if not ok
    ]
    if errors:
        raise validation_failed(errors)
    return {"filename": filename, "mime_type": mime_type, "size_bytes": size}


def asset_ids(value: JSON) -> Iterator[tuple[str, list[str | int]]]:
    """(id, location) of each reference to an asset in an input."""
    stack: list[tuple[JSON, list[str | int]]] = [(value, [])]
    while stack:
        item, place = stack.pop()
        if isinstance(item, str) and item.startswith(ASSET_SCHEME):
            yield item.removeprefix(ASSET_SCHEME), place
        elif isinstance(item, dict):
            stack += [(inner, [*place, name]) for name, inner in reversed(item.items())]
        elif isinstance(item, list):
            stack += [(inner, [*place, number]) for number, inner in reversed(list(enumerate(item)))]


class AssetStore:
    """The uploads and assets in memory, oldest first."""

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._count = 0
        self._assets: dict[str, Asset] = {}

    def __iter__(self) -> Iterator[Asset]:
        return iter(self._assets.values())

    def prepare(self, owner: str, body: bytes, *, wall: float) -> Asset:
        fields = parse_upload_request(body)
        self._count += 1
        noise = sha256(f"asset {self._seed} {self._count}".encode()).digest()[:16]
        asset = Asset(str(UUID(bytes=noise, version=4)), owner, created_at=wall, **fields)
        self._assets[asset.id] = asset
        if len(self._assets) > MAX_UPLOADS:
            del self._assets[next(iter(self._assets))]
        return asset

    def expected(self, asset_id: str, content_type: str | None) -> Asset:
        """The asset whose file may be sent now. Raises an ``APIError``: an upload URL works once, for its type."""
        asset = self._assets.get(asset_id)
        if asset is None:
            raise APIError(404, "UPLOAD_NOT_FOUND", "There is no such upload")
        if asset.stage is not Stage.PREPARED:
            raise APIError(403, "UPLOAD_URL_USED", "This upload address was used already")
        if content_type != asset.mime_type:
            raise APIError(403, "CONTENT_TYPE_MISMATCH", f"Content-Type must be {asset.mime_type}")
        return asset

    def receive(self, asset: Asset, content: bytes) -> None:
        """Keep the file. Raises a 400 ``APIError`` when its size is not the declared one."""
        if len(content) != asset.size_bytes:
            message = f"The file has {len(content)} bytes, not the {asset.size_bytes} that were declared"
            raise APIError(400, "SIZE_MISMATCH", message)
        asset.content, asset.stage = content, Stage.UPLOADED
        stored = sum(len(kept.content) for kept in self)
        for oldest in list(self):
            if stored <= MAX_STORED:
                break
            stored -= len(oldest.content)
            del self._assets[oldest.id]

    def confirm(self, owner: str, asset_id: str) -> Asset:
        """Raises an ``APIError``: 404 where nothing of this owner's was uploaded, 409 when it was confirmed already."""
        asset = self._assets.get(asset_id)
        if asset is None or asset.owner != owner or asset.stage is Stage.PREPARED:
            raise APIError(404, "UPLOAD_NOT_FOUND", "Nothing was uploaded for this asset")
        if asset.stage is Stage.CONFIRMED:
            raise APIError(409, "CONFLICT", "This upload was confirmed already")
        asset.stage = Stage.CONFIRMED
        return asset

    def get(self, owner: str, asset_id: str) -> Asset:
        """A confirmed asset of this owner. Raises a 404 ``APIError``."""
        asset = self._assets.get(asset_id)
        if asset is None or asset.owner != owner or asset.stage is not Stage.CONFIRMED:
            raise APIError(404, "ASSET_NOT_FOUND", "Asset not found")
        return asset

    def find(self, asset_id: str) -> Asset | None:
        """A confirmed asset of any owner."""
        asset = self._assets.get(asset_id)
        return asset if asset is not None and asset.stage is Stage.CONFIRMED else None

    def check_references(self, owner: str, values: JSON) -> None:
        """Raises the 422 ``APIError`` of an input that names an asset which this owner does not have."""
        errors = []
        for asset_id, place in asset_ids(values):
            asset = self.find(asset_id)
            if asset is None or asset.owner != owner:
                errors.append({"type": "asset_not_found", "loc": ["body", "input", *place], "msg": "No such asset"})
        if errors:
            raise validation_failed(errors)

    def pictures(self, owner: str, values: JSON) -> list[bytes]:
        """The pictures that an input names and that are still kept."""
        found = (self.find(asset_id) for asset_id, _ in asset_ids(values))
        return [each.content for each in found if each and each.owner == owner and each.mime_type.startswith("image/")]
