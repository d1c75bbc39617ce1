"""The URL of a server as people type it. Pure."""

from yarl import URL


def endpoint_url(url: str) -> URL:
    """The URL to POST to: as given, but with the path /mcp when it has none. Raises ``ValueError``."""
    address = URL(url.strip())
    if address.scheme not in ("http", "https") or not address.host or address.user is not None:
        raise ValueError("not an http:// or https:// URL, or one with a user name")
    return address if address.path not in ("", "/") else address.with_path("/mcp")
