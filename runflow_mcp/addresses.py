"""IP addresses and networks: parsing them, and the key that a client's requests are counted under.

Pure. IPv4 addresses inside IPv6 (``::ffff:192.0.2.1``) become plain IPv4 everywhere, so that both forms are equal.
"""

import ipaddress
from collections.abc import Iterable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

#: One household or machine commonly has a whole /64 of IPv6 addresses.
IPV6_PREFIX = 64
#: The bits before the IPv4 address in ``::ffff:192.0.2.1``.
_MAPPED_PREFIX = 96

_OCTETS = {str(number): number for number in range(256)}


def parse_address(text: str) -> IPAddress | None:
    """An address with or without port, brackets or zone; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        # The usual case: ``ip_address`` takes 4 to 6 µs for it, this takes 1; each request of a new address has two.
        return ipaddress.IPv4Address(bytes([_OCTETS[number] for number in text.split(".")]))
    except (KeyError, ValueError):
        pass
    try:
        return fold_address(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def parse_network(text: str) -> IPNetwork:
    """A network in CIDR notation, or a single address. Raises ``ValueError``."""
    return fold_network(ipaddress.ip_network(text, strict=False))


def fold_address(address: IPAddress) -> IPAddress:
    """The IPv4 address inside an IPv4-mapped IPv6 address; any other address unchanged."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def fold_network(network: IPNetwork) -> IPNetwork:
    """The IPv4 network inside an IPv4-mapped IPv6 network; any other network unchanged."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    prefix = network.prefixlen - _MAPPED_PREFIX
    return network if mapped is None or prefix < 0 else ipaddress.IPv4Network((mapped, prefix))


def is_in(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    """Whether one of the networks contains the address."""
    return any(address in network for network in networks)


def is_loopback_host(host: str) -> bool:
    """Whether a host name or address (without brackets) can be reached from this machine alone; 0.0.0.0 is not one."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def rate_limit_key(address: IPAddress) -> str:
    """What requests from an address are counted under: IPv6 by its /64, IPv4 by itself."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)
