"""An upload that Runflow has prepared, read from its answer. Pure."""

import re
from urllib.parse import urlsplit

import attrs

from runflow_mcp.addresses import is_loopback_host
from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.assets.named_files import ASSET_ID, UPLOAD_SCHEME
from runflow_mcp.runflow.reading.fields import read_text

#: Maximum characters; signed URLs have one or two thousand.
MAX_UPLOAD_URL = 16_384
#: The characters of a URL; any other must be percent-encoded.
_URL = re.compile(r"[\x21-\x7e]+")


@attrs.frozen
class Upload:
    """``url``: the target of one PUT of the file. Anyone who has it can upload, so only its caller sees it."""

    asset_id: str
    url: str = attrs.field(repr=False)

    @property
    def reference(self) -> str:
        """The value for the input once the file is uploaded."""
        return UPLOAD_SCHEME + self.asset_id


def parse_upload(payload: JSON) -> Upload | None:
    """None for an answer without a usable id, or with a URL that is not https (or http on loopback)."""
    if not isinstance(payload, dict):
        return None
    asset_id, url = read_text(payload, "asset_id", "id"), read_text(payload, "upload_url", "url")
    if asset_id is None or url is None or not ASSET_ID.fullmatch(asset_id) or not _is_usable(url):
        return None
    return Upload(asset_id, url)


def _is_usable(url: str) -> bool:
    if len(url) > MAX_UPLOAD_URL or not _URL.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(host)))
