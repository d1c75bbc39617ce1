"""The protocol revisions: which one a request speaks, and what differs between them.

Pure. ``classify`` is the single place that decides, from the body and three headers. Two eras share one
dispatcher: the legacy one, whose requests follow an ``initialize``, and the modern one (2026-07-28), whose
requests each carry what ``initialize`` used to agree on. Sources: the specification's pages on versioning,
lifecycle and transports, and "Request Metadata" of 2026-07-28's Streamable HTTP page.
"""

import base64
import binascii
from collections.abc import Mapping
from enum import Enum, StrEnum, auto

import attrs

from runflow_mcp.bounds import quote
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.protocol.jsonrpc import Batch, ErrorCode, Message, ProtocolError, Request, Result


class Revision(StrEnum):
    """The revisions this server speaks, oldest first."""

    V2025_03_26 = "2025-03-26"
    V2025_06_18 = "2025-06-18"
    V2025_11_25 = "2025-11-25"
    V2026_07_28 = "2026-07-28"


class Era(Enum):
    """How a request says what it speaks."""

    LEGACY = auto()
    MODERN = auto()


#: What ``initialize`` can agree on, oldest first.
LEGACY_REVISIONS = (Revision.V2025_03_26, Revision.V2025_06_18, Revision.V2025_11_25)
#: What ``initialize`` answers to a client that asks for anything else.
LATEST_LEGACY = LEGACY_REVISIONS[-1]
MODERN_REVISIONS = (Revision.V2026_07_28,)
SUPPORTED: tuple[str, ...] = tuple(revision.value for revision in Revision)
#: A request without the version header speaks this one (transports, "Protocol Version Header").
DEFAULT_REVISION = Revision.V2025_03_26
#: The only revision whose POST body may be an array.
BATCHING = frozenset({Revision.V2025_03_26})

META = "io.modelcontextprotocol/"
META_VERSION = f"{META}protocolVersion"
META_CAPABILITIES = f"{META}clientCapabilities"
META_SERVER_INFO = f"{META}serverInfo"
META_SUBSCRIPTION = f"{META}subscriptionId"
TASKS = f"{META}tasks"

#: The param that the Mcp-Name header repeats, by method.
NAME_PARAM: Mapping[str, str] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
#: What a client may declare beside extensions. This server asks nothing of it; other tables of methods may.
CLIENT_CAPABILITIES = ("elicitation", "roots", "sampling")
_SENTINEL = ("=?base64?", "?=")


@attrs.frozen
class RoutingHeaders:
    """The values of MCP-Protocol-Version, Mcp-Method and Mcp-Name, every one that was sent."""

    version: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    name: tuple[str, ...] = ()


@attrs.frozen
class ProtocolContext:
    """What a request speaks, and in the modern era what its client declared on it."""

    revision: Revision
    capabilities: JSONObject = attrs.field(factory=dict)

    @property
    def era(self) -> Era:
        return Era.MODERN if self.revision in MODERN_REVISIONS else Era.LEGACY

    def declares(self, extension: str) -> bool:
        """Whether the client declared an extension on this request."""
        extensions = self.capabilities.get("extensions")
        return isinstance(extensions, dict) and isinstance(extensions.get(extension), dict)


def negotiate(requested: JSON) -> Revision:
    """The revision that ``initialize`` answers: the one asked for, else our latest. Never an error."""
    return Revision(requested) if isinstance(requested, str) and requested in LEGACY_REVISIONS else LATEST_LEGACY


def classify(message: Message | Batch, headers: RoutingHeaders) -> ProtocolContext:
    """What a POST speaks. Raises ``ProtocolError`` for one that contradicts itself or speaks what we do not.

    ``Mcp-Method`` and ``Mcp-Name`` are no markers of the modern era: a widely used bridge sends them on
    legacy requests too.
    """
    version = _version(headers)
    initializes = isinstance(message, Request) and message.method == "initialize"
    if isinstance(message, Request) and (
        _has_modern_meta(message) or (version in MODERN_REVISIONS and not initializes)
    ):
        return _modern(message, headers)
    if initializes:
        # It names its revision in the body, and an unknown one in the header is none of its business.
        revision = Revision(version) if version in LEGACY_REVISIONS else DEFAULT_REVISION
    elif version is None:
        revision = DEFAULT_REVISION
    elif version in SUPPORTED:
        revision = Revision(version)
    else:
        raise _unsupported_version(version)
    if isinstance(message, Batch) and revision not in BATCHING:
        raise ProtocolError(
            ErrorCode.INVALID_REQUEST, "This revision takes one message a request; arrays ended with 2025-03-26."
        )
    return ProtocolContext(revision)


def _version(headers: RoutingHeaders) -> str | None:
    """What MCP-Protocol-Version says; sent more than once it says nothing that is known."""
    return ", ".join(map(_trimmed, headers.version)) if headers.version else None


def _has_modern_meta(request: Request) -> bool:
    """Whether a request carries what only the modern era has."""
    meta = _meta(request)
    return META_VERSION in meta or META_CAPABILITIES in meta


def _meta(request: Request) -> JSONObject:
    meta = request.params.get("_meta")
    return meta if isinstance(meta, dict) else {}


