"""How outgoing requests reach the network: which proxy, for which hosts, and which certificates are trusted.

Values, their rules and their parsers; ``runflow.api.transport`` applies them. Only the parser of the certificate file
does I/O: it reads the file, so that a wrong one stops the start.
"""

import base64
import ipaddress
import re
import ssl
from urllib.parse import unquote, urlsplit

import attrs

from runflow_mcp.addresses import fold_address, is_loopback_host

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ITEMS = re.compile(r"[,\s]+")


@attrs.frozen
class Proxy:
    """An HTTP proxy. ``url`` has no credentials; ``authorization`` is its Proxy-Authorization header, if any."""

    url: str
    authorization: str | None = attrs.field(default=None, repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def __str__(self) -> str:
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://***@{rest}" if self.authorization else self.url


@attrs.frozen
class Egress:
    """``ca_file``: certificates trusted besides the system's; empty for none."""

    https_proxy: Proxy | None = None
    http_proxy: Proxy | None = None
    no_proxy: tuple[str, ...] = ()
    ca_file: str = ""

    @property
    def has_proxy(self) -> bool:
        return self.https_proxy is not None or self.http_proxy is not None

    def proxy_for(self, scheme: str, host: str, port: int | None) -> Proxy | None:
        """The proxy for a request to this address; None for a direct connection."""
        proxy = self.https_proxy if scheme == "https" else self.http_proxy
        if proxy is None or _is_this_machine(host) or self._is_excluded(host, port or _DEFAULT_PORTS.get(scheme)):
            return None
        return proxy

    def _is_excluded(self, host: str, port: int | None) -> bool:
        host = host.lower().rstrip(".")
        return any(_matches(entry, host, port) for entry in self.no_proxy)


def _is_this_machine(host: str) -> bool:
    """Whether a connection to this host stays on this machine.

    Unlike ``is_loopback_host``, true for 0.0.0.0 and ::, too: as destinations they are this machine, whereas a server
    that listens on them is open to others.
    """
    name = host.lower().rstrip(".")
    address = _address(name)
    if address is None:
        return is_loopback_host(name)
    address = fold_address(address)
    return address.is_loopback or address.is_unspecified


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _matches(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of NO_PROXY matches: ``*``, a host and its subdomains, host:port, an address, a CIDR."""
    if entry == "*":
        return True
    if "/" in entry:
        address = _address(host)
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdigit() and (":" not in name or name.endswith("]")):
        if int(digits) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").lstrip(".").rstrip(".")
    if not entry:
        return False
    if _address(entry) or _address(host):
        return _address(entry) == _address(host)
    return host == entry or host.endswith(f".{entry}")


# Parsers


def proxy(value: str) -> Proxy | None:
    """A proxy's URL; the scheme defaults to http, as in curl. Credentials may be percent-encoded."""
    if not value:
        return None
    expected = "the http:// URL of a proxy, such as http://user:password@proxy.example.com:3128 (not SOCKS)"
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(expected) from None
    usable = parts.scheme in _DEFAULT_PORTS and host and port != 0 and parts.path in ("", "/")
    if not usable or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f]", value):
        raise ValueError(expected)
    credentials, at, address = parts.netloc.rpartition("@")
    authorization = None
    if at:
        user, _, password = credentials.partition(":")
        pair = f"{unquote(user)}:{unquote(password)}".encode()
        authorization = f"Basic {base64.b64encode(pair).decode()}"
    return Proxy(f"{parts.scheme}://{address}", authorization)


def no_proxy(value: str) -> tuple[str, ...]:
    """Hosts reached without a proxy. Entries that match nothing are accepted, as in other programs."""
    return tuple(item.lower() for item in _ITEMS.split(value) if item)


def certificate_file(value: str) -> str:
    """The path of a PEM file with at least one certificate."""
    if value:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cafile=value)
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            raise ValueError("a readable PEM file with certificates") from None
        if not context.cert_store_stats()["x509"]:
            raise ValueError("a readable PEM file with certificates")
    return value
