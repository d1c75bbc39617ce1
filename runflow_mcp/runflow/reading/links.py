"""Which texts are links that every client can parse, and how links without scheme or host are completed.

Pure. Some clients reject a whole result for one link that they cannot parse.
"""

import re
from ipaddress import IPv4Address, IPv6Address

import attrs

#: Signed URLs may have several kilobytes.
MAX_URL_LENGTH = 8192
#: Characters of non-ASCII host names that are checked for one answer: each takes some ten microseconds.
MAX_INTERNATIONAL = 2000
#: Characters of candidates that are examined for one answer; a candidate counts as at least ``_MIN_COST``.
MAX_EXAMINED = 1024 * 1024
_MIN_COST = 512
_MAX_PORT = 65_535
_MAX_LABEL = 63

_URL = re.compile(
    r"[Hh][Tt][Tt][Pp][Ss]?://"
    r"(?:[^\s\x00-\x20\x7f-\x9f\"<>/?#@]*@)?"
    r"(\[[0-9A-Fa-f:.]+\]|[^\s\"<>/?#@:\[\]]+)"
    r"(?::([0-9]{1,5}))?"
    r"(?:[/?#][^\s\x00-\x20\x7f-\x9f\"<>]*)?"
)
_HOST = re.compile(r"[^\W_](?:[\w.-]{0,251}[^\W_])?\.?")
#: By the URL standard a host that ends in a number is an IPv4 address or invalid.
_ENDS_IN_NUMBER = re.compile(r"(?:^|\.)\d+\.?$")
#: ``//cdn.example.com/x.png``
_WITHOUT_SCHEME = re.compile(r"//[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::\d+)?/[^/]")
#: ``cdn.example.com/x.png``: a host, an optional port, a path.
_BARE_HOST = re.compile(r"([A-Za-z0-9.-]++)(?::\d{1,5})?/[^/]")
#: Top-level domains that such a host may have, besides those of two letters: a file name must not count as a host.
_TOP_LEVEL = frozenset({"com", "net", "org", "dev", "app", "run", "cloud", "info", "media", "xyz", "tech", "site"})
#: Paths on the machine that made the output, which no server serves.
_LOCAL_PATH = re.compile(r"/(?:tmp|home|root|mnt|var|usr|Users)/")


def is_link(text: str) -> bool:
    """Whether a text is an absolute http(s) URL that clients can parse."""
    return LinkReader("").complete(text, addressed=False) == text


@attrs.define
class LinkReader:
    """Reads the links of one answer, with a bound on the work. ``base_url``: completes relative links."""

    base_url: str
    _examined: int = 0
    _international: int = 0
    _hosts: dict[str, bool] = attrs.field(factory=dict)

    def complete(self, text: str, *, addressed: bool) -> str | None:
        """The absolute URL in a text; None for anything else, and for a link whose completion would be a guess.

        ``addressed``: the member that holds the text has the name of an address (``url``, ``href``).
        """
        if len(text) > MAX_URL_LENGTH or self._examined >= MAX_EXAMINED:
            return None
        url = self._absolute(text.strip(), addressed=addressed)
        if url is None:
            return None
        self._examined += max(len(url), _MIN_COST)
        match = _URL.fullmatch(url)
        if match is None or not 0 < int(match[2] or 1) <= _MAX_PORT:
            return None
        return url if self._is_host(match[1]) else None

    def _absolute(self, text: str, *, addressed: bool) -> str | None:
        if text[:4].lower() == "http":
            return text
        scheme, _, rest = self.base_url.partition("://")
        if text.startswith("//"):
            return f"{scheme or 'https'}:{text}" if _WITHOUT_SCHEME.match(text) else None
        if not addressed:
            return None
        if text.startswith("/"):
            # If the base URL has a path, it is unclear what this path is relative to.
            served = rest and "/" not in rest.rstrip("/") and not _LOCAL_PATH.match(text)
            return f"{self.base_url.rstrip('/')}{text}" if served else None
        bare = _BARE_HOST.match(text)
        name, _, top = bare[1].lower().rpartition(".") if bare else ("", "", "")
        return f"https://{text}" if name and (top in _TOP_LEVEL or (len(top) == 2 and top.isalpha())) else None  # noqa: PLR2004

    def _is_host(self, host: str) -> bool:
        valid = self._hosts.get(host)
        if valid is None:
            try:
                valid = self._hosts[host] = self._check_host(host)
            except ValueError:
                valid = self._hosts[host] = False
        return valid

    def _check_host(self, host: str) -> bool:
        """Whether a host is valid. Raises ``ValueError`` for some that are not."""
        if host.startswith("["):
            return bool(IPv6Address(host[1:-1]))
        if _ENDS_IN_NUMBER.search(host):
            return bool(IPv4Address(host))
        if not _HOST.fullmatch(host):
            return False
        if host.isascii() and "xn--" not in host.lower():
            return all(0 < len(label) <= _MAX_LABEL for label in host.removesuffix(".").split("."))
        self._international += len(host)
        return self._international <= MAX_INTERNATIONAL and bool(host.encode("idna").decode("idna"))
