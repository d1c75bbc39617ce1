"""The client's address: the socket's peer, or the right-most untrusted hop that a trusted proxy forwards.

Pure. Entries of X-Forwarded-For to the left of that hop are whatever the client chose to send.
"""

from collections.abc import Sequence

from runflow_mcp.addresses import IPNetwork, is_in, parse_address, rate_limit_key

#: Hops that are read, from the right. Real chains of proxies are shorter; a longer one is made up.
MAX_HOPS = 32
UNKNOWN = "unknown"


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[IPNetwork]) -> str:
    """What the client is counted under. ``peer``: the socket's address; ``forwarded``: all X-Forwarded-For values."""
    address = parse_address(peer)
    if address is None:
        return UNKNOWN
    if forwarded and is_in(address, trusted):
        hops = ",".join(forwarded).split(",")
        for hop in reversed(hops[-MAX_HOPS:]):
            parsed = parse_address(hop)
            if parsed is None:
                break  # the address to its right is the last one that is certain
            address = parsed
            if not is_in(parsed, trusted):
                break
    return rate_limit_key(address)
