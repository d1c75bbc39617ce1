"""The address that a request is limited by: the socket's peer, or what a trusted proxy in between says.

Pure. Only the right-most untrusted hop counts: everything left of it is the caller's own invention.
"""

import ipaddress
from collections.abc import Sequence

from runflow_mcp.settings.parsers import IPNetwork

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: One household or machine commonly has a whole /64 of IPv6.
IPV6_PREFIX = 64
#: A chain of proxies is short; what is longer is a caller playing.
MAX_HOPS = 32
UNKNOWN = "unknown"


def parse_address(text: str) -> Address | None:
    """An address with or without port, brackets or zone; IPv4 inside IPv6 is folded. None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[IPNetwork]) -> str:
    """What to limit by. ``peer``: the socket's; ``forwarded``: every X-Forwarded-For value, in order."""
    address = parse_address(peer)
    if address is None:
        return UNKNOWN
    if forwarded and is_trusted(address, trusted):
        hops = ",".join(forwarded).split(",")
        for hop in reversed(hops[-MAX_HOPS:]):
            parsed = parse_address(hop)
            if parsed is None:
                break  # the proxy on the right is the last one whose word makes sense
            address = parsed
            if not is_trusted(parsed, trusted):
                break
    return rate_limit_key(address)


def is_trusted(address: Address, trusted: Sequence[IPNetwork]) -> bool:
    return any(address in network for network in trusted)


def rate_limit_key(address: Address) -> str:
    """IPv6 by its /64, IPv4 by itself."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)
