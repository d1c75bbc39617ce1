"""The parsers of the settings: text → value.

Pure. Each raises ``ValueError`` with a text that completes "expected …", such as "a whole number from 1 to 65535".
"""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from runflow_mcp.addresses import IPNetwork, fold_address, is_loopback_host, parse_network

#: ``:1`` to ``:65535``.
_PORT = r"(?::(?!0+\b)(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_HOST_ENTRY = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)" + _PORT)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9._~-]+)" + _PORT)
_API_VERSION = "v1"
#: Runflow's API hosts serve nothing but the API: a path there was pasted by mistake.
_API_DOMAIN = ".runflow.io"
#: A segment of a gateway's path; a version segment means that a whole API path was pasted.
_PREFIX_SEGMENT = re.compile(r"(?!\.{1,2}$)(?!v\d+$)[\w.~%-]+", re.ASCII | re.IGNORECASE)
_PREFIX = re.compile(r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*")
#: A label of a host name; one of only digits would be read as an IPv4 address in a rare form.
_LABEL = re.compile(r"(?!\d+\Z)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")


def host(value: str) -> str:
    """An address to listen on, in its shortest form, or a host name in lower case."""
    expected = "an address or a host name without scheme and port, such as 127.0.0.1, ::1, :: or localhost"
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        name = bare.lower().removesuffix(".")
        if bare != value or not name or not all(_LABEL.fullmatch(label) for label in name.split(".")):
            raise ValueError(expected) from None
        return name
    return str(fold_address(address))


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        expected = f"a whole number from {low} to {high}"
        if not re.fullmatch(r"[0-9]{1,15}", value):
            raise ValueError(expected)
        number = int(value)
        if not low <= number <= high:
            raise ValueError(expected)
        return number

    return parse


def milliseconds(low: int, high: int) -> Callable[[str], float]:
    """A duration: whole milliseconds from ``low`` to ``high``, as seconds."""
    whole = integer(low, high)
    return lambda value: whole(value) / 1000


def choice(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return value.lower()

    return parse


def http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and parts.username is None
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f]", value):
        raise ValueError("an http:// or https:// URL without user and password")
    return value


def base_url(value: str) -> str:
    """The URL below which ``/v1/…`` is requested. A pasted ``/v1`` is removed, a gateway's prefix stays."""
    expected = (
        "the URL of the API itself, such as https://api.runflow.io: with http:// or https://, without query, "
        "fragment, user and password, and without a path below /v1"
    )
    try:
        parts = urlsplit(http_url(value))
    except ValueError:
        raise ValueError(expected) from None
    segments = [segment for segment in parts.path.split("/") if segment]
    if segments and segments[-1].lower() == _API_VERSION:
        segments.pop()
    is_runflow = f".{parts.hostname}".endswith(_API_DOMAIN)
    if parts.query or parts.fragment or (is_runflow and segments) or not all(map(_PREFIX_SEGMENT.fullmatch, segments)):
        raise ValueError(expected)
    return "/".join([f"{parts.scheme}://{parts.netloc.lower()}", *segments])


def optional_url(value: str) -> str:
    return http_url(value) if value else ""


def origin(value: str) -> str:
    if not value:
        return ""
    expected = "an origin such as https://mcp.example.com, without a path"
    try:
        parts = urlsplit(http_url(value))
    except ValueError:
        raise ValueError(expected) from None
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(expected)
    default = {"http": ":80", "https": ":443"}[parts.scheme]
    plain = f"{parts.scheme}://{parts.netloc.removesuffix(default)}".lower()
    if not _ORIGIN.fullmatch(plain):  # a pattern such as https://*.example.com would match no request
        raise ValueError(expected)
    return plain


def _items(value: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in value.split(",") if item.strip())


def hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(item.lower() for item in _items(value))
    if not all(host == "*" or _HOST_ENTRY.fullmatch(host) for host in hosts):
        raise ValueError("a comma-separated list of host or host:port (no scheme, no path), or *")
    return hosts


def origins(value: str) -> tuple[str, ...]:
    return tuple(item if item == "*" else _any_origin(item) for item in _items(value))


def _any_origin(value: str) -> str:
    """An origin with any scheme: browser extensions and desktop programs have their own."""
    scheme = value.partition("://")[0].lower()
    if scheme in ("http", "https"):
        return origin(value)
    plain = value.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(plain):
        raise ValueError(
            "a comma-separated list of origins such as https://app.example.com or chrome-extension://<id>: "
            "scheme://host[:port] without a path, as browsers send them (never null), or *"
        )
    return plain


def prefixes(value: str) -> tuple[str, ...]:
    prefixes = tuple(item.rstrip("_") for item in _items(value))
    if not prefixes or not all(_PREFIX.fullmatch(prefix) for prefix in prefixes):
        raise ValueError("a comma-separated list of key prefixes such as rf_live")
    return prefixes


def networks(value: str) -> tuple[IPNetwork, ...]:
    try:
        return tuple(map(parse_network, _items(value)))
    except ValueError:
        raise ValueError("a comma-separated list of CIDR ranges such as 10.0.0.0/8,::1/128") from None


def issuers(value: str) -> tuple[str, ...]:
    """Issuer identifiers (RFC 8414, 2), as written: clients compare them character by character."""
    return tuple(dict.fromkeys(map(_issuer, _items(value))))


def _issuer(value: str) -> str:
    try:
        parts = urlsplit(http_url(value))
        usable = parts.scheme == "https" or is_loopback_host(parts.hostname or "")
    except ValueError:
        usable = False
    if not usable or not value.isascii() or re.search(r"[?#@\\]", value):
        raise ValueError(
            "a comma-separated list of issuer URLs such as https://auth.example.com: https (http on loopback alone), "
            "without user, query and fragment"
        )
    return value


def media_origins(value: str) -> tuple[str, ...]:
    """Sources of a Content-Security-Policy: origins, whose host may begin with ``*.``."""
    return tuple(dict.fromkeys(map(_media_origin, _items(value))))


def _media_origin(value: str) -> str:
    scheme, separator, host = value.partition("://")
    wildcard = "*." if host.startswith("*.") else ""
    plain = host.removeprefix(wildcard)
    try:
        parsed = origin(f"{scheme}{separator}{plain}")
        parts = urlsplit(parsed)
        usable = bool(parsed) and (parts.scheme == "https" or (is_loopback_host(parts.hostname or "") and not wildcard))
        usable = usable and not (wildcard and "." not in (parts.hostname or ""))
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(
            "a comma-separated list of origins such as https://media.example.com or https://*.example.com: https "
            "(http on loopback alone), without a path"
        )
    return parsed.replace("://", f"://{wildcard}", 1)
