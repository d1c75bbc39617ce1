"""The caller's API key as a type that cannot be printed by accident, and the parser of the Authorization header.

Imports no HTTP library. ``Bearer.reveal`` is called in one place only: where a request is sent upstream.
"""

import hashlib
import re
from collections.abc import Sequence

import attrs
import orjson

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.key_mistakes import MAX_LENGTH, MIN_LENGTH, KeyMistake, key_mistake

#: The scheme in any case, spaces or tabs, and a key of visible ASCII characters.
_AUTHORIZATION = re.compile(rf"[Bb][Ee][Aa][Rr][Ee][Rr][ \t]+([\x21-\x7e]{{{MIN_LENGTH},{MAX_LENGTH}}})[ \t]*")
#: Texts that match ``_AUTHORIZATION`` but are not keys: they contain a variable that was not replaced, are shortened
#: for display, or were copied with a quotation mark, bracket or comma.
_UNUSABLE = re.compile(
    r"""\$\{\w+\} | \{\{.*\}\} | \A [\w-]* (?: \.{3} | \*{2,} ) [\w-]* \Z | \A [\w-]+ ["'`>,;] \Z""", re.VERBOSE
)


@attrs.define(eq=False)
class KeySource:
    """Where a key came from."""

    #: The address as the rate limits count it; empty for a key that did not come with a request.
    address: str = ""
    #: Whether a request was already counted as one whose key Runflow rejected. Later requests have another source.
    rejected: bool = False


@attrs.frozen(repr=False)
class Bearer:
    """An API key whose repr is its fingerprint."""

    # repr=False hides it from tools that print fields one by one, such as rich tracebacks.
    _key: str = attrs.field(repr=False)
    source: KeySource = attrs.field(factory=KeySource, eq=False)
    #: Hex SHA-256 of the key: identifies a caller inside this process; only its beginning is logged.
    digest: str = attrs.field(repr=False)

    @digest.default
    def _digest(self) -> str:
        return hashlib.sha256(self._key.encode()).hexdigest()

    def used_by(self, source: KeySource) -> "Bearer":
        """The same key, which has come once more."""
        return Bearer(self._key, source, self.digest)

    @property
    def fingerprint(self) -> str:
        """The first 12 hex digits of the digest: what logs and errors may show."""
        return self.digest[:12]

    def reveal(self) -> str:
        """The key itself, only for the Authorization header of an upstream request."""
        return self._key

    def appears_in(self, text: bytes) -> bool:
        """Whether a JSON text written by orjson contains the key."""
        return self._in_json() in text

    def mask_json(self, text: bytes) -> bytes:
        """A JSON text written by orjson, with every copy of the key replaced by its fingerprint."""
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

    ``prefixes``: the accepted key prefixes without their underscore (``rf_live``). ``address``: see
    ``KeySource``. Raises ``Rejection`` with ``missing_authorization`` or ``malformed_authorization``.
    """
    if not values:
        raise _rejection(RejectionCode.MISSING_AUTHORIZATION, "No API key came with this request.", prefixes)
    if len(values) > 1:
        raise _rejection(RejectionCode.MALFORMED_AUTHORIZATION, KeyMistake.SEVERAL_HEADERS, prefixes)
    match = _AUTHORIZATION.fullmatch(values[0])
    if match and _is_accepted(match[1], prefixes):
        return Bearer(match[1], KeySource(address))
    raise _rejection(RejectionCode.MALFORMED_AUTHORIZATION, key_mistake(values[0], prefixes), prefixes)


def _is_accepted(key: str, prefixes: Sequence[str]) -> bool:
    for prefix in prefixes:
        if key.startswith(prefix) and key.startswith("_", len(prefix)):
            rest = key[len(prefix) + 1 :]
            # Nearly every key is letters and digits, which need no search.
            return rest.isalnum() or (bool(rest) and not _UNUSABLE.search(rest))
    return False


def _rejection(code: RejectionCode, problem: str, prefixes: Sequence[str]) -> Rejection:
    accepted = " or ".join(f"{prefix}_" for prefix in prefixes)
    return Rejection(
        code,
        f"{problem} Send your Runflow API key (it starts with {accepted}) as a bearer token: "
        "header Authorization: Bearer <key>",
    )
