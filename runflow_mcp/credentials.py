"""The caller's API key as a type that cannot leak by accident, and the rules of the Authorization header.

Knows nothing of HTTP libraries. ``Bearer.reveal`` is called in one place only: where a request goes upstream.
"""

import hashlib
import re
from collections.abc import Sequence

import attrs
import orjson

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.key_mistakes import KeyMistake, key_mistake

#: 8 to 512 visible ASCII characters, the scheme in any case, any run of spaces or tabs between.
_AUTHORIZATION = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr][ \t]+([\x21-\x7e]{8,512})[ \t]*")
#: What is no key although all of it is visible: one with a variable that was not replaced, one shortened for display,
#: or one that a quotation mark, bracket or comma was copied with.
_UNUSABLE = re.compile(
    r"""\$\{\w+\} | \{\{.*\}\} | \A [\w-]* (?: \.{3} | \*{2,} ) [\w-]* \Z | \A [\w-]+ ["'`>,;] \Z""", re.VERBOSE
)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@attrs.define(eq=False)
class Source:
    """Where one request with a key came from."""

    #: What the request is limited by; empty for a key that no request brought.
    address: str = ""
    #: Whether the request has been counted as one whose key Runflow does not accept.
    rejected: bool = False


@attrs.frozen(repr=False)
class Bearer:
    """An API key that prints as its fingerprint."""

    # Printers that go by fields and not by repr (rich tracebacks do) must not find it either.
    _key: str = attrs.field(repr=False)
    source: Source = attrs.field(factory=Source, eq=False)
    #: Hex SHA-256 of the key: identifies a caller inside this process, is never logged whole.
    digest: str = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "digest", _digest(self._key))

    @property
    def fingerprint(self) -> str:
        """The first 12 hex digits of the digest: what logs and errors may show."""
        return self.digest[:12]

    def reveal(self) -> str:
        """The key itself, for the Authorization header of an upstream request and nothing else."""
        return self._key

    def appears_in(self, text: bytes) -> bool:
        """Whether the key stands in a JSON text, as orjson spells it."""
        return self._in_json() in text

    def mask_json(self, text: bytes) -> bytes:
        """A JSON text with every copy of the key, as orjson spells it, replaced by its fingerprint."""
        return text.replace(self._in_json(), f"[key {self.fingerprint}]".encode())

    def mask(self, text: str) -> str:
        """The text with every copy of the key replaced by its fingerprint."""
        return text.replace(self._key, f"[key {self.fingerprint}]")

    def _in_json(self) -> bytes:
        return orjson.dumps(self._key)[1:-1]

    def __repr__(self) -> str:
        return f"Bearer({self.fingerprint})"


def parse_authorization(values: Sequence[str], prefixes: Sequence[str], address: str = "") -> Bearer:
    """Read the key from the Authorization header values of one request.

    ``prefixes`` are the accepted key prefixes without their underscore (``rf_live``); ``address`` is what the
    request is limited by.
    Raises ``Rejection`` with ``missing_authorization`` or ``malformed_authorization``.
    """
    if not values:
        raise _refusal(RejectionCode.MISSING_AUTHORIZATION, "No API key came with this request.", prefixes)
    if len(values) > 1:
        raise _refusal(RejectionCode.MALFORMED_AUTHORIZATION, KeyMistake.SEVERAL_HEADERS, prefixes)
    match = _AUTHORIZATION.fullmatch(values[0])
    if match and _is_accepted(match[1], prefixes):
        return Bearer(match[1], Source(address))
    raise _refusal(RejectionCode.MALFORMED_AUTHORIZATION, key_mistake(values[0], prefixes), prefixes)


def _is_accepted(key: str, prefixes: Sequence[str]) -> bool:
    for prefix in prefixes:
        if key.startswith(prefix) and key.startswith("_", len(prefix)):
            rest = key[len(prefix) + 1 :]
            # Nearly every key is letters and digits, and needs no search.
            return rest.isalnum() or (bool(rest) and not _UNUSABLE.search(rest))
    return False


def _refusal(code: RejectionCode, problem: str, prefixes: Sequence[str]) -> Rejection:
    wanted = " or ".join(f"{prefix}_" for prefix in prefixes)
    return Rejection(
        code,
        f"{problem} Send your Runflow API key (it starts with {wanted}) as a bearer token: "
        "header Authorization: Bearer <key>",
    )
