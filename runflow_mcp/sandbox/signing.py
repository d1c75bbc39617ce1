"""Links that expire, signed like presigned URLs of S3; they work without a key.

Pure. ``wall`` is Unix time.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

from runflow_mcp.sandbox.errors import APIError

#: Seconds for which a link to a file works.
LINK_SECONDS = 15 * 60
_DATE = "%Y%m%dT%H%M%SZ"


def sign(path: str, wall: float, *, seconds: int = LINK_SECONDS) -> str:
    """The path with a signed query, valid for so many seconds from ``wall``."""
    date = datetime.fromtimestamp(wall, UTC).strftime(_DATE)
    return f"{path}?X-Amz-Date={date}&X-Amz-Expires={seconds}&X-Amz-Signature={_signature(path, date, str(seconds))}"


def check(path: str, query: Mapping[str, str], wall: float) -> None:
    """Raises the 403 ``APIError`` for a link that is not signed or has expired."""
    date, seconds = query.get("X-Amz-Date", ""), query.get("X-Amz-Expires", "")
    if query.get("X-Amz-Signature") != _signature(path, date, seconds):
        raise APIError(403, "SIGNATURE_DOES_NOT_MATCH", "This link is not signed, or was changed")
    signed = datetime.strptime(date, _DATE).replace(tzinfo=UTC).timestamp()
    if wall > signed + int(seconds):
        raise APIError(403, "LINK_EXPIRED", "This link has expired; read the run or the asset again for a fresh one")


def _signature(path: str, date: str, seconds: str) -> str:
    """Not a secret: the sandbox has nothing to protect."""
    return sha256(f"sandbox {path} {date} {seconds}".encode()).hexdigest()[:32]
