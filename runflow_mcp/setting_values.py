"""From the text of a setting to its value, and back to what may be shown of it.

Pure: every parser takes the text and returns the value, or raises a ``ValueError`` that says what was expected.
"""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST_ENTRY = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?")
#: The bits before the IPv4 address in ``::ffff:192.0.2.1``.
_MAPPED_PREFIX = 96
_API_VERSION = "v1"
#: Runflow's own hosts have nothing but the API: any path there was pasted by mistake.
_API_DOMAIN = ".runflow.io"
#: A segment of a gateway's path; one that names a version belongs to an API path that was pasted whole.
_PREFIX_SEGMENT = re.compile(r"(?!\.{1,2}$)(?!v\d+$)[\w.~%-]+", re.ASCII | re.IGNORECASE)
_PREFIX = re.compile(r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*")
_URL_USER = re.compile(r"([a-z]+://[^:/@]*:).*", re.DOTALL)


def text(value: str) -> str:
    return value


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
    """The URL below which ``/v1/…`` is asked; a ``/v1`` pasted with it is taken off, a gateway's prefix stays."""
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
    own = f".{parts.hostname}".endswith(_API_DOMAIN)
    if parts.query or parts.fragment or (own and segments) or not all(map(_PREFIX_SEGMENT.fullmatch, segments)):
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
    return f"{parts.scheme}://{parts.netloc.removesuffix(default)}".lower()


def _items(value: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in value.split(",") if item.strip())


def hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(item.lower() for item in _items(value))
    if not all(host == "*" or _HOST_ENTRY.fullmatch(host) for host in hosts):
        raise ValueError("a comma list of host or host:port (no scheme, no path), or *")
    return hosts


def origins(value: str) -> tuple[str, ...]:
    return tuple(item if item == "*" else origin(item) for item in _items(value))


def prefixes(value: str) -> tuple[str, ...]:
    prefixes = tuple(item.rstrip("_") for item in _items(value))
    if not prefixes or not all(_PREFIX.fullmatch(prefix) for prefix in prefixes):
        raise ValueError("a comma list of key prefixes such as rf_live")
    return prefixes


def networks(value: str) -> tuple[IPNetwork, ...]:
    try:
        return tuple(_folded(ipaddress.ip_network(item, strict=False)) for item in _items(value))
    except ValueError:
        raise ValueError("a comma list of CIDR ranges such as 10.0.0.0/8,::1/128") from None


def _folded(network: IPNetwork) -> IPNetwork:
    """IPv4 written inside IPv6 as plain IPv4, as client addresses are."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    beyond = network.prefixlen - _MAPPED_PREFIX
    return network if mapped is None or beyond < 0 else ipaddress.IPv4Network((mapped, beyond))


def store(value: str) -> str:
    parts = urlsplit(value)
    if value == "memory://" or (parts.scheme in ("redis", "rediss") and parts.hostname):
        return value
    raise ValueError("memory://, redis://host:port/db or rediss://host:port/db")


def mask_url_password(value: str) -> str:
    """``redis://user:secret@host`` with the secret replaced."""
    value, _, query = value.partition("?")  # some clients take a password there
    value += "?***" if query else ""
    credentials, at, host = value.rpartition("@")
    if not at:
        return value
    user = _URL_USER.fullmatch(credentials)  # a misspelt URL shows nothing before its host
    return f"{user[1] if user else ''}***@{host}"


def shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return mask_url_password(str(value))
