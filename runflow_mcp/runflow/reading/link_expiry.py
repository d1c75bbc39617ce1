"""The expiry of a signed URL, read from its query. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

#: Query parameters of S3 and R2, Google Cloud Storage, CloudFront and older signatures, and Azure.
_PARAMETER = re.compile(r"[?&](x-(?:amz|goog)-(?:date|expires)|expires|se)=([^&#]{1,64})", re.IGNORECASE)
_DATE = "%Y%m%dT%H%M%SZ"
#: Seconds; no storage service grants a longer validity.
_LONGEST = 10 * 366 * 24 * 3600
#: Plausible Unix times; a number outside of them means something else.
_FIRST, _LAST = 1_000_000_000, 9_999_999_999


def link_expiry(url: str) -> str | None:
    """ISO 8601 in UTC; None where the URL has none of the known parameters."""
    if "?" not in url:
        return None
    parameters = {name.lower(): unquote(value) for name, value in _PARAMETER.findall(url)}
    for read in (_amazon, _google, _unix, _azure):
        try:
            expires = read(parameters)
        except (ValueError, OverflowError):
            continue
        if expires is not None:
            return expires.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return None


Parameters = Mapping[str, str]


def _signed(date: str | None, seconds: str | None) -> datetime | None:
    if date is None or seconds is None or not 0 <= int(seconds) <= _LONGEST:
        return None
    return datetime.strptime(date, _DATE).replace(tzinfo=UTC) + timedelta(seconds=int(seconds))


def _amazon(parameters: Parameters) -> datetime | None:
    return _signed(parameters.get("x-amz-date"), parameters.get("x-amz-expires"))


def _google(parameters: Parameters) -> datetime | None:
    return _signed(parameters.get("x-goog-date"), parameters.get("x-goog-expires"))


def _unix(parameters: Parameters) -> datetime | None:
    seconds = int(parameters.get("expires", "0"))
    return datetime.fromtimestamp(seconds, UTC) if _FIRST <= seconds <= _LAST else None


def _azure(parameters: Parameters) -> datetime | None:
    if "se" not in parameters:
        return None
    # A time without a zone is ambiguous; a date alone is a whole day in UTC.
    time = datetime.fromisoformat(parameters["se"].upper())
    if time.tzinfo is None and len(parameters["se"]) != len("2026-01-31"):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