def _modern(request: Request, headers: RoutingHeaders) -> ProtocolContext:
    """The checks of the modern era, in their order; an unknown method and wrong params come after these."""
    meta = _meta(request)
    version, capabilities = meta.get(META_VERSION), meta.get(META_CAPABILITIES)
    if not isinstance(version, str) or not isinstance(capabilities, dict):
        stated = _version(headers)
        if stated is not None and stated not in SUPPORTED:
            # A client of another revision must learn which ones there are; its ``_meta`` is not ours to judge.
            raise _unsupported_version(stated)
        raise ProtocolError(
            ErrorCode.INVALID_PARAMS,
            f"The request's params._meta needs {META_VERSION} (a string) and {META_CAPABILITIES} (an object).",
            refused=True,
        )
    _require_header("MCP-Protocol-Version", tuple(map(_trimmed, headers.version)), version)
    _require_header("Mcp-Method", tuple(map(_trimmed, headers.method)), request.method)
    if request.method in NAME_PARAM:
        name = request.params.get(NAME_PARAM[request.method])
        if isinstance(name, str):  # any other is a wrong param, which is judged later
            _require_header("Mcp-Name", tuple(map(_decoded, headers.name)), name)
    if version not in MODERN_REVISIONS:
        raise _unsupported_version(version)
    return ProtocolContext(Revision(version), _known(capabilities))


def _known(capabilities: JSONObject) -> JSONObject:
    """The capabilities that mean anything here, each as an empty object: a call that waits keeps them."""
    known: dict[str, JSON] = {name: {} for name in CLIENT_CAPABILITIES if isinstance(capabilities.get(name), dict)}
    extensions = capabilities.get("extensions")
    if isinstance(extensions, dict):
        known["extensions"] = {TASKS: {}} if isinstance(extensions.get(TASKS), dict) else {}
    return known


def _require_header(header: str, values: tuple[str | None, ...], expected: str) -> None:
    if len(values) != 1 or values[0] is None:
        error = "is missing" if not values else "is malformed" if len(values) == 1 else "was sent more than once"
    elif values[0] != expected:
        error = "differs from the body"
    else:
        return
    raise ProtocolError(ErrorCode.HEADER_MISMATCH, f"The header {header} {error}; send it with the body's own value.")


def _trimmed(value: str) -> str:
    """A header value without the white space around it (RFC 9110, 5.5)."""
    return value.strip(" \t")


def _decoded(value: str) -> str | None:
    """A header value out of its base64 sentinel, if it is in one; None when that cannot be decoded."""
    text = _trimmed(value)
    start, end = _SENTINEL
    if not (text.startswith(start) and text.endswith(end) and len(text) >= len(start) + len(end)):
        return text
    try:
        return base64.b64decode(text[len(start) : -len(end)], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _unsupported_version(version: str) -> ProtocolError:
    return ProtocolError(
        ErrorCode.UNSUPPORTED_PROTOCOL_VERSION,
        f"This server does not speak the protocol version of this request. It speaks {', '.join(SUPPORTED)}.",
        {"supported": list(SUPPORTED), "requested": _repeatable(version)},
    )


def _repeatable(version: str) -> str:
    """A version that is not spoken, in short; empty where it may be a key in the wrong header."""
    return "" if "_" in version and any(map(str.isalpha, version)) else quote(version)


def require_extension(protocol: ProtocolContext, extension: str) -> None:
    """Raises ``ProtocolError`` -32021 unless the client declared the extension on this request."""
    if not protocol.declares(extension):
        raise ProtocolError(
            ErrorCode.MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"Declare the extension {extension} in this request's client capabilities.",
            {"requiredCapabilities": {"extensions": {extension: {}}}},
        )


def finalize_result(result: Result, protocol: ProtocolContext, server_info: JSONObject) -> Result:
    """A handler's result as the revision wants it: the modern era types it and names the server."""
    if protocol.era is Era.LEGACY:
        return result
    meta = {META_SERVER_INFO: server_info, **result.get("_meta", {})}
    return {"resultType": "complete", **result, "_meta": meta}


def with_cache_hints(result: Result, protocol: ProtocolContext, ttl_ms: int, *, scope: str = "public") -> Result:
    """A result with its freshness; the lists here are the same for every key, so ``public``."""
    if protocol.era is Era.LEGACY:
        return result
    return {**result, "ttlMs": ttl_ms, "cacheScope": scope}


def http_status(error: ProtocolError, era: Era) -> int:
    """The HTTP status of an error that is known before anything was sent."""
    if error.refused or error.code in _REFUSED:
        return 400
    if error.code is ErrorCode.TOO_MANY_REQUESTS:
        return int(error.code)
    return 404 if error.code is ErrorCode.METHOD_NOT_FOUND and era is Era.MODERN else 200


_REFUSED = frozenset(
    {
        ErrorCode.PARSE_ERROR,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.HEADER_MISMATCH,
        ErrorCode.MISSING_REQUIRED_CLIENT_CAPABILITY,
        ErrorCode.UNSUPPORTED_PROTOCOL_VERSION,
    }
)
